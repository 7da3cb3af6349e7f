"""Results of two ways to do the same work in; a refusal out where they differ. No figure is shown of work that was not the same."""

from collections.abc import Callable, Collection, MutableMapping, Sequence

import numpy as np

from actors.models.quality_gate import LEAST_CORRELATION
from benchmarks.timing import OURS, Contestant, first_run

VECTOR_ERROR = 1e-5
"""Of any component of fp32 vectors of length 1."""

COSINE = 0.9995
"""Of bf16 vectors with fp32 ones, the worst pair."""

SCORE_ERROR = {"fp32": 1e-3, "bf16": 2e-2}
"""Of a reranker's logits."""

TIE = 1e-6


class NotTheSame(Exception):
    """Two contestants do not compute the same."""


Check = Callable[[str, np.ndarray, np.ndarray], str]
"""A name, its result and the reference's -> a note; raises NotTheSame."""


def admit(
    contestants: Sequence[Contestant], check: Check, title: str, left_out: MutableMapping[str, str], inexact: Collection[str] = ()
) -> tuple[list[Contestant], dict[str, str]]:
    """The contestants, warm, whose results are those of the first one, and notes by name; the reasons of the others go to `left_out`.

    Raises NotTheSame where one of the others is ours and not among the `inexact`, which not every checkpoint bears.
    """
    admitted, notes, reference = [], {}, None
    for contestant in contestants:
        result, warm = first_run(contestant)
        reference = result if reference is None else reference
        try:
            notes[contestant.name] = check(contestant.name, result, reference)
        except NotTheSame as difference:
            if contestant.name.startswith(OURS) and contestant.name not in inexact:
                raise
            left_out[f"{contestant.name} ({title})"] = str(difference)
        else:
            admitted.append(warm)
    return admitted, notes


def check_vectors(name: str, vectors: np.ndarray, reference: np.ndarray, precision: str) -> dict[str, float]:
    """How far vectors [n, d] are from fp32 ones. Raises NotTheSame past the gate of their precision; int8 has none."""
    if vectors.shape != reference.shape:
        raise NotTheSame(f"{name}: vectors {vectors.shape}, but the reference has {reference.shape}")
    error = float(np.abs(vectors - reference).max(initial=0))
    cosines = np.einsum("ij,ij->i", vectors, reference) / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1))
    cosine = float(cosines.min(initial=1))
    if precision == "fp32" and not error <= VECTOR_ERROR:
        raise NotTheSame(f"{name}: a component is off by {error:.1e}, more than {VECTOR_ERROR:.0e}")
    if precision == "bf16" and not cosine >= COSINE:
        raise NotTheSame(f"{name}: a vector has cosine {cosine:.5f} with the fp32 one, less than {COSINE}")
    return {"max_error": error, "min_cosine": cosine}


def check_scores(name: str, scores: np.ndarray, reference: np.ndarray, precision: str) -> dict[str, float]:
    """How far scores [n] are from fp32 ones. Raises NotTheSame past the gate."""
    if scores.shape != reference.shape:
        raise NotTheSame(f"{name}: {scores.shape} scores, but the reference has {reference.shape}")
    error = float(np.abs(scores - reference).max(initial=0))
    if not error <= SCORE_ERROR[precision]:
        raise NotTheSame(f"{name}: a score is off by {error:.1e}, more than {SCORE_ERROR[precision]:.0e}")
    return {"max_error": error}


def check_order(name: str, scores: np.ndarray, reference: np.ndarray, candidates: int) -> float:
    """Mean over the queries of the correlation of int8 scores [n] with fp32 ones; query by query, `candidates` pairs each.

    Raises NotTheSame below what the quality gate asks for.
    """
    if scores.shape != reference.shape:
        raise NotTheSame(f"{name}: {scores.shape} scores, but the reference has {reference.shape}")
    both = zip(scores.reshape(-1, candidates), reference.reshape(-1, candidates), strict=True)
    correlation = float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in both]))
    if not correlation >= LEAST_CORRELATION:
        raise NotTheSame(f"{name}: the scores of a query correlate {correlation:.3f} with those in fp32, less than {LEAST_CORRELATION}")
    return correlation


def check_hits(rows: np.ndarray, reference: np.ndarray, queries: np.ndarray, vectors: np.ndarray) -> dict[str, float]:
    """Recall of `rows` against the `reference` rows (both [n, k]), equal scores counted as found. Raises NotTheSame below 1."""
    missed = 0
    for query, found, wanted in zip(queries.astype(np.float64), rows, reference, strict=True):
        lost = np.setdiff1d(wanted, found)
        if len(lost):
            least = (vectors[found].astype(np.float64) @ query).min()
            missed += int((vectors[lost].astype(np.float64) @ query > least + TIE).sum())
    recall = 1 - missed / reference.size
    if missed:
        raise NotTheSame(f"recall@{reference.shape[1]} is {recall:.6f}: {missed} of {reference.size} rows are missing")
    return {"recall": recall}
