"""Measures against values worked out by hand, and against pytrec_eval called directly."""

from math import log2

import numpy as np
import pytest
import pytrec_eval

from actors.evaluation.measures import evaluate


def ranked(*passages: str) -> list[tuple[str, float]]:
    return [(passage, 1.0 - row / 10) for row, passage in enumerate(passages)]


def test_measures_equal_the_values_worked_out_by_hand():
    qrels = {"q": {"a": 2, "b": 1, "c": 1, "d": 0}}
    found = evaluate({"q": ranked("x", "a", "d", "b")}, qrels, (1, 2, 3, 4)).means
    ideal = 2 + 1 / log2(3) + 1 / log2(4)
    assert found["ndcg_at_1"] == 0
    assert found["ndcg_at_3"] == pytest.approx((2 / log2(3)) / ideal)
    assert found["ndcg_at_4"] == pytest.approx((2 / log2(3) + 1 / log2(5)) / ideal)
    assert found["recall_at_2"] == pytest.approx(1 / 3)
    assert found["recall_at_4"] == pytest.approx(2 / 3)
    assert found["precision_at_4"] == pytest.approx(2 / 4)
    assert found["map_at_2"] == pytest.approx((1 / 2) / 3)
    assert found["map"] == found["map_at_4"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert (found["mrr_at_1"], found["mrr_at_2"], found["mrr"]) == (0, 0.5, 0.5)


def test_the_reciprocal_rank_stops_at_the_cut_exactly():
    for rank in (1, 3, 10, 11, 49, 100):
        ranking = ranked(*[f"x{row}" for row in range(rank - 1)], "right")
        found = evaluate({"q": ranking}, {"q": {"right": 1}}, (rank - 1, rank) if rank > 1 else (rank,)).means
        assert found[f"mrr_at_{rank}"] == pytest.approx(1 / rank)
        assert found.get(f"mrr_at_{rank - 1}", 0.0) == 0


def test_the_order_of_a_ranking_decides_and_not_its_scores():
    qrels = {"q": {"a": 1}}
    tied = [("a", 0.5), ("z", 0.5)]
    upside_down = [("a", 0.1), ("z", 0.9)]
    assert evaluate({"q": tied}, qrels, (1,)).means["ndcg_at_1"] == 1
    assert evaluate({"q": upside_down}, qrels, (1,)).means["ndcg_at_1"] == 1


def test_judged_queries_without_results_count_zero_and_are_told():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}, "q4": {"a": 1}}
    found = evaluate({"q1": ranked("a"), "q2": []}, qrels, (10,))
    assert found.means["ndcg_at_10"] == 0.25
    assert (found.queries, found.unanswered) == (4, 3)
    assert found.values("recall_at_10").tolist() == [1, 0, 0, 0]


def test_queries_without_a_relevant_passage_or_a_judgement_are_left_out():
    found = evaluate({"q1": ranked("a"), "q2": ranked("a"), "q3": ranked("a")}, {"q1": {"a": 1}, "q2": {"a": 0}}, (1,))
    assert list(found.per_query) == ["q1"]
    assert found.means["precision_at_1"] == 1
    with pytest.raises(ValueError, match="relevant"):
        evaluate({"q2": ranked("a")}, {"q2": {"a": 0}}, (1,))


def test_a_passage_ranked_twice_is_refused():
    with pytest.raises(ValueError, match="'q'"):
        evaluate({"q": ranked("a", "b", "a")}, {"q": {"a": 1}}, (1,))


def test_measures_equal_pytrec_eval_called_directly():
    random = np.random.default_rng(7)
    passages = [f"p{row}" for row in range(60)]
    qrels = {
        f"q{row}": {p: int(g) for p, g in zip(passages, random.integers(0, 3, 60), strict=True) if random.random() < 0.3}
        for row in range(20)
    }
    rankings = {}
    for query in qrels:
        scores = np.sort(random.normal(size=40))[::-1]
        rankings[query] = list(zip(random.permutation(passages)[:40].tolist(), scores.tolist(), strict=True))
    found = evaluate(rankings, qrels, (1, 3, 10, 100))
    names = {"ndcg_at": "ndcg_cut", "recall_at": "recall", "map_at": "map_cut", "precision_at": "P"}
    wanted = {"map", "recip_rank"} | {f"{theirs}.1,3,10,100" for theirs in names.values()}
    direct = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate({query: dict(ranking) for query, ranking in rankings.items()})
    for ours, theirs in [(f"{a}_{cut}", f"{b}_{cut}") for a, b in names.items() for cut in (1, 3, 10, 100)] + [
        ("map", "map"),
        ("mrr", "recip_rank"),
    ]:
        assert found.means[ours] == pytest.approx(np.mean([direct[query][theirs] for query in found.per_query])), ours
    assert found.queries == 20


def test_values_of_two_runs_align_whatever_the_order_of_the_rankings():
    qrels = {"q2": {"a": 1}, "q1": {"b": 1}}
    one = evaluate({"q1": ranked("b"), "q2": ranked("x")}, qrels, (1,))
    other = evaluate({"q2": ranked("a"), "q1": ranked("x")}, dict(reversed(qrels.items())), (1,))
    assert one.values("mrr").tolist() == [1, 0]
    assert other.values("mrr").tolist() == [0, 1]
