"""Writing a segment."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from actors.index.kinds import resolve_plan
from actors.index.segment import Segment
from actors.index.training import train_template
from actors.index.writing import SegmentWriter
from configs.schema import IndexConfig


def _passages(rows: int, start: int = 0) -> pa.Table:
    ids = [f"p{number}" for number in range(start, start + rows)]
    tokens = pa.array([b"\x00\xff" * number for number in range(rows)], pa.large_binary())
    return pa.table({"id": ids, "tokens": tokens}).replace_schema_metadata({"chunk": str(start)})


@pytest.fixture
def flat(tmp_path):
    plan = resolve_plan(IndexConfig(kind="flat"), 100, 32)
    with SegmentWriter(tmp_path / "segment", train_template(plan, np.zeros((0, 32), np.float32), 0), plan, "fp32") as writer:
        yield writer


@pytest.mark.parametrize(("kind", "names"), [("flat", 2), ("ivf_sq8", 3)])
def test_the_entries_name_every_file_with_its_size_and_digest(kind, names, corpus, generation, tmp_path):
    made = generation(IndexConfig(kind=kind))
    with SegmentWriter(tmp_path / "s", made.template, made.plan, "fp16") as writer:
        writer.add(corpus.vectors[:40], _passages(40))
        done = writer.finish()
    assert done.rows == 40 and len(done.files) == names
    assert {entry.name for entry in done.files} == {path.name for path in (tmp_path / "s").iterdir()}
    for entry in done.files:
        data = (tmp_path / "s" / entry.name).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(("dtype", "stored"), [("fp16", np.float16), ("fp32", np.float32)])
def test_vectors_are_stored_row_by_row_over_chunks_in_the_type_asked(dtype, stored, corpus, generation, tmp_path):
    made = generation(IndexConfig(kind="ivf_flat"))
    vectors = corpus.queries
    with SegmentWriter(tmp_path / "s", made.template, made.plan, dtype) as writer:
        writer.add(vectors[:7], _passages(7))
        writer.add(vectors[7:], _passages(len(vectors) - 7, 7))
        writer.finish()
    held = np.load(tmp_path / "s" / "vectors.npy")
    assert held.dtype == stored and held.tobytes() == vectors.astype(stored).tobytes()


def test_the_same_input_gives_the_same_digests(corpus, generation, tmp_path):
    made, entries = generation(IndexConfig(kind="ivf_sq8")), []
    for name in ("a", "b"):
        with SegmentWriter(tmp_path / name, made.template, made.plan) as writer:
            writer.add(corpus.vectors[:500], _passages(500))
            entries.append(writer.finish())
    assert entries[0] == entries[1]


def test_any_columns_come_back_and_chunk_metadata_does_not(corpus, flat, tmp_path):
    flat.add(corpus.queries[:5], _passages(5))
    flat.add(corpus.queries[5:9], _passages(4, 5))
    flat.finish()
    segment = Segment.open(tmp_path / "segment", resolve_plan(IndexConfig(kind="flat"), 100, 32))
    assert segment.passages.schema.metadata is None
    table = segment.passages.take(np.array([8, 4]), ["tokens", "id"])
    assert table.to_pydict() == {"tokens": [b"\x00\xff" * 3, b"\x00\xff" * 4], "id": ["p8", "p4"]}


@pytest.mark.parametrize(
    ("passages", "reason"),
    [
        (_passages(4), "5 vectors come with 4 passages"),
        (_passages(5).drop_columns(["tokens"]), "a chunk has the columns"),
        (pa.table({"id": ["a", None, "c", "d", "e"], "tokens": pa.array([b""] * 5, pa.large_binary())}), "chunk at row 2: an id is null"),
    ],
)
def test_passages_that_do_not_fit_are_refused_and_nothing_is_appended(passages, reason, corpus, flat):
    flat.add(corpus.queries[:2], _passages(2))
    with pytest.raises(ValueError, match=reason):
        flat.add(corpus.queries[:5], passages)
    assert flat.finish().rows == 2


def test_passages_without_text_ids_are_refused(corpus, flat):
    with pytest.raises(ValueError, match="need a string column id"):
        flat.add(corpus.queries[:2], pa.table({"id": [1, 2]}))


def test_a_value_too_large_for_fp16_is_refused(corpus, generation, tmp_path):
    made = generation(IndexConfig(kind="flat"))
    vectors = corpus.queries.copy()
    vectors[2, 0] = 1e6
    with (
        SegmentWriter(tmp_path / "s", made.template, made.plan, "fp16", normalized=False) as writer,
        pytest.raises(ValueError, match="row 2 holds NaN or inf"),
    ):
        writer.add(vectors, _passages(len(vectors)))


def test_an_unnormalised_vector_is_refused_unless_told_so(corpus, generation, flat, tmp_path):
    made = generation(IndexConfig(kind="flat"))
    with pytest.raises(ValueError, match="row 0 has length 2"):
        flat.add(corpus.queries * 2, _passages(len(corpus.queries)))
    with SegmentWriter(tmp_path / "s", made.template, made.plan, normalized=False) as writer:
        writer.add(corpus.queries * 2, _passages(len(corpus.queries)))
        assert writer.finish().rows == len(corpus.queries)


def test_a_segment_without_rows_can_not_be_finished(flat):
    with pytest.raises(ValueError, match="has no rows"):
        flat.finish()
