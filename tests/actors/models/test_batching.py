"""Batches by token budget: what they hold, and what happens when memory runs out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.models.batching import Plan, by_prefix, default_budget, run_with_budget


def batches_of(plan: Plan, budget: int) -> list[np.ndarray]:
    batches: list[np.ndarray] = []
    run_with_budget(plan, budget, batches.append)
    return batches


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 2000))
def test_every_row_is_in_one_batch_and_no_batch_of_several_rows_is_over_budget(lengths, budget):
    lengths = np.array(lengths, np.int64)
    batches = batches_of(Plan.by_length(lengths), budget)
    assert sorted(np.concatenate([*batches, np.zeros(0, np.int64)]).tolist()) == list(range(len(lengths)))
    assert all(len(rows) == 1 or lengths[rows].sum() <= budget for rows in batches)


def test_rows_go_longest_first_and_equal_lengths_keep_their_order():
    assert [rows.tolist() for rows in batches_of(Plan.by_length(np.array([2, 5, 2, 5])), 10)] == [[1, 3], [0, 2]]


def test_running_out_of_memory_halves_the_budget_and_loses_no_row():
    lengths, done, failed = np.array([8, 8, 8, 8, 4, 4, 2]), [], []

    def step(rows):
        if lengths[rows].sum() > 16:
            failed.append(len(rows))
            raise torch.OutOfMemoryError("too large")
        done.append(rows.tolist())

    run_with_budget(Plan.by_length(lengths), 1000, step)
    assert failed == [7, 3]  # all 42 tokens, then a budget of 21 holds 8 + 8 and then 8 + 8 + 4
    assert sorted(row for rows in done for row in rows) == list(range(7))


def test_in_an_order_given_too_memory_that_runs_out_loses_no_row():
    order, done = np.array([3, 0, 2, 1, 4]), []

    def step(rows):
        if len(rows) > 2:
            raise torch.OutOfMemoryError("too large")
        done.extend(rows.tolist())

    run_with_budget(Plan(np.full(5, 8), order, np.zeros(5, np.int64)), 1000, step)
    assert done == order.tolist()


def test_one_row_that_does_not_fit_gives_the_original_error():
    def step(rows):
        raise torch.OutOfMemoryError("tried to allocate 7 GiB")

    with pytest.raises(torch.OutOfMemoryError, match="7 GiB"):
        run_with_budget(Plan.by_length(np.array([3, 3, 3])), 100, step)


def test_other_errors_are_not_taken_for_memory():
    def step(rows):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_with_budget(Plan.by_length(np.array([3, 3, 3])), 100, step)


def test_budgets():
    assert (default_budget("cpu"), default_budget("cuda")) == (2048, 32768)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60)), max_size=30), st.integers(20, 300))
def test_batches_keep_texts_of_a_prefix_together_and_to_the_budget(texts, budget):
    prefix_of, suffixes = np.array(texts, np.int64).reshape(-1, 2).T
    prefixes = np.array([5, 9, 700, 1])
    batches = batches_of(by_prefix(prefixes[prefix_of], suffixes, prefix_of), budget)
    rows = np.concatenate([*batches, np.zeros(0, np.int64)]).astype(int)
    assert sorted(rows.tolist()) == list(range(len(texts)))
    assert np.count_nonzero(np.diff(prefix_of[rows])) + bool(texts) == len(set(prefix_of.tolist()))
    for batch in (batch for batch in batches if len(batch) > 1):
        begun = set(prefix_of[batch[1:]].tolist()) - {int(prefix_of[batch[0]])}
        assert suffixes[batch].sum() + sum(int(prefixes[prefix]) for prefix in begun) <= budget
        assert (prefixes[prefix_of[batch]] + suffixes[batch]).sum() <= 16 * budget  # keys and values of all texts


def test_few_texts_behind_a_long_prefix_are_one_batch():
    plan = by_prefix(np.full(16, 1780), np.full(16, 60), np.repeat([0, 1], 8))
    assert [len(rows) for rows in batches_of(plan, 2048)] == [8, 8]
