"""A trained template and vectors in; how far the vectors lie from the centroids of their lists out. Grows when a corpus drifts away."""

import faiss
import numpy as np

from actors.index.lists import apply_transforms, centroids_of, nearest_lists, split_transform
from actors.index.training import choose_sample_rows, read_template

SAMPLE_ROWS = 20_000
"""Vectors looked at: the mean is then known to about a hundredth of its spread."""


def centroid_error(template: bytes, vectors: np.ndarray, seed: int) -> float | None:
    """Mean squared distance of a sample of `vectors` [n, d] to the centroid of the list that holds them; none without lists."""
    chain, inner = split_transform(read_template(template))
    if not isinstance(inner, faiss.IndexIVF) or not len(vectors):
        return None
    rows = choose_sample_rows(len(vectors), SAMPLE_ROWS, seed)
    inside = np.ascontiguousarray(apply_transforms(chain, vectors[rows].astype(np.float32)), dtype=np.float32)
    centroids = centroids_of(inner)
    lists, _ = nearest_lists(inner, centroids, inside, 1)
    return float(((inside - centroids[lists[:, 0]]) ** 2).sum(axis=1).mean())
