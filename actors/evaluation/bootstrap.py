"""Is the gain real? The paired bootstrap over queries.

In: a measure's value per query before and after. Out: the mean gain with an interval and a p-value. Knows neither the measure
nor what was changed in between.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from actors.evaluation.measures import Measures

DRAWS = 1 << 20
"""Drawn queries held at once: 16 MiB whatever the number of queries and resamples (one resample of more queries takes more)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean gain and how sure it is."""

    mean_gain: float
    """Mean over queries of after - before."""
    low: float
    high: float
    """Percentile bootstrap interval of the mean gain."""
    p_value: float
    """Two-sided: twice the share of resampled means on the other side of zero (itself included, so never 0)."""
    queries: int
    confidence: float
    """Of the interval, for example 0.95."""


def paired_bootstrap(before: np.ndarray, after: np.ndarray, resamples: int, confidence: float, seed: int) -> Interval:
    """The mean gain over queries with its percentile interval (Efron and Tibshirani, 1993, chapter 13).

    Queries are drawn with replacement, `resamples` times; a query keeps its pair, so what makes queries differ cancels out.

    Args:
        before: [queries] float; after: [queries] float, in the same order.
        resamples: 1 or more. confidence: between 0 and 1. seed: same seed, same answer.

    Raises:
        ValueError: shapes differ, there is no query, or `resamples` is below 1.
    """
    if np.shape(before) != np.shape(after) or np.ndim(before) != 1 or np.size(before) == 0 or resamples < 1:
        raise ValueError(f"want two equal, non-empty vectors and a resample; got {np.shape(before)}, {np.shape(after)} and {resamples}")
    gains = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    means = _resampled_means(gains, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    # An observed mean counts as one more resample: with finitely many, a p-value of 0 would claim too much.
    tail = (min(int((means <= 0).sum()), int((means >= 0).sum())) + 1) / (resamples + 1)
    return Interval(float(gains.mean()), float(low), float(high), min(1.0, 2 * tail), int(gains.size), confidence)


def measure_gains(
    before: Measures, after: Measures, measures: Iterable[str], resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Measure -> interval of its gain, for two `Measures` over the same qrels.

    Raises:
        ValueError: the two were not evaluated on the same queries.
    """
    if list(before.per_query) != list(after.per_query):
        raise ValueError("the two evaluations cover different queries, so their values can not be paired")
    return {name: paired_bootstrap(before.values(name), after.values(name), resamples, confidence, seed) for name in measures}


def _resampled_means(gains: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    means = np.empty(resamples, dtype=np.float64)
    rows = max(1, DRAWS // gains.size)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        drawn = random.integers(0, gains.size, size=(stop - start, gains.size), dtype=np.int64)
        means[start:stop] = gains[drawn].mean(axis=1)
    return means
