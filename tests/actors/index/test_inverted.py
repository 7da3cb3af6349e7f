"""Sparse search: exact, the same for any cut into segments, deletions inside the search."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.index import inverted
from actors.index.hits import Hits, merge_hits
from actors.index.inverted import InvertedLists, InvertedWriter, SparseIndex, TermRows
from configs.schema import IndexConfig

ROWS, TERMS, QUERIES = 3000, 400, 40


def random_rows(rng: np.random.Generator, count: int, low: int, high: int) -> TermRows:
    """Rows of distinct terms below TERMS, frequent ones more often; weights of a few values, so that scores tie."""
    chances = 1 / np.arange(1, TERMS + 1)
    lengths = rng.integers(low, high, count)
    terms = [np.sort(rng.choice(TERMS, size, replace=False, p=chances / chances.sum())) for size in lengths]
    weights = rng.choice(np.array([0.1, 0.25, 1 / 3, 0.7], np.float32), int(lengths.sum()))
    return TermRows(np.concatenate([[0], np.cumsum(lengths)]), np.concatenate(terms).astype(np.int64), weights)


@pytest.fixture(scope="module")
def passages() -> TermRows:
    return random_rows(np.random.default_rng(0), ROWS, 0, 12)


@pytest.fixture(scope="module")
def queries() -> TermRows:
    ascending = random_rows(np.random.default_rng(1), QUERIES, 1, 6)
    order = [np.random.default_rng(a).permutation(np.arange(a, b)) for a, b in pairwise(ascending.starts)]
    return TermRows(ascending.starts, ascending.terms[np.concatenate(order)], ascending.weights[np.concatenate(order)])


def some_rows(rows: TermRows, wanted: np.ndarray) -> TermRows:
    inside = [np.arange(rows.starts[row], rows.starts[row + 1]) for row in wanted]
    places = np.concatenate(inside)
    return TermRows(np.concatenate([[0], np.cumsum([len(part) for part in inside])]), rows.terms[places], rows.weights[places])


Search = Callable[..., Hits]


@pytest.fixture
def search(build, generation, passages, queries, tmp_path: Path) -> Search:
    """Search the passages cut into `segments` segments of interleaved rows."""

    def found(segments: int, k: int = 50, deleted: np.ndarray | None = None) -> Hits:
        parts = [np.arange(number, ROWS, segments) for number in range(segments)]
        opened = build(generation(IndexConfig(kind="flat")), parts)
        hits = []
        for rows, segment in zip(parts, opened, strict=True):
            folder = tmp_path / f"lists-{segments}-{segment.number}"
            folder.mkdir(exist_ok=True)
            writer = InvertedWriter()
            for chunk in np.array_split(rows, 3):
                writer.add(some_rows(passages, chunk))
            writer.finish(folder, "sparse")
            gone = None if deleted is None else np.flatnonzero(np.isin(rows, deleted))
            hits.append(SparseIndex(InvertedLists.open(folder, "sparse"), segment).search(queries, k, gone))
        return merge_hits(hits, k)

    return found


def expected(corpus, passages: TermRows, queries: TermRows, k: int, deleted=()) -> list[list[tuple[str, float]]]:
    """The slow way: a dictionary for every row."""
    out = []
    held = [dict(zip(passages.terms[a:b], passages.weights[a:b], strict=True)) for a, b in pairwise(passages.starts)]
    for a, b in pairwise(queries.starts):
        scored = []
        for row, weights in enumerate(held):
            score = 0.0
            for term, weight in sorted(zip(queries.terms[a:b], queries.weights[a:b], strict=True)):
                score += float(weight) * float(weights.get(term, 0.0))
            if score > 0 and row not in deleted:
                scored.append((corpus.ids[row], float(np.float32(score))))
        out.append(sorted(scored, key=lambda hit: (-hit[1], hit[0]))[:k])
    return out


def pairs(hits: Hits) -> list[list[tuple[str, float]]]:
    return [list(zip(hits.ids[q, :n], hits.scores[q, :n].tolist(), strict=True)) for q, n in enumerate(hits.counts)]


def test_hits_are_those_of_the_slow_way_with_its_very_scores(search, corpus, passages, queries):
    assert pairs(search(1)) == expected(corpus, passages, queries, 50)


@pytest.mark.parametrize("segments", [2, 8])
def test_any_number_of_segments_gives_the_same_ids_and_the_same_bits(segments, search):
    one, several = search(1), search(segments)
    assert (one.ids == several.ids).all()
    assert one.scores.tobytes() == several.scores.tobytes()


def test_deleted_rows_leave_no_gap(search, corpus, passages, queries):
    first = search(3, 10)
    deleted = np.flatnonzero(np.isin(corpus.ids, first.ids[:, :5].ravel().astype(str)))
    after = search(3, 10, deleted)
    assert pairs(after) == expected(corpus, passages, queries, 10, set(deleted.tolist()))
    assert (after.counts == 10).sum() > QUERIES // 2 and len(deleted) > 50


def test_many_small_products_give_what_one_gives(search, monkeypatch):
    whole = search(1)
    monkeypatch.setattr(inverted, "_BLOCK", 100)
    assert pairs(search(1)) == pairs(whole)


def test_a_query_whose_terms_nobody_has_finds_nothing(build, generation, passages, tmp_path):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(ROWS)])
    writer = InvertedWriter()
    writer.add(passages)
    writer.finish(tmp_path, "sparse")
    index = SparseIndex(InvertedLists.open(tmp_path, "sparse"), segment)
    strange = TermRows(np.array([0, 0, 2]), np.array([-7, TERMS + 5]), np.ones(2, np.float32))
    assert index.search(strange, 5).counts.tolist() == [0, 0]
    assert len(index.search(TermRows(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)), 5).scores) == 0


def test_a_segment_without_any_term_can_be_searched(build, generation, queries, tmp_path):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(3)])
    writer = InvertedWriter()
    writer.add(TermRows(np.zeros(4, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)))
    writer.finish(tmp_path, "sparse")
    assert not SparseIndex(InvertedLists.open(tmp_path, "sparse"), segment).search(queries, 5).counts.any()


def test_arrow_lists_become_rows_and_bad_ones_are_named():
    ids, weights = pa.chunked_array([[[3, 9], []], [[4]]], pa.list_(pa.int32())), pa.chunked_array([[[0.5, 1.0], [], [2.0]]])
    rows = TermRows.from_lists(ids, weights.cast(pa.list_(pa.float32())))
    assert (rows.starts.tolist(), rows.terms.tolist(), rows.weights.tolist()) == ([0, 2, 2, 3], [3, 9, 4], [0.5, 1.0, 2.0])
    with pytest.raises(ValueError, match="row 2 holds NaN"):
        TermRows.from_lists(ids, pa.chunked_array([[[0.5, 1.0], [], [float("nan")]]], pa.list_(pa.float32())))
    with pytest.raises(ValueError, match="differ in number"):
        TermRows.from_lists(ids, pa.chunked_array([[[0.5], [1.0], [2.0]]], pa.list_(pa.float32())))


@pytest.mark.parametrize("part", ["terms", "starts", "rows", "weights"])
def test_a_cut_off_file_is_an_error_that_names_its_folder(part, passages, tmp_path):
    writer = InvertedWriter()
    writer.add(passages)
    writer.finish(tmp_path, "sparse")
    path = tmp_path / f"sparse.{part}.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=str(tmp_path)):
        InvertedLists.open(tmp_path, "sparse")
