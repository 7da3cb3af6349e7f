"""Queries and all vectors of a flat index in; the rows of the highest products out, by blocks of one matrix product each.

Every block is compared with the score that a row must beat by now, so that nearly all of it is read once and forgotten.
Scores are those of the product (products.py), good enough to propose; who decides re-scores them.
"""

from collections.abc import Iterator

import numpy as np

from actors.index.products import fastest_product
from actors.index.sharing import shared_out

_FIRST = 512
_BLOCK = 4096


def scan(queries: np.ndarray, vectors: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `count` best rows of vectors float32 [N, d] for queries float32 [n, d], without the rows `gone` (int64, ascending).

    Returns scores float32 and rows int64, both [n, count], best first, padded with -inf and -1. Memory: 4,096 scores per query.
    """
    multiply, space = fastest_product(), np.empty(len(queries) * min(_BLOCK, max(_FIRST, len(vectors))), np.float32)
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
        capacity = count + max(_FIRST, min(2 * count, _BLOCK))
        self._scores = np.full((queries, capacity), -np.inf, np.float32)
        self._rows = np.full((queries, capacity), -1, np.int64)
        self._used = np.zeros(queries, np.int64)
        self._least = np.full((queries, 1), -np.inf, np.float32)

    def take_in(self, products: np.ndarray, start: int) -> None:
        """Keep what is above the worst of the best, from products float32 [n, m] of the block that begins at row `start`."""
        above = np.flatnonzero(products > self._least)
        if not len(above):
            return
        query, place = np.divmod(above, products.shape[1])
        new = np.bincount(query, minlength=len(products))
        if (self._used + new).max() > self._scores.shape[1]:
            self._cut_down(int(new.max()))
        column = self._used[query] + np.arange(len(query)) - np.repeat(np.cumsum(new) - new, new)
        self._scores[query, column] = products[query, place]
        self._rows[query, column] = place + start
        self._used += new

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows, both [n, count], best first."""
        self._cut_down(0)
        order = np.argsort(-self._scores[:, : self._count], axis=1, kind="stable")
        return np.take_along_axis(self._scores, order, axis=1), np.take_along_axis(self._rows, order, axis=1)

    def _cut_down(self, room: int) -> None:
        """Keep the best `count` alone, with space for `room` more."""
        capacity = max(self._scores.shape[1], self._count + room)
        best = np.argpartition(self._scores, -self._count, axis=1)[:, -self._count :]
        shape = (len(best), capacity)
        scores, rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        scores[:, : self._count] = np.take_along_axis(self._scores, best, axis=1)
        rows[:, : self._count] = np.take_along_axis(self._rows, best, axis=1)
        self._scores, self._rows, self._least = scores, rows, scores[:, : self._count].min(axis=1, keepdims=True)
        self._used = np.minimum(self._used, self._count)
