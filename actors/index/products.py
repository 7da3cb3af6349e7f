"""Queries and all vectors of a flat index in; their inner products out, a block of vectors at a time, in the fastest way of this machine.

bf16 where a CPU is fast at it, and 8-bit integers where it has VNNI or AMX, are off by some 1e-3 of a score: enough to propose rows that
are then re-scored exactly. torch loads only there.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from actors.index.rounding import RoundedVectors, round_rows
from actors.machine import has_bf16, has_vnni

if TYPE_CHECKING:
    import torch

_TRIAL_S = 0.2


class Products(Protocol):
    """The inner products of n queries with N vectors, in numbers of whatever type is quickest."""

    dtype: type[np.generic]

    def block(self, start: int, stop: int, out: np.ndarray) -> None:
        """Those with the vectors from `start` to `stop`, into `out` [n, stop - start] of that type."""

    def scores(self, products: np.ndarray) -> np.ndarray:
        """What products [n, m] of these queries mean: float32 [n, m]."""


class Float32Products:
    """By numpy's BLAS, in float32 throughout. queries float32 [n, d], vectors float32 [N, d]."""

    dtype: type[np.generic] = np.float32

    def __init__(self, queries: np.ndarray, vectors: np.ndarray) -> None:
        self._queries, self._vectors = queries, vectors

    def block(self, start: int, stop: int, out: np.ndarray) -> None:
        """As Products.block."""
        np.matmul(self._queries, self._vectors[start:stop].T, out=out)

    def scores(self, products: np.ndarray) -> np.ndarray:
        """As Products.scores."""
        return products


class Bf16Products(Float32Products):
    """By oneDNN, which rounds the factors to bf16 where the processor multiplies these faster, and sums in float32."""

    def block(self, start: int, stop: int, out: np.ndarray) -> None:
        """As Products.block."""
        import torch

        matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # not in torch's stubs
        before = matmul.fp32_precision
        matmul.fp32_precision = "bf16"
        try:
            torch.mm(_tensor(self._queries), _tensor(self._vectors[start:stop]).T, out=torch.from_numpy(out))
        finally:
            matmul.fp32_precision = before


class Int8Products:
    """By oneDNN, of vectors and queries float32 [n, d] rounded to 8 bits, summed exactly in 32."""

    dtype: type[np.generic] = np.int32

    def __init__(self, queries: np.ndarray, vectors: RoundedVectors) -> None:
        self._whole, self._steps = round_rows(queries * vectors.steps)
        self._vectors = vectors.whole

    def block(self, start: int, stop: int, out: np.ndarray) -> None:
        """As Products.block."""
        import torch

        torch._int_mm(_tensor(self._whole), _tensor(self._vectors[start:stop]).T, out=torch.from_numpy(out))

    def scores(self, products: np.ndarray) -> np.ndarray:
        """As Products.scores."""
        return np.multiply(products, self._steps, dtype=np.float32)


@lru_cache(maxsize=1)
def fastest_products() -> type[Products]:
    """Of float32 and what this processor has instructions for, the one that is fastest in a short trial."""
    ways: list[type[Products]] = [Float32Products]
    if has_bf16():
        ways.append(Bf16Products)
    if has_vnni():
        ways.append(Int8Products)
    return ways[0] if len(ways) == 1 else min(ways, key=_seconds)


def _seconds(way: Any) -> float:
    """Of the best of many products: FAISS' threads, which have just worked, spin for a while and slow the first ones."""
    rng = np.random.default_rng(0)
    queries, vectors = rng.standard_normal((256, 384), np.float32), rng.standard_normal((4096, 384), np.float32)
    products: Products = way(queries, RoundedVectors(vectors) if way is Int8Products else vectors)
    out, ends = np.empty((256, 4096), products.dtype), [time.perf_counter()]
    while len(ends) < 4 or ends[-1] - ends[0] < _TRIAL_S:
        products.block(0, 4096, out)
        ends.append(time.perf_counter())
    return float(np.diff(ends).min())


def _tensor(array: np.ndarray) -> torch.Tensor:
    """The same memory as a tensor; a copy of what may not be written, which torch would warn of."""
    import torch

    return torch.from_numpy(array if array.flags.writeable else array.copy())
