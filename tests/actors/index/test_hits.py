"""Merging: a total order, so that grouping does not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.index.hits import Candidates, Hits, best_hits, empty_hits, merge_hits

QUERIES = 3


def _part(entries: list[tuple[int, int, int, int]], segment: int, k: int) -> Hits:
    """From (query, number, score step, reach)."""
    query, number, score, reach = (
        (np.array(column, dtype=np.int64) for column in zip(*entries, strict=True)) if entries else [np.zeros(0, np.int64)] * 4
    )
    ids = np.array([f"p{n}" for n in number], dtype=object)
    return best_hits(
        QUERIES,
        k,
        Candidates(query, (score / 4).astype(np.float32), number, ids, np.full(len(query), segment, np.int32), reach.astype(np.int8)),
    )


def _same(one: Hits, other: Hits) -> bool:
    return all((getattr(one, name) == getattr(other, name)).all() for name in ("scores", "rows", "ids", "segment", "reach"))


entries = st.lists(
    st.tuples(st.integers(0, QUERIES - 1), st.integers(0, 40), st.integers(-2, 2), st.integers(0, 2)),
    max_size=60,
    unique_by=lambda entry: entry[:2],
)


@settings(max_examples=150, deadline=None)
@given(entries, st.lists(st.integers(0, 4), min_size=60, max_size=60), st.integers(1, 12), st.permutations(range(5)))
def test_any_partition_grouping_and_order_of_parts_merges_to_the_same_hits(entries, owners, k, order):
    parts = [_part([entry for entry, owner in zip(entries, owners, strict=False) if owner == part], 0, k) for part in range(5)]
    whole = merge_hits([_part(entries, 0, k)], k)
    flat = merge_hits([parts[number] for number in order], k)
    nested = merge_hits([merge_hits([parts[order[0]], parts[order[1]]], k), merge_hits([parts[number] for number in order[2:]], k)], k)
    assert _same(flat, whole) and _same(nested, whole)


@settings(max_examples=60, deadline=None)
@given(entries, st.integers(1, 50))
def test_hits_are_the_first_k_of_a_plain_sort(entries, k):
    hits = _part(entries, 7, k)
    for query in range(QUERIES):
        kept = sorted((reach, -score, f"p{number}") for place, number, score, reach in entries if place == query)[:k]
        expected = [name for _, _, name in sorted(kept, key=lambda entry: entry[1:])]
        assert [name for name in hits.ids[query] if name] == expected
        assert (hits.segment[query][: len(expected)] == 7).all()


@settings(max_examples=60, deadline=None)
@given(entries, st.integers(1, 50))
def test_hits_survive_the_trip_through_a_table(entries, k):
    hits = _part(entries, 2, k)
    assert _same(Hits.from_table(hits.to_table(), k), hits)


def test_a_further_reach_fills_places_but_outdoes_nothing():
    near = _part([(0, 1, -2, 0), (0, 2, -1, 0)], 0, 3)
    far = _part([(0, 3, 2, 1), (0, 4, 1, 1)], 1, 3)
    merged = merge_hits([near, far], 3)
    assert merged.ids[0].tolist() == ["p3", "p2", "p1"]
    assert merge_hits([near, far], 2).ids[0].tolist() == ["p2", "p1"]


def test_ids_tie_by_code_point_not_by_number_or_locale():
    names = ["p10", "p9", "P1", "é", "z", "\U0001d49c"]
    row = np.arange(len(names))
    candidates = Candidates(
        np.zeros(6, np.int64), np.ones(6, np.float32), row, np.array(names, object), np.zeros(6, np.int32), np.zeros(6, np.int8)
    )
    assert best_hits(1, 6, candidates).ids[0].tolist() == sorted(names)


def test_an_id_in_two_segments_is_refused_by_name():
    with pytest.raises(ValueError, match="'p5' comes twice for query 1"):
        merge_hits([_part([(1, 5, 1, 0), (0, 4, 1, 0)], 0, 4), _part([(1, 5, 2, 0)], 1, 4)], 4)


def test_parts_of_different_queries_and_no_parts_are_refused():
    with pytest.raises(ValueError, match=r"\[3, 2\]"):
        merge_hits([empty_hits(3, 4), empty_hits(2, 4)], 4)
    with pytest.raises(ValueError, match=r"not \[\]"):
        merge_hits([], 4)


def test_a_table_with_longer_rows_than_asked_is_refused():
    table = _part([(0, number, 1, 0) for number in range(5)], 0, 5).to_table()
    with pytest.raises(ValueError, match="5 hits, more than the 4"):
        Hits.from_table(table, 4)


def test_nothing_merges_to_nothing():
    merged = merge_hits([empty_hits(2, 3), empty_hits(2, 5)], 4)
    assert merged.scores.shape == (2, 4) and (merged.counts == 0).all()
    assert Hits.from_table(merged.to_table()).scores.shape == (2, 0)
