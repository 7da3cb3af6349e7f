"""Vectors and an index with inverted lists in; which lists they belong to out, the same for a vector whatever is batched beside it.

FAISS may find the nearest centroids by BLAS (from a batch size that is a setting of the process), whose last bits depend on the
shape of the batch. Where two centroids are as close as that, the choice is made again, exactly.
"""

from typing import Any

import faiss
import numpy as np

from actors.index.rescoring import exact_products

NEAR_TIE = 2e-6
"""Difference of centroid scores, relative to their size, below which float32 products can not tell which is larger."""


def split_transform(index: faiss.Index) -> tuple[list[faiss.VectorTransform], faiss.Index]:
    """The transforms put before an index (OPQ, PCA) and the index behind them."""
    if not isinstance(index, faiss.IndexPreTransform):
        return [], index
    parts: Any = index.chain  # The stubs call this std::vector a list.
    chain = [faiss.downcast_VectorTransform(parts.at(number)) for number in range(parts.size())]
    return chain, faiss.downcast_index(index.index)


def apply_transforms(chain: list[faiss.VectorTransform], vectors: np.ndarray) -> np.ndarray:
    """`vectors` float32 [n, d] as the index behind the chain sees them."""
    for transform in chain:
        vectors = transform.apply(vectors)
    return vectors


def centroids_of(ivf: faiss.IndexIVF) -> np.ndarray:
    """float32 [nlist, d]; of a flat quantiser its own storage, valid while the index lives."""
    quantizer = faiss.downcast_index(ivf.quantizer)
    if isinstance(quantizer, faiss.IndexFlat):
        return stored_vectors(quantizer)
    return quantizer.reconstruct_n(0, ivf.nlist)


def stored_vectors(flat: faiss.IndexFlat) -> np.ndarray:
    """A flat index's own storage as float32 [rows, d], not copied. Valid while the index lives."""
    return faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)


def nearest_lists(ivf: faiss.IndexIVF, centroids: np.ndarray, vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` lists of the highest centroid score: (lists int64 [n, count], scores float32 [n, count]).

    Which lists these are depends on each vector alone (for flat quantisers); equal centroids go by list number.
    """
    scores, lists = ivf.quantizer.search(vectors, min(count + 1, ivf.nlist))
    if scores.shape[1] > count:
        margin = NEAR_TIE * np.maximum(1.0, np.abs(scores[:, count]))
        for row in np.flatnonzero(scores[:, count - 1] - scores[:, count] <= margin):
            exact = exact_products(vectors[row], centroids)
            best = np.lexsort((np.arange(ivf.nlist), -exact))[:count]
            lists[row, :count], scores[row, :count] = best, exact[best]
    return np.ascontiguousarray(lists[:, :count]), np.ascontiguousarray(scores[:, :count])


def add_vectors(index: faiss.Index, vectors: np.ndarray) -> None:
    """Append float32 [n, d] to an index; rows are numbered as they come."""
    chain, inner = split_transform(index)
    if not isinstance(inner, faiss.IndexIVF):
        index.add(vectors)
        return
    inside = np.ascontiguousarray(apply_transforms(chain, vectors), dtype=np.float32)
    lists, _ = nearest_lists(inner, centroids_of(inner), inside, 1)
    inner.add_core(len(inside), faiss.swig_ptr(inside), None, faiss.swig_ptr(lists))
    index.ntotal = inner.ntotal
