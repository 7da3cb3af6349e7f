"""Hits of several retrievers over the same queries in; one ranking, with each retriever's own scores beside it, out.

Weighted sum, as the M3 paper's hybrid: the scores as they are, times the weights; a passage that a retriever did not find counts 0
for it. Reciprocal rank fusion: weight / (60 + rank), rank 1 being a retriever's best (Cormack, Clarke and Buettcher, SIGIR 2009).
Ordered as all hits are: by score descending, then id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from actors.index.hits import Candidates, Hits, best_hits

RANK_CONSTANT = 60
"""The paper's k: how little the first ranks stand out from the next."""


@dataclass(frozen=True, slots=True)
class Fused:
    """One ranking made of several."""

    hits: Hits
    """[n, k]; the scores are the fused ones, `reach` is 0."""
    parts: dict[str, np.ndarray]
    """By retriever: float32 [n, k], its own score of each hit, NaN where it did not find it."""


def fuse(parts: Mapping[str, Hits], weights: Mapping[str, float], method: Literal["weighted", "rrf"], k: int) -> Fused:
    """The best k of each query over all parts, each of which holds the same n queries.

    Sums are taken in the order of `parts`. Raises ValueError when an id stands for two passages.
    """
    found = {name: np.nonzero(hits.rows >= 0) for name, hits in parts.items()}
    query = np.concatenate([where[0] for where in found.values()])
    segment, rows, ids = (
        np.concatenate([getattr(hits, column)[found[name]] for name, hits in parts.items()]) for column in ("segment", "rows", "ids")
    )
    keys = np.stack([query, segment, rows], axis=1).astype(np.int64)
    distinct, first, passage = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    total, scores, start = np.zeros(len(distinct)), {}, 0
    for name, hits in parts.items():
        here = passage.reshape(-1)[start : start + len(found[name][0])]
        start += len(here)
        own = hits.scores[found[name]]
        total[here] += weights[name] * (own.astype(np.float64) if method == "weighted" else 1 / (RANK_CONSTANT + 1 + found[name][1]))
        scores[name] = np.full(len(distinct) + 1, np.nan, np.float32)  # one more, for the place -1 of padding
        scores[name][here] = own
    # Passages travel through the one total order under their own numbers, so that what belongs to them can be found again.
    numbers = np.arange(len(distinct))
    candidates = Candidates(distinct[:, 0], total.astype(np.float32), numbers, ids[first], np.zeros_like(numbers), np.zeros_like(numbers))
    best = best_hits(len(next(iter(parts.values())).scores), k, candidates)
    kept = best.rows
    hits = Hits(best.scores, _picked(distinct[:, 2], kept), best.ids, _picked(distinct[:, 1], kept).astype(np.int32), best.reach)
    return Fused(hits, {name: values[kept] for name, values in scores.items()})


def _picked(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """`values` at `places`, -1 where the place is -1."""
    return np.append(values, -1)[places]
