"""Score arrays to histograms, quantiles and a threshold: what "why are all similarities above 0.6?" is answered with.

In: the scores of all candidates. Out: a dict of bounded size. Knows neither queries nor passages.
"""

from typing import Any

import numpy as np

BINS = 60
LEVEL = 0.6
"""The similarity that users of BGE models ask about (FlagEmbedding's FAQ)."""
KEEP_RELEVANT = 0.95


def describe_scores(scores: np.ndarray, relevant: np.ndarray | None) -> dict[str, Any] | None:
    """Histogram and quantiles of all candidates, of the first of every query, and of the relevant ones.

    Args:
        scores: [queries, k] float, best first, NaN where a query has fewer results.
        relevant: [n] float, the scores of relevant passages among those; none without qrels.

    Returns:
        None where there is no score, else the summary of all candidates (count, mean, p1, p50, p99, share_above_0.6), `first`
        and `relevant` (summaries, or null), `threshold` and `histogram` (edges [bins + 1], and counts [bins] per group).
    """
    everything = _finite(scores)
    if not everything.size:
        return None
    first = _finite(scores[:, 0])
    known = None if relevant is None or not _finite(relevant).size else _finite(relevant)
    edges = _edges(everything)
    groups = {"all": everything, "first": first, "relevant": known}
    counts = {name: None if group is None else np.histogram(group, bins=edges)[0] for name, group in groups.items()}
    return _summary(everything) | {
        "first": _summary(first) if first.size else None,
        "relevant": None if known is None else _summary(known),
        "threshold": None if known is None else _threshold(everything, known),
        "histogram": {"edges": edges} | counts,
    }


def _finite(scores: np.ndarray) -> np.ndarray:
    flat = np.asarray(scores, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def _edges(scores: np.ndarray) -> np.ndarray:
    low, high = float(scores.min()), float(scores.max())
    # Equal scores still get a histogram: one full bin around them.
    margin = 0.0 if high > low else max(abs(low) * 0.01, 0.01)
    return np.linspace(low - margin, high + margin, BINS + 1)


def _summary(scores: np.ndarray) -> dict[str, Any]:
    low, middle, high = np.quantile(scores, [0.01, 0.5, 0.99])
    above = float((scores > LEVEL).mean())
    return {"count": scores.size, "mean": scores.mean(), "p1": low, "p50": middle, "p99": high, f"share_above_{LEVEL}": above}


def _threshold(everything: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    score = float(np.quantile(relevant, 1 - KEEP_RELEVANT))
    return {"score": score, "keeps_relevant": float((relevant >= score).mean()), "drops_all": float((everything < score).mean())}
