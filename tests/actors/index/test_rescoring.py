"""Scores that do not depend on company."""

import numpy as np
import pytest

from actors.index.rescoring import rescore, rescore_rows


@pytest.mark.parametrize("dimension", [1, 7, 384, 1024])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_pair_has_the_same_bits_alone_and_among_others(dimension, dtype):
    rng = np.random.default_rng(dimension)
    vectors, query = rng.standard_normal((501, dimension)).astype(dtype), rng.standard_normal(dimension).astype(np.float32)
    together = rescore(query, vectors)
    assert np.concatenate([rescore(query, vectors[row : row + 1]) for row in range(501)]).tobytes() == together.tobytes()
    assert rescore(query, np.asfortranarray(vectors)[::-1])[::-1].tobytes() == together.tobytes()


def test_scores_are_right_to_float32(corpus):
    exact = [sum(float(a) * float(b) for a, b in zip(corpus.queries[0], vector, strict=True)) for vector in corpus.vectors[:50]]
    assert rescore(corpus.queries[0], corpus.vectors[:50]) == pytest.approx(exact, rel=2e-7, abs=1e-9)


def test_padding_scores_minus_infinity_and_many_rows_are_taken_in_pieces(corpus):
    rows = np.tile(np.arange(-1, 2999), (2, 7))
    scores = rescore_rows(corpus.queries[:2], rows, corpus.vectors)
    assert np.isneginf(scores[:, 0]).all()
    assert scores[1, 21_000 - 1] == scores[1, 2999] == rescore(corpus.queries[1], corpus.vectors[2998:2999])[0]
