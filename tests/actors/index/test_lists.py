"""Assignment to lists that does not depend on the batch."""

import faiss
import numpy as np

from actors.index.lists import add_vectors, centroids_of, nearest_lists
from actors.index.rescoring import exact_products
from actors.index.training import read_template
from configs.schema import IndexConfig


def _between(centroids: np.ndarray, first: int, second: int) -> np.ndarray:
    """A direction equally near to two centroids, but for rounding."""
    middle = (centroids[first].astype(np.float64) + centroids[second]) / 2
    return (middle / np.linalg.norm(middle)).astype(np.float32)


def test_vectors_between_two_centroids_get_the_same_list_in_any_batch(generation):
    ivf = read_template(generation(IndexConfig(kind="ivf_flat")).template)
    centroids = centroids_of(ivf)
    pairs = [(a, b) for a in range(0, 40, 2) for b in range(1, 40, 3)]
    vectors = np.stack([_between(centroids, a, b) for a, b in pairs])
    together, _ = nearest_lists(ivf, centroids, vectors, 1)
    alone = np.concatenate([nearest_lists(ivf, centroids, vectors[row : row + 1], 1)[0] for row in range(len(vectors))])
    assert (together == alone).all()
    exact = np.array([np.argmax(exact_products(vector, centroids)) for vector in vectors])
    assert (together[:, 0] == exact).all()


def test_equal_centroids_go_by_number():
    quantizer = faiss.IndexFlatIP(4)
    quantizer.add(np.tile(np.eye(4, dtype=np.float32)[:2], (3, 1)))
    ivf = faiss.IndexIVFFlat(quantizer, 4, 6, faiss.METRIC_INNER_PRODUCT)
    ivf.is_trained = True
    lists, scores = nearest_lists(ivf, centroids_of(ivf), np.eye(4, dtype=np.float32)[1:2], 2)
    assert lists.tolist() == [[1, 3]] and scores.tolist() == [[1.0, 1.0]]


def test_rows_are_numbered_over_chunks_behind_a_transform(corpus, generation):
    index = read_template(generation(IndexConfig(kind="PCA16,IVF8,SQ8")).template)
    add_vectors(index, corpus.vectors[:100].astype(np.float32))
    add_vectors(index, corpus.vectors[100:150].astype(np.float32))
    assert index.ntotal == 150
    ivf = faiss.extract_index_ivf(index)
    held = np.concatenate(
        [faiss.rev_swig_ptr(ivf.invlists.get_ids(n), ivf.invlists.list_size(n)) for n in range(8) if ivf.invlists.list_size(n)]
    )
    assert sorted(held) == list(range(150))
