"""Early exit: who stays gets the scores of the plain cutoff, who leaves those of the layer where it left, and the order says so."""

from pathlib import Path

import numpy as np
import pytest

from actors.models import load_reranker
from actors.models.exits import ExitScores, score_with_exits
from configs.errors import UserError

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
FAMILIES = {
    "layerwise": (CKPT / "tiny-bge-reranker-v2-minicpm-layerwise", {}),
    "lightweight": (CKPT / "tiny-bge-reranker-v2.5-gemma2-lightweight", {"compress_ratio": 2, "compress_layers": (3, 4)}),
}
QUERIES = ["what is panda?", "", "capital of France", "how much protein should a female eat"]
PASSAGES = ["the giant panda " * n + end for n in (0, 1, 2, 9) for end in ("is a bear", "Paris", "大熊猫")]


def load(kind, **settings):
    folder, own = FAMILIES[kind]
    return load_reranker(folder, device="cpu", precision="fp32", **own, **settings)


def tokens(model):
    """Shuffled pairs: 12 candidates of three queries, 1 of the other."""
    pairs = np.array([(q, p) for q in (0, 1, 3) for p in range(len(PASSAGES))] + [(2, 5)], np.int32)
    return model.pair_tokenizer.queries(QUERIES), model.pair_tokenizer.passages(PASSAGES), np.random.default_rng(1).permutation(pairs)


@pytest.mark.parametrize("budget", [120, 100_000])
@pytest.mark.parametrize("kind", FAMILIES)
def test_kept_pairs_have_the_plain_scores_and_dropped_ones_those_of_their_exit(kind, budget):
    queries, passages, pairs = tokens(load(kind))
    plain = {layer: load(kind, cutoff_layers=layer).score_tokens(queries, passages, pairs) for layer in (3, 5, 6)}
    out = score_with_exits(load(kind, batch_tokens=budget), queries, passages, pairs, [(3, 0.5), (5, 2)])
    for query, left in ((0, [6, 4, 2]), (1, [6, 4, 2]), (2, [0, 0, 1]), (3, [6, 4, 2])):
        rows = np.flatnonzero(pairs[:, 0] == query)
        assert [int(np.sum(out.layers[rows] == layer)) for layer in (3, 5, 6)] == left
        best = rows[np.argsort(-plain[3][rows])]
        assert set(rows[out.layers[rows] > 3]) == set(best[: 6 if len(rows) > 1 else 1])
        staying = rows[out.layers[rows] > 3]
        assert set(rows[out.layers[rows] > 5]) == set(staying[np.argsort(-plain[5][staying])][:2])
    for layer in (3, 5, 6):
        there = out.layers == layer
        np.testing.assert_allclose(out.scores[there], plain[layer][there], atol=1e-5)


@pytest.mark.parametrize("kind", FAMILIES)
def test_normalised_scores_leave_the_course_of_the_race_alone(kind):
    model = load(kind, cutoff_layers=5)
    queries, passages, pairs = tokens(model)
    logits = score_with_exits(model, queries, passages, pairs, [(2, 5)])
    shares = score_with_exits(model, queries, passages, pairs, [(2, 5)], normalize=True)
    assert logits.layers.tolist() == shares.layers.tolist() and set(logits.layers) == {2, 5}
    np.testing.assert_allclose(shares.scores, 1 / (1 + np.exp(-logits.scores)), atol=1e-6)


def test_the_order_puts_who_came_further_first_then_the_score_then_the_place():
    out = ExitScores(np.array([9.0, 1.0, 5.0, 1.0, 2.0], np.float32), np.array([3, 6, 3, 6, 6]))
    assert out.order(np.array([0, 0, 0, 0, 0])).tolist() == [4, 1, 3, 0, 2]
    assert out.order(np.array([1, 0, 0, 1, 0])).tolist() == [4, 1, 2, 3, 0]


def test_no_pairs_and_no_exits_are_fine():
    model = load("layerwise")
    queries, passages, pairs = tokens(model)
    assert score_with_exits(model, queries, passages, pairs[:0], [(3, 0.5)]).scores.shape == (0,)
    out = score_with_exits(model, queries, passages, pairs, [])
    np.testing.assert_allclose(out.scores, model.score_tokens(queries, passages, pairs), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "exits", "sentence"),
    [
        ({}, [(1, 5)], r"exits are at layers \[1\]: name layers of \[2, 3, 4, 5\]"),
        ({}, [(6, 5)], "exits are at layers"),
        ({"cutoff_layers": 4}, [(4, 5)], r"name layers of \[2, 3\]"),
        ({}, [(4, 5), (3, 2)], "in ascending order"),
        ({}, [(3, 0)], "keeps 0: give a number of candidates from 1 up, or a share"),
        ({}, [(3, 1.5)], "keeps 1.5"),
        ({"cutoff_layers": [3, 6]}, [(2, 5)], "one layer gives the last scores"),
    ],
)
def test_exits_that_can_not_be_are_one_sentence(settings, exits, sentence):
    model = load("layerwise", **settings)
    with pytest.raises(UserError, match=sentence):
        score_with_exits(model, *tokens(model), exits)


def test_a_reranker_without_layer_heads_has_no_exits():
    model = load_reranker(CKPT / "tiny-bge-reranker-v2-gemma", device="cpu", precision="fp32")
    with pytest.raises(UserError, match="no heads on several layers"):
        score_with_exits(model, *tokens(model), [(2, 5)])
