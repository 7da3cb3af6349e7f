"""An index config, a row count and a dimension in; a plan that any FAISS build or search can follow out. Reads no vectors."""

import math
from dataclasses import dataclass

import faiss

from configs.errors import UserError
from configs.schema import IndexConfig

AUTO_FLAT_ROWS = 200_000
"""Up to here exact search costs about 10 ms a query on two cores: no training, no loss."""

POINTS_PER_LIST = 39
"""Training points per list below which FAISS warns about k-means."""

_CLOSE_CODES = ("Flat", "SQ8", "SQfp16", "SQbf16")
_REFUSED = {
    "FastScan": "FastScan types take neither row assignments nor deletions",
    "IDMap": "row numbers are kept outside FAISS",
    "Refine": "re-scoring from the stored vectors is always done outside FAISS",
    "NSG": "NSG graphs can not be added to in chunks",
    "NNDescent": "NNDescent graphs can not be added to in chunks",
}


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """How segments of one index generation are built and searched; every segment of the generation shares it."""

    kind: str
    """flat, ivf_flat, ivf_sq8, ivf_pq, or the factory string as configured; never auto."""
    factory: str
    """FAISS factory string."""
    exact: bool
    """FAISS' own storage holds the stored vectors as they are (flat)."""
    trained: bool
    """The index needs training on a sample."""
    nlist: int
    """Inverted lists; 0 without lists."""
    nprobe: int
    """Lists visited at first; 0 without lists."""
    overfetch: int
    """Candidates fetched per result wanted, for kinds that are not exact."""
    dimension: int
    """Of the vectors."""

    @property
    def close_codes(self) -> bool:
        """Scores of FAISS are so near the exact ones that a fetch can be widened until its top-k is provably complete."""
        coarse, _, codes = self.factory.rpartition(",")
        return codes in _CLOSE_CODES and (not coarse or (coarse.startswith("IVF") and "," not in coarse))

    def first_fetch(self, k: int) -> int:
        """Candidates of the first fetch for k results."""
        return k + 32 if self.exact else max(self.overfetch * k, k + 64)


def resolve_plan(config: IndexConfig, rows: int, dimension: int) -> IndexPlan:
    """The plan for `rows` vectors (whole corpus, not one segment) of `dimension`. Raises UserError on a config that FAISS refuses."""
    kind = config.kind
    if kind == "auto":
        kind = "flat" if rows <= AUTO_FLAT_ROWS else "ivf_sq8"
    factory = _factory(kind, config, rows, dimension)
    index = _constructed(factory, dimension)
    ivf = faiss.try_extract_index_ivf(index)
    nlist = ivf.nlist if ivf is not None else 0
    trainable = min(rows, config.train_rows)
    if nlist > max(trainable, 1):
        raise UserError(
            f"The index wants {nlist} lists but only {trainable} vectors train it: "
            "lower index.nlist (or the factory string's), or raise index.train_rows."
        )
    nprobe = min(nlist, config.nprobe or max(16, math.ceil(nlist / 8)))
    exact = isinstance(index, faiss.IndexFlat)
    return IndexPlan(kind, factory, exact, not index.is_trained, nlist, nprobe, config.overfetch, dimension)


def _factory(kind: str, config: IndexConfig, rows: int, dimension: int) -> str:
    if kind == "flat":
        return "Flat"
    if kind not in ("ivf_flat", "ivf_sq8", "ivf_pq"):
        return kind
    codes = {"ivf_flat": "Flat", "ivf_sq8": "SQ8"}.get(kind) or f"PQ{_pq_bytes(config.pq_bytes, dimension)}"
    return f"IVF{config.nlist or _default_lists(rows, config.train_rows)},{codes}"


def _default_lists(rows: int, train_rows: int) -> int:
    return max(1, min(round(4 * math.sqrt(rows)), min(rows, train_rows) // POINTS_PER_LIST))


def _pq_bytes(wanted: int, dimension: int) -> int:
    divisors = [size for size in range(1, dimension + 1) if dimension % size == 0]
    below = [size for size in divisors if size <= (wanted or max(1, dimension // 8))]
    if not wanted or (below and below[-1] == wanted):
        return below[-1]
    above = [size for size in divisors if size > wanted]
    near = " or ".join(str(size) for size in below[-1:] + above[:1])
    raise UserError(f"index.pq_bytes is {wanted}, which does not divide the dimension {dimension}: use {near}.")


def _constructed(factory: str, dimension: int) -> faiss.Index:
    try:
        index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise UserError(
            f"index.kind {factory!r} is neither flat, ivf_flat, ivf_sq8, ivf_pq, auto nor a FAISS factory string "
            f"for inner product and dimension {dimension}; FAISS says: {faiss_reason(error)}."
        ) from error
    for part in _parts(index):
        for name, reason in _REFUSED.items():
            if name in type(part).__name__:
                raise UserError(
                    f"index.kind {factory!r} makes a {type(part).__name__}, which is not supported because {reason}: use another type."
                )
    return index


def _parts(index: faiss.Index) -> list[faiss.Index]:
    if isinstance(index, faiss.IndexPreTransform):
        return [index, *_parts(faiss.downcast_index(index.index))]
    return [index]


def faiss_reason(error: RuntimeError) -> str:
    """The sentence of a FAISS exception without its C++ signature and source line."""
    return str(error).rsplit(".cpp:", 1)[-1].split(": ", 1)[-1].strip().rstrip(".")
