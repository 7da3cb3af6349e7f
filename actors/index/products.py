"""Two float32 matrices in, all inner products of their rows out, by whichever way this machine does it fastest.

On a CPU with AMX the bf16 units do it, off by some 1e-3 of a score: enough to propose rows that are then re-scored exactly.
torch loads only there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from actors.machine import has_amx

if TYPE_CHECKING:
    import torch

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""Queries float32 [n, d], vectors float32 [m, d], and where the products go, float32 [n, m]."""


@lru_cache(maxsize=1)
def fastest_product() -> Product:
    """numpy's product, or with AMX the bf16 one where it is the faster in a short trial."""
    if not has_amx():
        return float32_product
    return min((bf16_product, float32_product), key=_seconds)


def float32_product(queries: np.ndarray, vectors: np.ndarray, out: np.ndarray) -> None:
    """By numpy's BLAS, in float32 throughout."""
    np.matmul(queries, vectors.T, out=out)


def bf16_product(queries: np.ndarray, vectors: np.ndarray, out: np.ndarray) -> None:
    """By oneDNN, which rounds the factors to bf16 where the processor multiplies these faster, and sums in float32."""
    import torch

    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # not in torch's stubs
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        torch.mm(_tensor(queries), _tensor(vectors).T, out=torch.from_numpy(out))
    finally:
        matmul.fp32_precision = before


def _tensor(array: np.ndarray) -> torch.Tensor:
    """The same memory as a tensor; a copy of what may not be written, which torch would warn of."""
    import torch

    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _seconds(product: Product) -> float:
    """Of the better of two products, after one that warms up."""
    rng = np.random.default_rng(0)
    queries, vectors = rng.standard_normal((256, 384), np.float32), rng.standard_normal((4096, 384), np.float32)
    out = np.empty((256, 4096), np.float32)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        product(queries, vectors, out)
        times.append(time.perf_counter() - started)
    return min(times[1:])
