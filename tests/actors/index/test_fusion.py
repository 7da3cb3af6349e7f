"""Fusion: the formulas, one total order, and what it is for: a hybrid that beats both its parts."""

import math

import numpy as np
import pytest

from actors.index.fusion import fuse
from actors.index.hits import Candidates, Hits, best_hits
from tests import scifact


def hits(queries: int, k: int, found: list[tuple[int, str, float]]) -> Hits:
    """From (query, id such as "p3", score); a passage's row is its number, its segment the number's parity."""
    query, ids, scores = zip(*found, strict=True) if found else ((), (), ())
    numbers = np.array([int(name[1:]) for name in ids], np.int64)
    reach = np.zeros(len(ids), np.int8)
    return best_hits(
        queries,
        k,
        Candidates(
            np.array(query, np.int64),
            np.array(scores, np.float32),
            numbers,
            np.array(ids, object),
            (numbers % 2).astype(np.int32),
            reach,
        ),
    )


DENSE = hits(2, 3, [(0, "p1", 0.75), (0, "p2", 0.5), (0, "p3", 0.25), (1, "p4", 0.5)])
LEXICAL = hits(2, 4, [(0, "p3", 12.0), (0, "p5", 8.0), (0, "p1", 4.0)])
WEIGHTS = {"dense": 1.0, "bm25": 0.125}


def test_the_weighted_sum_counts_0_where_a_retriever_did_not_find_a_passage():
    fused = fuse({"dense": DENSE, "bm25": LEXICAL}, WEIGHTS, "weighted", 4)
    assert fused.hits.ids.tolist() == [["p3", "p1", "p5", "p2"], ["p4", "", "", ""]]
    assert fused.hits.scores[0].tolist() == [0.25 + 1.5, 0.75 + 0.5, 1.0, 0.5]
    np.testing.assert_array_equal(fused.parts["dense"], np.array([[0.25, 0.75, np.nan, 0.5], [0.5, np.nan, np.nan, np.nan]], np.float32))
    np.testing.assert_array_equal(fused.parts["bm25"], np.array([[12, 4, 8, np.nan], [np.nan] * 4], np.float32))


def test_reciprocal_ranks_count_places_and_not_scores():
    fused = fuse({"dense": DENSE, "bm25": LEXICAL}, {"dense": 1.0, "bm25": 2.0}, "rrf", 2)
    expected = {"p1": 1 / 61 + 2 / 63, "p3": 1 / 63 + 2 / 61, "p2": 1 / 62, "p5": 2 / 62}
    best = sorted(expected, key=lambda name: -expected[name])[:2]
    assert fused.hits.ids[0].tolist() == best
    assert fused.hits.scores[0].tolist() == [np.float32(expected[name]) for name in best]


def test_rows_and_segments_stay_those_of_the_passages():
    fused = fuse({"dense": DENSE, "bm25": LEXICAL}, WEIGHTS, "rrf", 5)
    assert fused.hits.rows.tolist() == [[int(name[1:]) if name else -1 for name in line] for line in fused.hits.ids]
    assert fused.hits.segment.tolist() == [[int(name[1:]) % 2 if name else -1 for name in line] for line in fused.hits.ids]
    assert fused.hits.counts.tolist() == [4, 1]


def test_equal_scores_are_ordered_by_id():
    mirrored = {"dense": hits(1, 2, [(0, "p7", 2.0), (0, "p12", 1.0)]), "bm25": hits(1, 2, [(0, "p12", 2.0), (0, "p7", 1.0)])}
    for method in ("weighted", "rrf"):
        fused = fuse(mirrored, {"dense": 1.0, "bm25": 1.0}, method, 2)
        assert fused.hits.ids.tolist() == [["p12", "p7"]]
        assert fused.hits.scores[0, 0] == fused.hits.scores[0, 1]


def test_retrievers_that_find_nothing_make_an_empty_ranking():
    nothing = hits(2, 3, [])
    fused = fuse({"sparse": nothing, "bm25": nothing}, {"sparse": 1.0, "bm25": 1.0}, "rrf", 3)
    assert fused.hits.counts.tolist() == [0, 0] and all(math.isnan(score) for score in fused.parts["bm25"].ravel())


def test_one_id_for_two_passages_is_an_error():
    other = best_hits(
        1,
        1,
        Candidates(
            np.zeros(1, np.int64), np.ones(1, np.float32), np.ones(1, np.int64), np.array(["p4"], object), *np.ones((2, 1), np.int32)
        ),
    )
    with pytest.raises(ValueError, match="'p4' comes twice"):
        fuse({"dense": hits(1, 1, [(0, "p4", 1.0)]), "bm25": other}, WEIGHTS, "rrf", 2)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Hits]]:
    """Dense and BM25 hits on SciFact, by number of segments."""
    folder = tmp_path_factory.mktemp("scifact")
    return {segments: scifact.search(folder, scifact.load(), segments) for segments in (1, 3)}


@pytest.mark.parametrize(("method", "weights"), [("rrf", {"dense": 1.0, "bm25": 1.0}), ("weighted", {"dense": 1.0, "bm25": 0.03})])
def test_on_scifact_the_hybrid_beats_dense_and_bm25_whatever_the_number_of_segments(method, weights, found):
    one, three = (fuse(parts, weights, method, 100).hits for parts in found.values())
    parts = {kind: scifact.load().measure(hits) for kind, hits in found[1].items()}
    hybrid = scifact.load().measure(one)
    assert parts["dense"]["ndcg_at_10"] == pytest.approx(0.645, abs=0.002)  # what the quickstart measures
    for part in parts.values():
        assert hybrid["ndcg_at_10"] > part["ndcg_at_10"] + 0.03
        assert hybrid["recall_at_100"] > part["recall_at_100"] + 0.01
    assert (one.ids == three.ids).all() and one.scores.tobytes() == three.scores.tobytes()
