"""Rerankers beyond parity: order, batches, tokens from elsewhere, MaxSim, and pairings of kind and checkpoint that do not fit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from actors.models import load_reranker
from actors.models.cross_encoder import CrossEncoder
from actors.models.late_interaction import LateInteraction
from configs.errors import UserError

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
PAIRS = [
    ("what is panda?", "the giant panda is a bear"),
    ("capital of France", "Paris " * 30),
    ("what is panda?", ""),
    ("", "hi"),
    ("capital of France", "hi"),
]


@pytest.fixture(scope="module")
def late() -> LateInteraction:
    return load_reranker(CKPT / "tiny-bge-en", device="cpu", precision="fp32", kind="late_interaction")


@pytest.mark.parametrize("name", ["tiny-bge-reranker", "tiny-bert-reranker"])
def test_neither_order_nor_budget_changes_a_score(name):
    model = load_reranker(CKPT / name, device="cpu", precision="fp32")
    small = load_reranker(CKPT / name, device="cpu", precision="fp32", batch_tokens=30)
    assert isinstance(model, CrossEncoder)
    alone = np.concatenate([model.compute_score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(model.compute_score(PAIRS), alone, atol=1e-5)
    np.testing.assert_allclose(model.compute_score(PAIRS[::-1])[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(small.compute_score(PAIRS), alone, atol=1e-5)
    assert model.compute_score([]).shape == (0,) and model.compute_score(PAIRS).dtype == np.float32


def test_scores_from_tokens_are_those_from_texts():
    model = load_reranker(CKPT / "tiny-bge-reranker", device="cpu", precision="fp32")
    queries, passages = model.pair_tokenizer.queries(["what is panda?", "x"]), model.pair_tokenizer.passages(["hi", "a bear"])
    scores = model.score_tokens(queries, passages, np.array([[1, 0], [0, 1]], np.int32), normalize=True)
    np.testing.assert_allclose(scores, model.compute_score([("x", "hi"), ("what is panda?", "a bear")], normalize=True), atol=1e-6)
    assert model.score_tokens(queries, passages, np.zeros((0, 2), np.int32)).shape == (0,)


def test_max_sim_is_the_naive_double_loop():
    rng = np.random.default_rng(0)
    queries = [rng.standard_normal((n, 32)).astype(np.float32) for n in (3, 1, 7)]
    passages = [rng.standard_normal((n, 32)).astype(np.float16) for n in (5, 9000, 1, 12000, 2)]
    pairs = np.array([[2, 1], [0, 0], [2, 3], [1, 4], [2, 0], [0, 2], [2, 2]], np.int32)
    late = load_reranker(CKPT / "tiny-bge-en", device="cpu", precision="fp32", kind="late_interaction")
    naive = [np.mean([max(float(p.astype(np.float32) @ q) for p in passages[j]) for q in queries[i]]) for i, j in pairs]
    scores = late.score_vectors(queries, passages, pairs)
    np.testing.assert_allclose(scores, naive, atol=1e-5)
    for row, pair in enumerate(pairs):
        np.testing.assert_allclose(late.score_vectors(queries, passages, pair[None]), scores[row : row + 1], atol=1e-6)
    np.testing.assert_allclose(late.score_vectors(queries, passages, pairs, normalize=True), 1 / (1 + np.exp(-np.array(naive))), atol=1e-5)


def test_late_interaction_of_a_text_with_itself_is_one(late):
    scores = late.compute_score([("giant panda", "giant panda"), ("giant panda", "capital of France"), ("", "giant panda")])
    assert scores[0] == pytest.approx(1.0, abs=1e-5) and scores[1] < 0.999 and np.all(np.abs(scores) <= 1 + 1e-5)
    assert late.compute_score([]).shape == (0,)
    assert late.dimension == 32


def test_late_interaction_keeps_queries_to_their_own_length():
    model = load_reranker(CKPT / "tiny-bge-en", device="cpu", kind="late_interaction", max_length=40, query_max_length=8)
    assert [len(v) for v in model.token_vectors(model.tokenizer.queries(["the " * 60]))] == [8]
    assert [len(v) for v in model.token_vectors(model.tokenizer.passages(["the " * 60]))] == [40]


def test_a_text_without_token_vectors_is_refused(late):
    one, none = np.ones((1, 32), np.float32), np.ones((0, 32), np.float32)
    with pytest.raises(ValueError, match="no token vectors"):
        late.score_vectors([one], [one, none], np.array([[0, 0], [0, 1]], np.int32))
    with pytest.raises(ValueError, match="no token vectors"):
        late.score_vectors([none], [one], np.array([[0, 0]], np.int32))


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("tiny-bge-en", "auto", "is an encoder, not a reranker.*kind: late_interaction"),
        ("tiny-bge-en", "cross_encoder", "is an encoder, not a reranker"),
        ("tiny-bge-reranker", "late_interaction", "is a cross_encoder reranker, not late_interaction"),
        ("tiny-bge-reranker", "colbert", "kind 'colbert' is unknown"),
    ],
)
def test_a_kind_that_does_not_fit_the_checkpoint_is_one_sentence(name, kind, sentence):
    with pytest.raises(UserError, match=sentence):
        load_reranker(CKPT / name, kind=kind)


def test_a_classifier_of_several_labels_is_refused(tmp_path):
    shutil.copytree(CKPT / "tiny-bert-reranker", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "id2label": {"0": "no", "1": "yes"}}))
    with pytest.raises(UserError, match="has 2 labels"):
        load_reranker(tmp_path / "model")
