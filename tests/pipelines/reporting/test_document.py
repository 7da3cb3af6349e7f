"""report.json: right figures, bounded size, and never a NaN."""

import json
from dataclasses import replace

import numpy as np
import pytest

from actors.evaluation.bootstrap import measure_gains
from actors.evaluation.measures import evaluate
from pipelines.reporting.document import CURVE_POINTS, EXAMPLES, jsonable, report_json
from pipelines.reporting.facts import RejectFacts, ReportFacts, ScoreFacts, SegmentFacts, StageFacts
from pipelines.reporting.scores import describe_scores

PLAIN = ReportFacts(
    name="job",
    run="job-1",
    version=3,
    created="2026-11-21T10:00:00+00:00",
    stages=(StageFacts("embed", 10.0, 4, 1, 300, 9_000, 10_000, 2), StageFacts("index", 0.0, 1, 1, 0, 0, 0, 0)),
    segments=(SegmentFacts("seg-1", "flat", 400, 1_000, 100, None),),
    rejects={"corpus": RejectFacts(400, 4, {"text is empty": 1, "id is used twice": 3}, ({"row": 7, "reason": "text is empty"},))},
    queries=3,
    passages=396,
    config={"name": "job", "queries": {"path": ("a.jsonl",)}},
    environment={"python": "3.11"},
)


def judged(queries: int) -> ReportFacts:
    """Half of the queries improve, a quarter get worse, a quarter stay."""
    names = [f"q{row:04d}" for row in range(queries)]
    qrels = {query: {"right": 1} for query in names}
    near, far = [("right", 0.9), ("x", 0.8)], [("x", 0.9), ("right", 0.8)]
    before = {query: far if row % 4 < 2 else near for row, query in enumerate(names)}
    after = {query: far if row % 4 == 2 else near for row, query in enumerate(names)}
    first, second = evaluate(before, qrels, (1, 10)), evaluate(after, qrels, (1, 10))
    gain = measure_gains(first, second, ("ndcg_at_10", "mrr_at_10"), 200, 0.95, 0)
    return replace(PLAIN, queries=queries, retrieved=first, reranked=second, gain=gain)


def test_a_run_without_qrels_still_has_a_whole_report():
    document = report_json(PLAIN)
    assert document["metrics"] == {"retrieved": None, "reranked": None}
    assert (document["judged"], document["per_query"], document["gain"]) == (None, None, {})
    assert document["config"]["queries"]["path"] == ["a.jsonl"]
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_rates_and_waste_come_from_the_work_of_this_run():
    embed, index = report_json(PLAIN)["stages"]
    assert (embed["rows_per_s"], embed["tokens_per_s"]) == (30.0, 900.0)
    assert embed["padding_waste"] == pytest.approx(0.1)
    assert (index["rows_per_s"], index["tokens_per_s"], index["padding_waste"]) == (None, None, None)
    assert report_json(PLAIN)["wall_seconds"] == 10.0
    assert report_json(replace(PLAIN, wall_seconds=7.5))["wall_seconds"] == 7.5


def test_rejects_are_ordered_by_how_often_they_happen():
    corpus = report_json(PLAIN)["rejects"]["corpus"]
    assert list(corpus["by_reason"]) == ["id is used twice", "text is empty"]
    assert corpus["share"] == 0.01


def test_improved_hurt_and_unchanged_queries_add_up():
    document = report_json(judged(40))
    gains = document["per_query"]
    assert (gains["improved"], gains["hurt"], gains["unchanged"]) == (20, 10, 10)
    assert len(gains["most_improved"]) == EXAMPLES and len(gains["most_hurt"]) == EXAMPLES
    assert all(row["after"] - row["before"] == row["change"] > 0 for row in gains["most_improved"])
    assert all(row["change"] < 0 for row in gains["most_hurt"])
    assert gains["curve"] == sorted(gains["curve"], reverse=True)
    expected = document["metrics"]["reranked"]["ndcg_at_10"] - document["metrics"]["retrieved"]["ndcg_at_10"]
    assert document["gain"]["ndcg_at_10"]["mean_gain"] == pytest.approx(expected)


def test_queries_that_stay_the_same_are_not_called_improved_or_hurt():
    facts = judged(8)
    gains = report_json(replace(facts, reranked=facts.retrieved, gain={}))["per_query"]
    assert (gains["most_improved"], gains["most_hurt"], gains["unchanged"]) == ([], [], 8)


def test_the_report_does_not_grow_with_the_queries():
    scores = ScoreFacts(np.random.default_rng(0).random((3000, 20)))
    document = report_json(replace(judged(3000), retrieval=scores))
    assert len(document["per_query"]["curve"]) == CURVE_POINTS
    assert len(json.dumps(document)) < 40_000


def test_score_figures_count_only_what_is_there():
    scores = np.array([[0.9, 0.7, np.nan], [0.8, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    found = describe_scores(scores, np.array([0.9, np.nan]))
    assert found is not None
    assert (found["count"], found["first"]["count"], found["relevant"]["count"]) == (3, 2, 1)
    assert found["mean"] == pytest.approx(0.8)
    assert found["share_above_0.6"] == 1.0
    assert [int(sum(found["histogram"][group])) for group in ("all", "first", "relevant")] == [3, 2, 1]


def test_the_threshold_keeps_the_relevant_and_says_what_it_drops():
    relevant = np.linspace(0.7, 0.9, 201)
    found = describe_scores(np.concatenate([relevant, np.linspace(0.3, 0.5, 799)]).reshape(-1, 10), relevant)
    assert found is not None
    assert found["threshold"]["score"] == pytest.approx(0.71)
    assert found["threshold"]["keeps_relevant"] == pytest.approx(0.95, abs=0.01)
    assert found["threshold"]["drops_all"] == pytest.approx(0.809, abs=0.001)


def test_a_share_of_similarities_above_the_level_is_measured_not_assumed():
    found = describe_scores(np.array([[0.7, 0.6, 0.5, 0.4]]), None)
    assert found is not None
    assert found["share_above_0.6"] == 0.25
    assert (found["relevant"], found["threshold"]) == (None, None)


def test_equal_scores_and_no_scores_are_no_accident():
    same = describe_scores(np.full((4, 2), 0.5), None)
    assert same is not None and int(sum(same["histogram"]["all"])) == 8
    assert describe_scores(np.full((2, 3), np.nan), None) is None
    assert describe_scores(np.empty((0, 0)), None) is None


def test_what_json_cannot_hold_becomes_what_it_can():
    odd = {1: np.float32(0.5), "a": (float("nan"), np.inf), "b": {"z", "y"}, "c": np.array([1, 2]), "d": np.bool_(True), "e": 1 + 2j}
    assert jsonable(odd) == {"1": 0.5, "a": [None, None], "b": ["y", "z"], "c": [1, 2], "d": True, "e": "(1+2j)"}


def test_no_nan_reaches_the_json_whatever_the_facts_hold():
    facts = replace(
        judged(4),
        retrieval=ScoreFacts(np.array([[0.5, np.nan]]), np.array([np.nan])),
        segments=(SegmentFacts("s", "flat", 1, 1, 100, float("nan")),),
        config={"x": float("inf")},
    )
    text = json.dumps(report_json(facts), allow_nan=False)
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text)["segments"][0]["recall"] is None
