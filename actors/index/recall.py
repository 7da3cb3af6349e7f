"""A segment in; how much of exact search its approximate search finds out. Measured, not assumed, and stored with the segment."""

from dataclasses import dataclass

import numpy as np

from actors.index.segment import TIE, Segment

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Recall of a segment's own vectors as queries, each without itself."""

    k: int
    """Neighbours asked for."""
    k_used: int
    """Neighbours compared: k, or all others in a small segment."""
    queries: int
    """Vectors used as queries."""
    recall: float | None
    """Share (0 to 1) of the exact k_used neighbours found, ties counted as found; none when nothing could be measured."""


def measure_recall(segment: Segment, sample_rows: int, k: int = 100, seed: int = 0) -> RecallReport:
    """Search min(sample_rows, rows) stored vectors and compare with exact search. Reads all vectors once, in chunks."""
    k_used = min(k, segment.rows - 1)
    count = min(sample_rows, segment.rows)
    if k_used < 1 or count < 1:
        return RecallReport(k, max(k_used, 0), 0, None)
    rows = np.sort(np.random.default_rng(seed).choice(segment.rows, count, replace=False, shuffle=False))
    queries = segment.vectors[rows].astype(np.float32)
    least = _exact_least(queries, rows, segment.vectors, k_used)
    hits = segment.search(queries, k_used + 1)
    others = np.where(hits.rows == rows[:, None], -np.inf, hits.scores)
    found = np.minimum((others >= least[:, None] - TIE).sum(axis=1), k_used)
    return RecallReport(k, k_used, count, float(found.mean() / k_used))


def _exact_least(queries: np.ndarray, rows: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """float32 [n]: score of each query's k-th best vector but itself."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(vectors), _CHUNK):
        scores = queries @ np.asarray(vectors[start : start + _CHUNK], dtype=np.float32).T
        own = np.flatnonzero((rows >= start) & (rows < start + scores.shape[1]))
        scores[own, rows[own] - start] = -np.inf
        best = -np.partition(-np.concatenate([best, scores], axis=1), k - 1, axis=1)[:, :k]
    return best[:, k - 1]
