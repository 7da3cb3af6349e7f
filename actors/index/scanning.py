"""Queries and all vectors of a flat index in; the rows of the highest products out, by blocks of one matrix product each.

faiss-cpu 1.15.1 takes its matrix product only from 128,000 queries on (`faiss.cvar.distance_compute_blas_threshold`, one setting
for the whole process, so not ours to change): for 128 queries on two cores a search by this scan took a third of its time.
Scores are BLAS scores, good enough to propose; who decides re-scores them.
"""

import numpy as np

_BLOCK = 8192


def scan(queries: np.ndarray, vectors: np.ndarray, count: int, gone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `count` best rows of vectors float32 [N, d] for queries float32 [n, d], without the rows `gone` (int64, ascending).

    Returns scores float32 and rows int64, both [n, count], best first, padded with -inf and -1. Memory: 8,192 scores per query.
    """
    scores = np.full((len(queries), count), -np.inf, np.float32)
    rows = np.full((len(queries), count), -1, np.int64)
    for start in range(0, len(vectors), _BLOCK):
        products = queries @ vectors[start : start + _BLOCK].T
        first, last = np.searchsorted(gone, [start, start + _BLOCK])
        products[:, gone[first:last] - start] = -np.inf
        _take_in(scores, rows, products, start)
    rows[np.isneginf(scores)] = -1
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _take_in(scores: np.ndarray, rows: np.ndarray, products: np.ndarray, start: int) -> None:
    """Replace, in place, the worst kept scores by the better products of the block that begins at row `start`."""
    better = products > scores.min(axis=1, keepdims=True)
    counts = better.sum(axis=1)
    widest = int(counts.max())
    if not widest:
        return
    if 4 * widest > products.shape[1]:
        new_scores, new_rows = products, np.broadcast_to(np.arange(start, start + products.shape[1]), products.shape)
    else:
        new_scores, new_rows = _compact(products, better, counts, start)
    all_scores, all_rows = np.concatenate([scores, new_scores], axis=1), np.concatenate([rows, new_rows], axis=1)
    count = scores.shape[1]
    best = np.argpartition(-all_scores, count - 1, axis=1)[:, :count]
    scores[:], rows[:] = np.take_along_axis(all_scores, best, axis=1), np.take_along_axis(all_rows, best, axis=1)


def _compact(products: np.ndarray, chosen: np.ndarray, counts: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The chosen products and their rows, moved to the left of as few columns as hold them."""
    query, place = np.nonzero(chosen)
    column = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(products), int(counts.max()))
    scores, rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    scores[query, column] = products[query, place]
    rows[query, column] = place + start
    return scores, rows
