"""The rough ways to a flat index's best rows, against the exact one."""

import numpy as np
import pytest
import torch

from actors.index.gpu_flat import GpuFlat
from actors.index.products import Bf16Products, Float32Products, Int8Products
from actors.index.rounding import RoundedVectors, round_rows


def unit_vectors(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, 32)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("way", [Float32Products, Bf16Products, Int8Products])
def test_products_are_right_to_their_precision_block_by_block_and_leave_torch_as_it_was(way):
    queries, vectors, before = unit_vectors(5, 0), unit_vectors(70, 1), torch.backends.mkldnn.matmul.fp32_precision
    queries.flags.writeable = False
    products = way(queries, RoundedVectors(vectors) if way is Int8Products else vectors)
    out = [np.empty((5, stop - start), products.dtype) for start, stop in ((0, 40), (40, 70))]
    products.block(0, 40, out[0])
    products.block(40, 70, out[1])
    assert products.scores(np.concatenate(out, axis=1)) == pytest.approx(queries @ vectors.T, abs=0.01)
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_products_of_8_bits_are_summed_without_loss_even_of_the_largest_numbers():
    vectors = np.where(np.random.default_rng(0).random((64, 1024)) < 0.5, np.float32(-1), np.float32(1))
    products, out = Int8Products(vectors, RoundedVectors(vectors)), np.empty((64, 64), np.int32)
    products.block(0, 64, out)
    assert (products.scores(out).round(3) == vectors @ vectors.T).all()


def test_a_dimension_that_is_much_larger_or_all_zeros_spoils_no_other():
    vectors = unit_vectors(300, 6) * np.where(np.arange(32) == 3, 50, np.where(np.arange(32) == 5, 0, 1)).astype(np.float32)
    rounded = RoundedVectors(vectors)
    assert np.abs(rounded.whole * rounded.steps - vectors).max(axis=0) == pytest.approx(rounded.steps / 2, rel=0.2, abs=1e-6)
    whole, steps = round_rows(np.array([[0, 0], [2, -1]], np.float32))
    assert whole.tolist() == [[0, 0], [127, -64]] and steps[1] == pytest.approx(2 / 127)


def test_the_flat_index_of_a_gpu_proposes_the_best_rows_with_scores_right_to_bf16(monkeypatch):
    monkeypatch.setattr("actors.index.gpu_flat._BLOCK", 64)
    queries, vectors = unit_vectors(6, 2), unit_vectors(300, 3)
    scores, rows = GpuFlat(vectors, "cpu").search(queries, 40)
    products = queries @ vectors.T
    assert scores == pytest.approx(np.take_along_axis(products, rows, axis=1), abs=0.01)
    best = np.argsort(-products, axis=1)[:, :10]
    assert all(set(wanted) <= set(found) for wanted, found in zip(best.tolist(), rows.tolist(), strict=True))


def test_the_flat_index_of_a_gpu_pads_what_it_does_not_have():
    scores, rows = GpuFlat(unit_vectors(3, 4), "cpu").search(unit_vectors(2, 5), 5)
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all() and (np.sort(rows[:, :3]) == [0, 1, 2]).all()
