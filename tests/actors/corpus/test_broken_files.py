"""Files that break half-way: a sentence that stops the run, or rejects that say how many rows were given up."""

import gzip
import json
import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from actors.corpus.listing import list_files
from actors.corpus.planning import FileRows, count_rows, group_for_reading, plan_units
from actors.corpus.reading import read_units
from actors.corpus.streams import Source, broken
from configs.errors import UserError
from configs.schema import InputConfig, S3Config

S3 = S3Config()
ROWS = 4000


def noise(number):
    return random.Random(number).randbytes(40).hex()


def lines():
    return "".join(json.dumps({"_id": str(n), "text": noise(n)}) + "\n" for n in range(ROWS)).encode()


@pytest.fixture(params=["jsonl.gz", "jsonl.zst", "csv.gz", "tsv.zst"])
def cut_file(request, tmp_path):
    kind, _, compression = request.param.partition(".")
    delimiter = "," if kind == "csv" else "\t"
    rows = (
        lines()
        if kind == "jsonl"
        else f"_id{delimiter}text\n".encode() + "".join(f"{n}{delimiter}{noise(n)}\n" for n in range(ROWS)).encode()
    )
    data = gzip.compress(rows) if compression == "gz" else zstandard.ZstdCompressor(level=1).compress(rows)
    path = tmp_path / f"a.{request.param}"
    path.write_bytes(data[: len(data) // 2])
    return path


def test_a_cut_stream_stops_the_run(read, cut_file):
    with pytest.raises(UserError, match=rf"{cut_file.name} breaks at row \d+: .*: replace the file, or set corpus\.broken_files: reject"):
        read(cut_file, unit_rows=500)


def test_a_cut_stream_gives_its_readable_rows_and_one_reject(read, cut_file):
    units = read(cut_file, unit_rows=500, broken_files="reject")
    ids = [id_ for unit in units for id_ in unit.table["id"].to_pylist()]
    assert 500 < len(ids) < ROWS and ids == [str(n) for n in range(len(ids))]
    (reject,) = [reject for unit in units for reject in unit.rejects]
    assert (reject.source, reject.row, reject.id) == (str(cut_file), len(ids), None)
    assert reject.reason == f"file breaks at row {len(ids)} (at least 1 rows given up): the compressed data is cut short"
    assert sum(unit.rows_read for unit in units) == len(ids)


def test_every_slice_after_the_break_says_so(cut_file):
    spec = InputConfig(path=str(cut_file), broken_files="reject")
    (file,) = list_files(spec, S3, "corpus")
    units = plan_units([FileRows(file, ROWS, (), 1000)], 1000, "s")
    read = [passages for _, passages in read_units(group_for_reading(units)[0], spec, S3)]
    kept = sum(passages.rows_read for passages in read)
    given_up = [(reject.row, reject.reason.split(":")[0]) for passages in read for reject in passages.rejects]
    assert given_up == [
        (max(kept, start), f"file breaks at row {kept} (at least {start + 1000 - max(kept, start)} rows given up)")
        for start in range(kept // 1000 * 1000, ROWS, 1000)
    ]
    alone = [passages for unit in units for _, passages in read_units([unit], spec, S3)]
    assert [passages.rejects for passages in alone] == [passages.rejects for passages in read]


def test_flipped_bits_in_gzip_are_found_when_counting(tmp_path):
    data = bytearray(gzip.compress(lines()))
    data[-6] ^= 1
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(data)
    with pytest.raises(UserError, match="incorrect data check"):
        count_rows(list_files(InputConfig(path=str(path)), S3, "corpus")[0], S3, 100)


def test_an_empty_gzip_is_broken(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    with pytest.raises(UserError, match="the file is empty, which no compressed file is"):
        count_rows(list_files(InputConfig(path=str(tmp_path)), S3, "corpus")[0], S3, 100)


@pytest.fixture
def torn_parquet(tmp_path):
    """10 row groups of 2000 rows, the sixth of them overwritten; the footer is whole."""
    path = tmp_path / "a.parquet"
    table = pa.table({"_id": [str(n) for n in range(20000)], "text": [noise(n) for n in range(20000)]})
    pq.write_table(table, path, row_group_size=2000, write_page_checksum=True)
    offset = pq.ParquetFile(path).metadata.row_group(5).column(1).data_page_offset
    with path.open("r+b") as file:
        file.seek(offset + 200)
        file.write(b"\xff" * 300)
    return path


def test_a_torn_parquet_page_stops_the_run(read, torn_parquet):
    with pytest.raises(UserError, match=r"a\.parquet breaks at row 10000: .*replace the file"):
        read(torn_parquet, unit_rows=1500)


def test_a_torn_parquet_page_gives_up_the_rest_of_its_slices_only(read, torn_parquet):
    units = read(torn_parquet, unit_rows=1000, broken_files="reject")
    assert [(reject.row, reject.reason.split(":")[0]) for unit in units for reject in unit.rejects] == [
        (10000, "file breaks at row 10000 (1000 rows given up)"),
        (11000, "file breaks at row 10000 (1000 rows given up)"),
    ]
    assert sum(unit.table.num_rows for unit in units) == 18000


def test_a_parquet_without_footer_is_one_reject(read, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 100)
    (unit,) = read(tmp_path / "a.parquet", broken_files="reject")
    assert unit.rows_read == 0 and unit.table.num_rows == 0
    assert unit.rejects[0].reason.startswith("file breaks at row 0 (at least 1 rows given up): ")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_fewer_rows_than_planned_are_a_break(write, name):
    write(name, [{"_id": str(n), "text": "x"} for n in range(3)])
    spec = InputConfig(path=str(write(name, [{"_id": str(n), "text": "x"} for n in range(3)])), broken_files="reject")
    counted = count_rows(list_files(spec, S3, "corpus")[0], S3, 5)
    ((_, passages),) = read_units(plan_units([replace(counted, rows=5)], 5, "s"), spec, S3)
    assert passages.rows_read == 3
    assert [reject.reason for reject in passages.rejects] == [
        "file breaks at row 3 (2 rows given up): it ends there, but more rows were planned"
    ]


def test_a_file_that_changed_after_planning_is_not_read_under_its_old_name(write):
    path = write("a.jsonl", [{"_id": "1", "text": "old"}])
    spec = InputConfig(path=str(path))
    units = plan_units([count_rows(list_files(spec, S3, "corpus")[0], S3, 5)], 5, "s")
    path.write_bytes(b'{"_id": "1", "text": "new text"}\n')
    for setting in ("stop", "reject"):
        with pytest.raises(UserError, match=r"a\.jsonl: it has changed since it was listed: run again"):
            list(read_units(units, spec.model_copy(update={"broken_files": setting}), S3))


def test_a_failing_disk_is_not_taken_for_a_broken_file():
    class FailingDisk:
        def read(self, size):
            raise OSError(5, "Input/output error")

    source = Source(FailingDisk())
    with pytest.raises(OSError, match="Input/output error") as caught:
        source.read(10)
    assert broken(source, 3, EOFError("looks cut short")) is caught.value
