"""Measured recall."""

import numpy as np
import pytest

from actors.index.recall import measure_recall
from configs.schema import IndexConfig


@pytest.mark.parametrize("kind", ["ivf_flat", "ivf_sq8"])
def test_recall_rises_with_the_lists_visited_and_ends_at_one(kind, generation, build):
    found = []
    for nprobe in (2, 10, 30, 10_000):
        (segment,) = build(generation(IndexConfig(kind=kind, nprobe=nprobe)), [np.arange(3000)])
        found.append(measure_recall(segment, 60).recall)
    assert found == sorted(found) and found[0] < 0.8 < found[2] and found[3] == 1.0


def test_exact_search_with_ties_at_the_boundary_has_recall_one(generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(3000)])
    report = measure_recall(segment, 50, k=15, seed=2)
    assert (report.k, report.k_used, report.queries, report.recall) == (15, 15, 50, 1.0)


def test_the_query_itself_does_not_count(generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(4)])
    report = measure_recall(segment, 50, k=100)
    assert (report.k_used, report.queries, report.recall) == (3, 4, 1.0)


@pytest.mark.parametrize(("rows", "sample"), [(1, 10), (20, 0)])
def test_nothing_to_measure_is_none_and_not_one(rows, sample, generation, build):
    (segment,) = build(generation(IndexConfig(kind="flat")), [np.arange(rows)])
    report = measure_recall(segment, sample)
    assert (report.queries, report.recall) == (0, None)
