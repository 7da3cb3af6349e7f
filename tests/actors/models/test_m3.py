"""bge-m3's three outputs and their mix, against FlagEmbedding's figures and by their definitions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from actors.models import load_encoder, load_reranker
from actors.models.m3_reranker import PartScores
from configs.errors import UserError

PARITY = Path(__file__).parents[2] / "data" / "parity"
MODEL = PARITY / "ckpt" / "tiny-bge-m3"
REFERENCE = json.loads((PARITY / "reference.json").read_text())
INPUTS = json.loads((PARITY / "inputs.json").read_text())
ALL = ("dense", "sparse", "multi_vector")


def m3(**settings):
    return load_encoder(MODEL, device="cpu", precision="fp32", outputs=ALL, **settings)


def near(ours, reference) -> None:
    ours, reference = np.asarray(ours), np.asarray(reference)
    assert ours.shape == reference.shape
    assert np.all(np.abs(ours - reference) <= 1e-4 * np.maximum(1.0, np.abs(reference)))


@pytest.mark.parametrize(
    ("case", "texts", "settings"),
    [
        ("queries", "queries", {}),
        ("corpus", "passages", {}),
        ("corpus_maxlen16_batch3", "passages", {"max_length": 16, "batch_tokens": 48}),
        ("no_normalize", "passages", {"normalize": False}),
    ],
)
def test_all_three_outputs_are_the_references(case, texts, settings):
    expected, encoded = REFERENCE[f"M3/{case}"], m3(**settings).encode_corpus(INPUTS[texts])
    near(encoded.dense, expected["dense_vecs"])
    assert [{str(k) for k in row} for row in encoded.sparse] == [set(row) for row in expected["lexical_weights"]]
    for ours, theirs in zip(encoded.sparse, expected["lexical_weights"], strict=True):
        near(list(ours.values()), [theirs[str(k)] for k in ours])
    for ours, theirs in zip(encoded.multi_vector, expected["colbert_vecs"], strict=True):
        near(ours, theirs)


@pytest.mark.parametrize(
    ("case", "settings"),
    [("compute_score", {}), ("compute_score_weights", {"weights": (0.4, 0.2, 0.4), "max_length": 24, "query_max_length": 16})],
)
def test_pair_scores_and_their_mix_are_the_references(case, settings):
    expected, pairs = REFERENCE[f"M3/{case}"], [tuple(pair) for pair in INPUTS["pairs"]]
    reranker = load_reranker(MODEL, device="cpu", precision="fp32", kind="m3", **settings)
    parts = reranker.part_scores(pairs)
    near(parts.dense, expected["dense"])
    near(parts.sparse, expected["sparse"])
    near(parts.multi_vector, expected["colbert"])
    near(reranker.compute_score(pairs), expected["colbert+sparse+dense"])
    without = load_reranker(MODEL, device="cpu", precision="fp32", **{**settings, "kind": "m3", "weights": _without_colbert(settings)})
    near(without.compute_score(pairs), expected["sparse+dense"])


def _without_colbert(settings) -> tuple[float, float, float]:
    return (*settings.get("weights", (1.0, 1.0, 1.0))[:2], 0.0)


def test_a_single_text_and_a_single_pair_are_the_references():
    expected, encoded = REFERENCE["M3/encode_string"], m3().encode_corpus(["what is panda"])
    near(encoded.dense[0], expected["dense_vecs"])
    near(encoded.multi_vector[0], expected["colbert_vecs"])
    assert {str(key) for key in encoded.sparse[0]} == set(expected["lexical_weights"])
    near([encoded.sparse[0][int(key)] for key in expected["lexical_weights"]], list(expected["lexical_weights"].values()))
    reranker = load_reranker(MODEL, device="cpu", precision="fp32", kind="m3")
    near(reranker.compute_score([tuple(INPUTS["pairs"][1])]), [REFERENCE["M3/compute_score_one_pair"]["colbert+sparse+dense"]])


def test_every_query_against_every_passage_is_the_references_by_all_three():
    expected = REFERENCE["M3/matching_scores"]
    queries, passages = INPUTS["queries"], INPUTS["passages"]
    pairs = [(query, passage) for query in queries for passage in passages]
    parts = load_reranker(MODEL, device="cpu", precision="fp32", kind="m3").part_scores(pairs)
    near(parts.dense.reshape(len(queries), -1), expected["dense"])
    near(parts.sparse.reshape(len(queries), -1), expected["lexical"])
    known = np.array([[np.nan if score is None else score for score in row] for row in expected["colbert"]], float)
    ours = parts.multi_vector.reshape(known.shape)
    near(ours[~np.isnan(known)], known[~np.isnan(known)])


def test_8192_tokens_go_through_as_transformers_computes_them(tmp_path):
    config = XLMRobertaConfig(
        vocab_size=1200, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=8194
    )
    shutil.copytree(MODEL, tmp_path / "m3")
    torch.manual_seed(0)
    network = XLMRobertaModel(config, add_pooling_layer=False).eval()
    for name in ("model.safetensors", "sparse_linear.pt", "colbert_linear.pt"):
        (tmp_path / "m3" / name).unlink(missing_ok=True)
    network.save_pretrained(tmp_path / "m3")
    encoder = load_encoder(tmp_path / "m3", device="cpu", precision="fp32", max_length=8192)
    tokens = encoder.tokenizer.passages(["panda " * 9000, "short"])
    assert tokens.lengths.tolist()[0] == 8192 and tokens.truncated == 1
    with torch.inference_mode():
        state = network(torch.tensor(tokens.take(0)[None], dtype=torch.long)).last_hidden_state[0, 0].numpy()
    near(encoder.encode_tokens(tokens).dense[0], state / np.linalg.norm(state))
    with pytest.raises(UserError, match="max_length is 8193"):
        load_encoder(tmp_path / "m3", device="cpu", max_length=8193)


def test_order_and_batches_change_nothing():
    texts = [*INPUTS["passages"], *INPUTS["queries"]]
    expected = m3().encode_corpus(texts)
    order = np.random.default_rng(3).permutation(len(texts))
    for budget in (1, 50, 4096):
        encoded = m3(batch_tokens=budget).encode_corpus([texts[i] for i in order])
        np.testing.assert_allclose(encoded.dense, expected.dense[order], atol=1e-5)
        for place, i in enumerate(order):
            np.testing.assert_allclose(encoded.multi_vector[place], expected.multi_vector[i], atol=1e-5)
            assert encoded.sparse[place] == pytest.approx(expected.sparse[i], abs=1e-5)


def test_a_repeated_token_keeps_its_greatest_weight_and_special_tokens_have_none():
    rows = m3().encode_corpus(["panda panda panda bear", ""])
    ids = m3().tokenizer.passages(["panda panda panda bear"]).take(0)
    assert set(rows.sparse[0]) <= set(ids[1:-1].tolist()) and rows.sparse[1] == {}
    assert len(rows.multi_vector[1]) == 1  # the closing token alone
    assert list(rows.sparse[0]) == sorted(rows.sparse[0])


def test_a_mix_of_one_part_is_that_part_and_no_weight_at_all_is_refused():
    parts = PartScores(*(np.array([float(i)], np.float32) for i in (1, 2, 3)))
    assert parts.mixed((0, 1, 0)) == 2 and parts.mixed((1, 1, 2)) == pytest.approx(9 / 4)
    for weights in ((0, 0, 0), (1, -1, 1), (1, 1)):
        with pytest.raises(UserError, match="at least one of them above 0"):
            load_reranker(MODEL, kind="m3", weights=weights)


def test_truncated_vectors_are_the_beginning_renormalised():
    whole, short = m3(normalize=False).encode_corpus(["a giant panda"]), m3(truncate_dim=8).encode_corpus(["a giant panda"])
    expected = whole.dense[:, :8] / np.linalg.norm(whole.dense[:, :8])
    np.testing.assert_allclose(short.dense, expected, atol=1e-6)
    assert short.multi_vector[0].shape[1] == 8
    with pytest.raises(UserError, match="truncate_dim is 33"):
        m3(truncate_dim=33)


def test_a_missing_head_is_named_rather_than_drawn_at_random(tmp_path):
    model = Path(shutil.copytree(MODEL, tmp_path / "m3"))
    (model / "sparse_linear.pt").unlink()
    with pytest.raises(UserError, match=r"sparse_linear\.pt is missing"):
        load_encoder(model, device="cpu")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    model = Path(shutil.copytree(MODEL, tmp_path / "m3"))

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"weight": Evil()}, model / "colbert_linear.pt")
    with pytest.raises(UserError, match=r"colbert_linear\.pt can not be read as plain weights"):
        load_encoder(model, device="cpu")


def test_sparse_of_another_model_is_refused():
    with pytest.raises(UserError, match=r"no output 'sparse'.*bge-m3"):
        load_encoder(PARITY / "ckpt" / "tiny-bge-en", outputs=("sparse",))
