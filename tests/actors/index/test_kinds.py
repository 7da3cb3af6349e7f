"""From config to plan."""

import pytest

from actors.index.kinds import resolve_plan
from configs.errors import UserError
from configs.schema import IndexConfig


def test_auto_is_flat_up_to_200_000_passages_and_then_ivf_sq8():
    small, large = resolve_plan(IndexConfig(), 200_000, 64), resolve_plan(IndexConfig(), 200_001, 64)
    assert (small.kind, small.factory, small.exact, small.trained) == ("flat", "Flat", True, False)
    assert (large.kind, large.exact, large.trained) == ("ivf_sq8", False, True)
    assert large.factory == "IVF1789,SQ8" and large.nprobe == 224


@pytest.mark.parametrize(("kind", "codes"), [("ivf_flat", "Flat"), ("ivf_sq8", "SQ8"), ("ivf_pq", "PQ8")])
def test_each_named_kind_has_its_factory_string(kind, codes):
    assert resolve_plan(IndexConfig(kind=kind, nlist=16, nprobe=3), 10_000, 64).factory == f"IVF16,{codes}"


@pytest.mark.parametrize(("rows", "train_rows"), [(1, 10), (38, 100), (1_000, 200_000), (50_000_000, 200_000)])
def test_default_lists_leave_39_training_points_each(rows, train_rows):
    plan = resolve_plan(IndexConfig(kind="ivf_flat", train_rows=train_rows), rows, 16)
    assert plan.nlist >= 1
    assert plan.nlist == 1 or min(rows, train_rows) >= 39 * plan.nlist


@pytest.mark.parametrize(("nlist", "nprobe", "wanted"), [(8, 0, 8), (64, 0, 16), (400, 0, 50), (64, 5, 5), (64, 1000, 64)])
def test_nprobe_defaults_to_an_eighth_and_never_passes_the_lists(nlist, nprobe, wanted):
    assert resolve_plan(IndexConfig(kind="ivf_flat", nlist=nlist, nprobe=nprobe), 100_000, 16).nprobe == wanted


def test_a_pq_size_that_does_not_divide_the_dimension_names_its_neighbours():
    with pytest.raises(UserError, match=r"index\.pq_bytes is 50.*384: use 48 or 64"):
        resolve_plan(IndexConfig(kind="ivf_pq", pq_bytes=50), 100_000, 384)


def test_the_default_pq_size_divides_any_dimension():
    assert resolve_plan(IndexConfig(kind="ivf_pq", nlist=4), 1000, 100).factory == "IVF4,PQ10"


def test_a_factory_string_passes_with_its_own_lists():
    plan = resolve_plan(IndexConfig(kind="OPQ8,IVF256,PQ8"), 100_000, 64)
    assert (plan.nlist, plan.nprobe, plan.trained, plan.exact) == (256, 32, True, False)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Nope", "could not parse index string Nope"),
        ("IVF16,PQ7", "multiple of the number of subquantizers"),
        ("IVF16,PQ8x4fs", "FastScan.*deletions"),
        ("PCA16,IVF16,PQ8x4fs", "FastScan.*deletions"),
        ("IDMap,Flat", "outside FAISS"),
        ("IVF16,SQ8,RFlat", "re-scoring"),
        ("LSH", "FAISS says"),
    ],
)
def test_a_factory_string_that_can_not_serve_is_refused_with_the_reason(kind, reason):
    with pytest.raises(UserError, match=reason):
        resolve_plan(IndexConfig(kind=kind), 100_000, 64)


def test_more_lists_than_training_vectors_are_refused():
    with pytest.raises(UserError, match=r"500 lists but only 300 vectors.*index\.nlist"):
        resolve_plan(IndexConfig(kind="ivf_flat", nlist=500), 300, 16)


@pytest.mark.parametrize(
    ("kind", "close"), [("flat", True), ("ivf_sq8", True), ("ivf_pq", False), ("PCA16,IVF8,SQ8", False), ("IVF16,RaBitQ", False)]
)
def test_only_near_exact_codes_promise_a_complete_top_k(kind, close):
    assert resolve_plan(IndexConfig(kind=kind), 10_000, 64).close_codes is close
