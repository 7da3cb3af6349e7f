"""Batches by token budget: what they hold, and what happens when memory runs out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.models.batching import default_budget, plan_batches, run_with_budget


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 2000))
def test_every_row_is_in_one_batch_and_no_batch_of_several_rows_is_over_budget(lengths, budget):
    lengths = np.array(lengths, np.int64)
    batches = plan_batches(lengths, budget)
    assert sorted(np.concatenate([*batches, np.zeros(0, np.int64)]).tolist()) == list(range(len(lengths)))
    assert all(len(rows) == 1 or lengths[rows].sum() <= budget for rows in batches)


def test_rows_go_longest_first_and_equal_lengths_keep_their_order():
    assert [rows.tolist() for rows in plan_batches(np.array([2, 5, 2, 5]), 10)] == [[1, 3], [0, 2]]


def test_running_out_of_memory_halves_the_budget_and_loses_no_row():
    lengths, done, failed = np.array([8, 8, 8, 8, 4, 4, 2]), [], []

    def step(rows):
        if lengths[rows].sum() > 16:
            failed.append(len(rows))
            raise torch.OutOfMemoryError("too large")
        done.append(rows.tolist())

    assert run_with_budget(lengths, 1000, step) == 42
    assert failed == [7, 3]  # all 42 tokens, then a budget of 21 holds 8 + 8 and then 8 + 8 + 4
    assert sorted(row for rows in done for row in rows) == list(range(7))


def test_one_row_that_does_not_fit_gives_the_original_error():
    def step(rows):
        raise torch.OutOfMemoryError("tried to allocate 7 GiB")

    with pytest.raises(torch.OutOfMemoryError, match="7 GiB"):
        run_with_budget(np.array([3, 3, 3]), 100, step)


def test_other_errors_are_not_taken_for_memory():
    def step(rows):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_with_budget(np.array([3, 3, 3]), 100, step)


def test_budgets():
    assert (default_budget("cpu"), default_budget("cuda")) == (2048, 32768)
