"""Queries and all vectors of a flat index in; the rows of the highest products out. Good enough to propose: who decides re-scores them.

In float32, FAISS' own search of plain vectors works at the rate of its matrix product. Where the processor multiplies smaller numbers
faster, or much is deleted (which FAISS can not leave out of a product), the products are made here block by block (products.py), and each
block is compared with the score that a row must beat by now, so that nearly all of it is read once and forgotten.
"""

from collections.abc import Iterator
from functools import cached_property

import faiss
import numpy as np

from actors.index.products import Bf16Products, Float32Products, Int8Products, Products, fastest_products
from actors.index.rounding import RoundedVectors
from actors.index.sharing import shared_out

_FIRST = 512
_BLOCK = 4096
_WORTH = 1 << 37  # multiplications, a second or two, after which it is likely to pay to load torch and round the vectors
_WORTH_QUERIES = 8
_WIDER = 2  # rows that a rough way proposes for each one asked: so its errors seldom reach beyond


class FlatScan:
    """The scan of vectors float32 [N, d]. Once much was asked it may keep an 8-bit copy of them, a quarter of their size."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors, self._multiplied = vectors, 0

    @cached_property
    def _rounded(self) -> RoundedVectors:
        return RoundedVectors(self._vectors)

    def propose(self, queries: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `exact`, by now in the fastest way: twice as many rows where that is a rough one, whose scores are a little off."""
        rows = len(self._vectors)
        self._multiplied += len(queries) * self._vectors.size
        way = fastest_products() if self._multiplied >= _WORTH and len(queries) >= _WORTH_QUERIES else Float32Products
        if way is Float32Products:
            return _by_faiss(queries, self._vectors, count, gone) if len(gone) <= count else self.exact(queries, count, gone)
        products: Products = Int8Products(queries, self._rounded) if way is Int8Products else Bf16Products(queries, self._vectors)
        return scan_blocks(products, len(queries), rows, min(_WIDER * count, rows - len(gone)), gone)

    def exact(self, queries: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The `count` best rows for queries float32 [n, d], without the rows `gone` (int64, ascending), by float32's sums.

        Returns scores float32 and rows int64, both [n, count], best first, padded with -inf and -1. Memory: 4,096 scores per query.
        """
        return scan_blocks(Float32Products(queries, self._vectors), len(queries), len(self._vectors), count, gone)


def scan_blocks(products: Products, queries: int, rows: int, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As FlatScan.exact, by products of so many queries with 4,096 of the rows at a time."""
    space, lowest = np.empty(queries * min(_BLOCK, max(_FIRST, rows)), products.dtype), _lowest(products.dtype)
    with shared_out(queries) as (parts, each):
        kept = [_Best(part.stop - part.start, count, products.dtype) for part in parts]
        for start, stop in _blocks(rows):
            block = space[: queries * (stop - start)].reshape(queries, stop - start)
            products.block(start, stop, block)
            first, last = np.searchsorted(gone, [start, stop])
            block[:, gone[first:last] - start] = lowest
            each(_Best.take_in, kept, [block[part] for part in parts], [start] * len(parts))
        found = each(_Best.in_order, kept)
    best, places = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.where(places < 0, np.float32(-np.inf), products.scores(best)), places


def _by_faiss(queries: np.ndarray, vectors: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As FlatScan.exact. So many rows more are fetched as are gone, and these left out."""
    wanted = min(len(vectors), count + len(gone))
    found_scores, found = faiss.knn(np.ascontiguousarray(queries), vectors, wanted, metric=faiss.METRIC_INNER_PRODUCT)
    lost = np.isin(found, gone) | (found < 0)
    if lost.any():
        found_scores, found = np.where(lost, np.float32(-np.inf), found_scores), np.where(lost, -1, found)
        order = np.argsort(lost, axis=1, kind="stable")
        found_scores, found = np.take_along_axis(found_scores, order, axis=1), np.take_along_axis(found, order, axis=1)
    scores, rows = np.full((len(queries), count), -np.inf, np.float32), np.full((len(queries), count), -1, np.int64)
    scores[:, :wanted], rows[:, :wanted] = found_scores[:, :count], found[:, :count]
    return scores, rows


def _blocks(total: int) -> Iterator[tuple[int, int]]:
    """First and last row of each block: as large as all before it, so that a block never brings many times `count` rows."""
    start = 0
    while start < total:
        stop = min(total, start + min(_BLOCK, max(_FIRST, start)))
        yield start, stop
        start = stop


def _lowest(dtype: type[np.generic]) -> float | int:
    """Below every product, and the negative of something."""
    return -np.inf if issubclass(dtype, np.floating) else -int(np.iinfo(np.dtype(dtype)).max)


class _Best:
    """The best rows of n queries so far: `count` at least, more until the space is used up."""

    def __init__(self, queries: int, count: int, dtype: type[np.generic]) -> None:
        self._count, self._lowest = count, _lowest(dtype)
        capacity = count + max(_FIRST, min(4 * count, _BLOCK))
        self._scores = np.full((queries, capacity), self._lowest, dtype)
        self._rows = np.full((queries, capacity), -1, np.int64)
        self._used = np.zeros(queries, np.int64)
        self._least = np.full((queries, 1), self._lowest, dtype)

    def take_in(self, products: np.ndarray, start: int) -> None:
        """Keep what is above the worst of the best, from products [n, m] of the block that begins at row `start`."""
        above = np.flatnonzero(products > self._least)
        query = above // products.shape[1]
        self._add(query, products.reshape(-1)[above], above - query * products.shape[1] + start)

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows, both [n, count], best first."""
        order = np.argsort(-self._scores, axis=1, kind="stable")[:, : self._count]
        return np.take_along_axis(self._scores, order, axis=1), np.take_along_axis(self._rows, order, axis=1)

    def _add(self, query: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> None:
        """Put scores and rows, both [m], behind what their queries (int64 [m], ascending) have."""
        new = np.bincount(query, minlength=len(self._used))
        if (self._used + new).max(initial=0) > self._scores.shape[1]:
            self._cut_down(int(new.max()))
        column = self._used[query] + np.arange(len(query)) - (np.cumsum(new) - new)[query]
        place = query * self._scores.shape[1] + column
        self._scores.reshape(-1)[place], self._rows.reshape(-1)[place] = scores, rows
        self._used += new

    def _cut_down(self, room: int) -> None:
        """Let go of what is below the best `count`, and make space for `room` more."""
        before, rows = self._scores, self._rows
        self._least = np.partition(before, -self._count, axis=1)[:, -self._count, None]
        kept = np.flatnonzero((before >= self._least) & (rows >= 0))
        query = kept // before.shape[1]
        self._used = np.zeros(len(before), np.int64)
        most = int(np.bincount(query, minlength=1).max())
        shape = (len(before), max(before.shape[1], most + room))
        self._scores, self._rows = np.full(shape, self._lowest, before.dtype), np.full(shape, -1, np.int64)
        self._add(query, before.reshape(-1)[kept], rows.reshape(-1)[kept])
