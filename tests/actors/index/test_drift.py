"""How far vectors lie from their centroids: what tells that a corpus has moved away from what the quantiser was trained on."""

import numpy as np
import pytest

from actors.index.drift import centroid_error
from actors.index.lists import centroids_of, split_transform
from actors.index.training import read_template
from configs.schema import IndexConfig


def test_it_is_the_mean_squared_distance_to_the_list_a_vector_is_put_into(corpus, generation):
    made = generation(IndexConfig(kind="ivf_sq8", nlist=16))
    vectors = corpus.vectors[:200].astype(np.float32)
    index = read_template(made.template)
    centroids = centroids_of(split_transform(index)[1])
    nearest = centroids[(vectors @ centroids.T).argmax(axis=1)]
    expected = ((vectors - nearest) ** 2).sum(axis=1).mean()
    assert centroid_error(made.template, corpus.vectors[:200], 0) == pytest.approx(expected, rel=1e-5)


def test_it_grows_when_vectors_come_from_elsewhere(corpus, generation):
    made = generation(IndexConfig(kind="ivf_flat", nlist=64))
    strange = np.random.default_rng(1).standard_normal((500, 32)).astype(np.float32)
    strange /= np.linalg.norm(strange, axis=1, keepdims=True)
    at_home, abroad = centroid_error(made.template, corpus.vectors, 0), centroid_error(made.template, strange, 0)
    assert at_home is not None and abroad is not None and abroad > 1.1 * at_home


def test_an_index_without_centroids_has_none(corpus, generation):
    assert centroid_error(generation(IndexConfig(kind="flat")).template, corpus.vectors, 0) is None
