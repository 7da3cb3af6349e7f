"""Queries and all vectors of a flat index in; the rows of the highest products out. Good enough to propose: who decides re-scores them.

In float32, FAISS' own search of plain vectors works at the rate of the bare product. Where the processor multiplies bf16 faster, or much is
deleted (which FAISS can not leave out of a matrix product), the products are made here block by block (products.py), and each block is
compared with the score that a row must beat by now, so that nearly all of it is read once and forgotten.
"""

from collections.abc import Iterator

import faiss
import numpy as np

from actors.index.products import Product, fastest_product, float32_product
from actors.index.sharing import shared_out

_FIRST = 512
_BLOCK = 4096


def scan(queries: np.ndarray, vectors: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `count` best rows of vectors float32 [N, d] for queries float32 [n, d], without the rows `gone` (int64, ascending).

    Returns scores float32 and rows int64, both [n, count], best first, padded with -inf and -1. Memory: 4,096 scores per query.
    """
    multiply = fastest_product()
    if multiply is float32_product and len(gone) <= count:
        return _by_faiss(queries, vectors, count, gone)
    return scan_blocks(queries, vectors, count, gone, multiply)


def scan_blocks(queries: np.ndarray, vectors: np.ndarray, count: int, gone: np.ndarray, multiply: Product) -> tuple[np.ndarray, np.ndarray]:
    """As `scan`, by products of the queries and 4,096 vectors at a time."""
    space = np.empty(len(queries) * min(_BLOCK, max(_FIRST, len(vectors))), np.float32)
    with shared_out(len(queries)) as (parts, each):
        kept = [_Best(part.stop - part.start, count) for part in parts]
        for start, stop in _blocks(len(vectors)):
            products = space[: len(queries) * (stop - start)].reshape(len(queries), stop - start)
            multiply(queries, vectors[start:stop], products)
            first, last = np.searchsorted(gone, [start, stop])
            products[:, gone[first:last] - start] = -np.inf
            each(_Best.take_in, kept, [products[part] for part in parts], [start] * len(parts))
        found = each(_Best.in_order, kept)
    return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found])


def _by_faiss(queries: np.ndarray, vectors: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `scan`. So many rows more are fetched as are gone, and these left out."""
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


class _Best:
    """The best rows of n queries so far: `count` at least, more until the space is used up."""

    def __init__(self, queries: int, count: int) -> None:
        self._count = count
        capacity = count + max(_FIRST, min(4 * count, _BLOCK))
        self._scores = np.full((queries, capacity), -np.inf, np.float32)
        self._rows = np.full((queries, capacity), -1, np.int64)
        self._used = np.zeros(queries, np.int64)
        self._least = np.full((queries, 1), -np.inf, np.float32)

    def take_in(self, products: np.ndarray, start: int) -> None:
        """Keep what is above the worst of the best, from products float32 [n, m] of the block that begins at row `start`."""
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
        self._scores, self._rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        self._add(query, before.reshape(-1)[kept], rows.reshape(-1)[kept])
