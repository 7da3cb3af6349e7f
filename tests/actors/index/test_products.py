"""The rough ways to a flat index's best rows, against the exact one."""

import numpy as np
import pytest
import torch

from actors.index.gpu_flat import GpuFlat
from actors.index.products import bf16_product, float32_product


def unit_vectors(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, 32)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("product", [float32_product, bf16_product])
def test_a_product_is_right_to_bf16_and_leaves_torch_as_it_was(product):
    queries, vectors, before = unit_vectors(5, 0), unit_vectors(70, 1), torch.backends.mkldnn.matmul.fp32_precision
    out = np.empty((5, 70), np.float32)
    queries.flags.writeable = False
    product(queries, vectors, out)
    assert out == pytest.approx(queries @ vectors.T, abs=0.01)
    assert torch.backends.mkldnn.matmul.fp32_precision == before


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
