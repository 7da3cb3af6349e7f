"""The paired bootstrap: right on average, the same for the same seed, honest about no gain."""

import numpy as np
import pytest

from actors.evaluation import bootstrap
from actors.evaluation.bootstrap import measure_gains, paired_bootstrap
from actors.evaluation.measures import evaluate


def test_the_interval_covers_the_true_gain_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        before = random.random(80)
        found = paired_bootstrap(before, before + random.normal(0.05, 0.2, 80), 400, 0.9, seed=trial)
        covered += found.low <= 0.05 <= found.high
    assert 0.84 <= covered / 300 <= 0.95


def test_a_clear_gain_is_told_from_chance_and_no_gain_is_not():
    random = np.random.default_rng(2)
    before = random.random(300)
    gain = paired_bootstrap(before, before + random.normal(0.05, 0.1, 300), 2000, 0.95, seed=0)
    noise = random.normal(0, 0.1, 300)
    chance = paired_bootstrap(before, before + noise - noise.mean(), 2000, 0.95, seed=0)
    assert gain.low > 0 and gain.p_value == pytest.approx(2 / 2001)
    assert chance.low < 0 < chance.high and chance.p_value > 0.5
    assert gain.queries == 300 and gain.confidence == 0.95


def test_what_queries_have_in_common_cancels_out():
    before = np.random.default_rng(3).random(50)
    found = paired_bootstrap(before, before + 0.125, 500, 0.95, seed=0)
    assert (found.mean_gain, found.low, found.high) == pytest.approx((0.125, 0.125, 0.125))


def test_identical_runs_have_no_gain_and_a_p_value_of_one():
    values = np.random.default_rng(4).random(50)
    found = paired_bootstrap(values, values, 500, 0.95, seed=0)
    assert (found.mean_gain, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    before, after = np.random.default_rng(5).random((2, 100))
    first = paired_bootstrap(before, after, 500, 0.95, seed=11)
    assert first == paired_bootstrap(before, after, 500, 0.95, seed=11)
    assert first != paired_bootstrap(before, after, 500, 0.95, seed=12)


def test_the_interval_does_not_depend_on_how_many_draws_fit_in_memory(monkeypatch):
    before, after = np.random.default_rng(6).random((2, 90))
    whole = paired_bootstrap(before, after, 300, 0.95, seed=0)
    monkeypatch.setattr(bootstrap, "DRAWS", 100)
    assert paired_bootstrap(before, after, 300, 0.95, seed=0) == whole


def test_vectors_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="equal"):
        paired_bootstrap(np.zeros(3), np.zeros(4), 10, 0.95, seed=0)
    with pytest.raises(ValueError, match="equal"):
        paired_bootstrap(np.zeros(0), np.zeros(0), 10, 0.95, seed=0)


def test_gains_are_given_for_every_measure_asked_and_need_the_same_queries():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}}
    before = evaluate({"q1": [("x", 1.0), ("a", 0.5)], "q2": [("a", 1.0)]}, qrels, (1, 10))
    after = evaluate({"q1": [("a", 1.0)], "q2": [("a", 1.0)]}, qrels, (1, 10))
    gains = measure_gains(before, after, ("mrr_at_10", "recall_at_1"), 200, 0.95, seed=0)
    assert gains["mrr_at_10"].mean_gain == 0.25 and gains["recall_at_1"].mean_gain == 0.5
    with pytest.raises(ValueError, match="different queries"):
        measure_gains(before, evaluate({}, {"q1": {"a": 1}}, (1,)), ("mrr",), 200, 0.95, seed=0)
