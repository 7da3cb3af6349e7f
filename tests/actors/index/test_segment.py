"""Searching one segment: full top-k, deletions, odd sizes, all kinds, damaged files."""

import dataclasses

import faiss
import numpy as np
import pyarrow as pa
import pytest

from actors.index import scanning
from actors.index.products import Bf16Products, Int8Products
from actors.index.rescoring import rescore
from actors.index.segment import Segment
from actors.index.writing import SegmentWriter
from configs.schema import IndexConfig

KINDS = [
    "flat",
    "ivf_flat",
    "ivf_sq8",
    "ivf_pq",
    "SQ8",
    "HNSW16",
    "HNSW16,SQ8",
    "OPQ4,IVF16,PQ4",
    "PCA16,IVF8,SQ8",
    "IVF16_HNSW8,Flat",
    "IVF16,RaBitQ",
]


@pytest.mark.parametrize("kind", KINDS)
def test_deletions_keep_the_top_k_full_and_deleted_rows_out(kind, corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind=kind, nprobe=1)), [np.arange(3000)])
    before = segment.search(corpus.queries, 40)
    deleted = np.unique(before.rows)
    after = segment.search(corpus.queries, 40, deleted)
    assert (before.counts == 40).all() and (after.counts == 40).all()
    assert not np.isin(after.rows, deleted).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_score_is_the_product_with_the_stored_vector(kind, corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind=kind, nprobe=3)), [np.arange(3000)])
    hits = segment.search(corpus.queries[:5], 20)
    for query, rows, scores in zip(corpus.queries, hits.rows, hits.scores, strict=False):
        assert rescore(query, corpus.vectors[rows]).tobytes() == scores.tobytes()
        assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize(("way", "top"), [(Bf16Products, 127), (Int8Products, 127), (Int8Products, 2)])
def test_rough_products_change_neither_ids_nor_scores_however_rough_they_are(monkeypatch, way, top, corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(3000)])
    deleted = np.arange(0, 3000, 7)
    expected = segment.search(corpus.queries, 70, deleted)
    monkeypatch.setattr(scanning, "fastest_products", lambda: way)
    monkeypatch.setattr(scanning, "_WORTH", 0)
    monkeypatch.setattr("actors.index.rounding._TOP", top)
    found = segment.search(corpus.queries, 70, deleted)
    assert (found.ids == expected.ids).all() and found.scores.tobytes() == expected.scores.tobytes()


@pytest.mark.parametrize("kind", ["flat", "ivf_flat", "ivf_sq8", "HNSW16"])
def test_k_beyond_the_live_rows_returns_all_of_them_once(kind, corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind=kind, nprobe=1)), [np.arange(60)])
    hits = segment.search(corpus.queries, 100, np.arange(0, 60, 2))
    assert (hits.counts == 30).all()
    assert all(sorted(rows[:30]) == list(range(1, 60, 2)) for rows in hits.rows)
    assert np.isneginf(hits.scores[:, 30:]).all() and (hits.ids[:, 30:] == "").all() and (hits.segment[:, 30:] == -1).all()


def test_an_empty_batch_gives_no_rows_and_everything_deleted_gives_no_hits(corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(50)])
    assert segment.search(np.zeros((0, 32), np.float32), 10).scores.shape == (0, 10)
    assert (segment.search(corpus.queries, 10, np.arange(50)).counts == 0).all()


def test_more_queries_than_one_block_are_answered_each(corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind="ivf_flat", nprobe=4)), [np.arange(400)])
    many = np.tile(corpus.queries, (50, 1))
    hits, few = segment.search(many, 3), segment.search(corpus.queries, 3)
    assert (hits.ids == np.tile(few.ids, (50, 1))).all()


def test_a_deleted_row_that_is_not_there_is_refused(corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(50)])
    with pytest.raises(IndexError, match="50"):
        segment.search(corpus.queries, 5, np.array([3, 50]))


def test_a_query_with_nan_is_refused_by_its_row(corpus, generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(50)])
    queries = corpus.queries.copy()
    queries[3, 1] = np.nan
    with pytest.raises(ValueError, match="queries: row 3"):
        segment.search(queries, 5)


@pytest.mark.parametrize("kind", ["flat", "ivf_flat", "ivf_sq8", "SQfp16"])
def test_a_tie_group_far_larger_than_the_fetch_is_resolved_by_id(kind, corpus, generation, tmp_path):
    made = generation(IndexConfig(kind=kind, nprobe=2))
    vectors = np.concatenate([corpus.vectors[:500], np.repeat(corpus.vectors[:1], 700, axis=0)])
    names = [f"other{number}" for number in range(500)] + [f"copy{number}" for number in np.random.default_rng(4).permutation(700)]
    with SegmentWriter(tmp_path / "s", made.template, made.plan) as writer:
        writer.add(vectors, pa.table({"id": names}))
        writer.finish()
    hits = Segment.open(tmp_path / "s", made.plan).search(corpus.queries[:1], 5)
    assert hits.ids[0].tolist() == sorted(names[500:])[:5]


@pytest.mark.parametrize("name", ["index.faiss", "vectors.npy", "passages.arrow"])
@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_truncated_file_is_refused_by_name(name, kept, generation, build, tmp_path):
    made = generation(IndexConfig(kind="ivf_sq8"))
    build(made, [np.arange(500)])
    path = tmp_path / "0" / name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        Segment.open(tmp_path / "0", made.plan)


def test_files_of_two_segments_are_refused_together(generation, build, tmp_path):
    made = generation(IndexConfig(kind="flat"))
    build(made, [np.arange(500), np.arange(400)])
    (tmp_path / "0" / "passages.arrow").unlink()
    (tmp_path / "1" / "passages.arrow").rename(tmp_path / "0" / "passages.arrow")
    with pytest.raises(ValueError, match=r"500 rows in the index.*400 passages"):
        Segment.open(tmp_path / "0", made.plan)


def test_a_plan_of_another_dimension_is_refused(generation, build, tmp_path):
    made = generation(IndexConfig(kind="flat"))
    build(made, [np.arange(50)])
    with pytest.raises(ValueError, match="dimension 32, but the plan says 64"):
        Segment.open(tmp_path / "0", dataclasses.replace(made.plan, dimension=64))


def test_ids_and_texts_follow_the_rows_asked(corpus, generation, build):
    part = np.arange(1000, 2000)
    (segment,) = build(generation(IndexConfig(kind="flat")), [part])
    rows = np.array([999, 0, 500, 0])
    assert segment.ids(rows) == corpus.ids[part[rows]].tolist()
    assert segment.passages.take(rows, ["text"])["text"].to_pylist() == [f"text of {name}" for name in corpus.ids[part[rows]]]


def test_fp16_values_are_what_a_flat_index_holds(corpus, generation, build, tmp_path):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(100)])
    held = faiss.read_index(str(tmp_path / "0" / "index.faiss"))
    assert (held.reconstruct_n(0, 100) == corpus.vectors[:100].astype(np.float32)).all()
    assert (segment.vectors == corpus.vectors[:100]).all()


def test_hits_bear_the_number_of_their_segment(corpus, generation, build):
    segments = build(generation(IndexConfig(kind="flat")), [np.arange(50), np.arange(50, 100)])
    assert (segments[1].search(corpus.queries, 5).segment == 1).all()
