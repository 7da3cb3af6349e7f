"""A plan and a sample of vectors in; the trained, empty index that every segment of the generation clones out, as bytes.

Because quantiser, scalar ranges and product books are shared, what a search finds does not depend on how rows are cut into segments.
"""

import faiss
import numpy as np

from actors.index.checking import check_vectors
from actors.index.kinds import IndexPlan, faiss_reason
from configs.errors import UserError


def choose_sample_rows(total: int, count: int, seed: int) -> np.ndarray:
    """min(count, total) distinct row numbers below `total`, ascending int64; the same for the same arguments."""
    rows = np.random.default_rng(seed).choice(total, size=min(count, total), replace=False, shuffle=False)
    return np.sort(rows.astype(np.int64))


def train_template(plan: IndexPlan, sample: np.ndarray, seed: int) -> bytes:
    """The serialised template, trained on `sample` (fp16 or fp32 [n, dimension]); the sample is ignored where nothing is trained.

    The same sample and seed give the same bytes on one build of FAISS. Raises ValueError on bad vectors, UserError on too small a sample.
    """
    index = faiss.index_factory(plan.dimension, plan.factory, faiss.METRIC_INNER_PRODUCT)
    if plan.trained:
        check_vectors(sample, plan.dimension, False, "training sample")
        _prepare(index, seed)
        try:
            index.train(np.ascontiguousarray(sample, dtype=np.float32))
        except RuntimeError as error:
            raise UserError(
                f"index.kind {plan.kind!r} ({plan.factory}) can not be trained on {len(sample)} vectors: {faiss_reason(error)}; "
                "use index.kind flat or ivf_sq8, fewer lists, or raise index.train_rows."
            ) from error
    return bytes(faiss.serialize_index(index))


def read_template(template: bytes) -> faiss.Index:
    """A fresh, empty index from `train_template`'s bytes. The caller has checked their sha256."""
    return faiss.deserialize_index(np.frombuffer(template, dtype=np.uint8))


def _prepare(index: faiss.Index, seed: int) -> None:
    seed = seed & 0x7FFFFFFF
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if isinstance(inner, faiss.IndexIVF):
        inner.cp.seed = seed
    if hasattr(inner, "pq"):
        inner.pq.cp.seed = seed
    if hasattr(inner, "do_polysemous_training"):
        # Factories switch it on: minutes of simulated annealing for a filter by code distance that no search here uses.
        inner.do_polysemous_training = False
