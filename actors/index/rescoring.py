"""A query and stored vectors in; scores that are the same bits whatever else is scored beside them out.

BLAS sums in an order that depends on the shape of the batch, so that one pair can score differently in two segments.
Here every product of two float32 values is exact in float64 and every row is summed alone.
"""

import numpy as np

from actors.index.sharing import shared_out

_GATHER = 8192


def rescore(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inner products, float32 [m], of query float32 [d] with vectors fp16 or fp32 [m, d]."""
    return exact_products(query, vectors).astype(np.float32)


def exact_products(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """As `rescore`, but float64 [m]: for decisions between near-equal scores."""
    scores: np.ndarray = np.vecdot(vectors.astype(np.float64, order="C"), query.astype(np.float64))
    return scores


def rescore_rows(queries: np.ndarray, rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Scores float32 [n, m] of queries float32 [n, d] with the `rows` int64 [n, m] of vectors [N, d]; -inf where the row is -1.

    Gathers at most 8,192 vectors at a time in each thread.
    """
    scores = np.full(rows.shape, -np.inf, dtype=np.float32)

    def fill(part: slice) -> None:
        for query, wanted, target in zip(queries[part], rows[part], scores[part], strict=True):
            places = np.flatnonzero(wanted >= 0)
            for start in range(0, len(places), _GATHER):
                some = places[start : start + _GATHER]
                target[some] = rescore(query, vectors[wanted[some]])

    with shared_out(len(queries)) as (parts, each):
        each(fill, parts)
    return scores
