"""Samples and templates."""

import numpy as np
import pytest

from actors.index.kinds import resolve_plan
from actors.index.training import choose_sample_rows, read_template, train_template
from configs.errors import UserError
from configs.schema import IndexConfig


@pytest.mark.parametrize("kind", ["flat", "ivf_sq8", "ivf_pq", "OPQ4,IVF16,PQ4"])
def test_the_same_sample_and_seed_give_the_same_bytes(kind, corpus):
    plan = resolve_plan(IndexConfig(kind=kind), 3000, 32)
    assert train_template(plan, corpus.vectors[:1000], 5) == train_template(plan, corpus.vectors[:1000], 5)


def test_another_seed_trains_another_quantiser(corpus):
    plan = resolve_plan(IndexConfig(kind="ivf_flat"), 3000, 32)
    assert train_template(plan, corpus.vectors, 5) != train_template(plan, corpus.vectors, 6)


@pytest.mark.parametrize("kind", ["flat", "ivf_sq8", "HNSW16"])
def test_a_template_is_trained_and_empty(kind, corpus):
    plan = resolve_plan(IndexConfig(kind=kind), 3000, 32)
    index = read_template(train_template(plan, corpus.vectors, 0))
    assert (index.is_trained, index.ntotal, index.d) == (True, 0, 32)


def test_too_small_a_sample_for_pq_is_told_with_a_remedy(corpus):
    plan = resolve_plan(IndexConfig(kind="ivf_pq", nlist=2), 100, 32)
    with pytest.raises(UserError, match=r"can not be trained on 100 vectors.*ivf_sq8"):
        train_template(plan, corpus.vectors[:100], 0)


def test_a_nan_in_the_sample_is_refused(corpus):
    sample = corpus.vectors.copy()
    sample[17, 0] = np.nan
    with pytest.raises(ValueError, match="training sample: row 17"):
        train_template(resolve_plan(IndexConfig(kind="ivf_flat"), 3000, 32), sample, 0)


@pytest.mark.parametrize(("total", "count"), [(10, 100), (1000, 100), (10_000_000, 50)])
def test_sample_rows_are_distinct_ascending_and_repeatable(total, count):
    rows = choose_sample_rows(total, count, 1)
    assert len(rows) == min(total, count) and rows.dtype == np.int64
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < total
    assert (rows == choose_sample_rows(total, count, 1)).all()
    assert total <= count or (rows != choose_sample_rows(total, count, 2)).any()
