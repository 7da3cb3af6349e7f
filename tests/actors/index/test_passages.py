"""Reading passages by row."""

import numpy as np
import pyarrow as pa
import pytest

from actors.index.passages import PassageFile


@pytest.fixture
def path(tmp_path):
    """Four batches of 5, 1, 10 and 4 rows."""
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string()), ("vectors", pa.list_(pa.float32()))])
    with pa.ipc.new_file(str(tmp_path / "passages.arrow"), schema) as writer:
        start = 0
        for rows in (5, 1, 10, 4):
            numbers = range(start, start + rows)
            writer.write_batch(
                pa.record_batch([[f"p{n}" for n in numbers], ["x" * n for n in numbers], [[float(n)] * n for n in numbers]], schema=schema)
            )
            start += rows
    return tmp_path / "passages.arrow"


def test_rows_come_in_the_order_asked_from_any_batch_with_repeats(path):
    rows = [19, 0, 5, 4, 6, 15, 16, 0, 5]
    table = PassageFile(path).take(np.array(rows), ["vectors", "id"])
    assert table.to_pydict() == {"vectors": [[float(n)] * n for n in rows], "id": [f"p{n}" for n in rows]}


def test_length_and_no_rows(path):
    file = PassageFile(path)
    assert len(file) == 20
    assert file.take(np.zeros(0, np.int64), ["text"]).num_rows == 0


@pytest.mark.parametrize("row", [-1, 20])
def test_a_row_outside_is_refused(path, row):
    with pytest.raises(IndexError, match="20 passages"):
        PassageFile(path).take(np.array([3, row]), ["id"])


def test_an_unknown_column_is_refused(path):
    with pytest.raises(KeyError, match="author"):
        PassageFile(path).take(np.array([3]), ["author"])


def test_taking_rows_copies_only_those_rows(tmp_path):
    schema = pa.schema([("text", pa.large_string())])
    with pa.ipc.new_file(str(tmp_path / "big.arrow"), schema) as writer:
        for _ in range(8):
            writer.write_batch(pa.record_batch([pa.array(["x" * 10_000] * 400, pa.large_string())], schema=schema))
    file = PassageFile(tmp_path / "big.arrow")
    before = pa.total_allocated_bytes()
    taken = file.take(np.array([1, 3000]), ["text"])
    assert taken.nbytes < 30_000 and pa.total_allocated_bytes() - before < 1_000_000
