"""What a user of an encoder relies on: order, batches, shapes, counts, families and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from actors.models import load_encoder
from actors.models.tokens import TokenBatch
from configs.errors import UserError

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
TEXTS = [
    "panda",
    "the giant panda is a bear endemic to China " * 6,
    "",
    "capital of France",
    "protein " * 40,
    "the highest point of a mountain",
]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(CKPT / "tiny-bge-en", device="cpu", precision="fp32", outputs=("dense", "multi_vector"))


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_neither_order_nor_budget_changes_a_vector(pooling):
    encoder = load_encoder(CKPT / "tiny-bge-en", device="cpu", precision="fp32", pooling=pooling)
    alone = np.concatenate([encoder.encode_corpus([text]).dense for text in TEXTS])
    small = load_encoder(CKPT / "tiny-bge-en", device="cpu", precision="fp32", pooling=pooling, batch_tokens=16)
    np.testing.assert_allclose(encoder.encode_corpus(TEXTS).dense, alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_corpus(TEXTS[::-1]).dense[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(small.encode_corpus(TEXTS).dense, alone, atol=1e-5)


def test_last_pooling_takes_the_last_real_token(encoder):
    last = load_encoder(CKPT / "tiny-bge-en", device="cpu", precision="fp32", pooling="last").encode_corpus(TEXTS).dense
    for vector, tokens in zip(last, encoder.encode_corpus(TEXTS).multi_vector, strict=True):
        np.testing.assert_allclose(vector, tokens[-1], atol=1e-6)


def test_token_vectors_have_one_unit_row_per_token(encoder):
    tokens = encoder.tokenizer.passages(TEXTS)
    encoded = encoder.encode_tokens(tokens, ("dense", "multi_vector"))
    assert [len(vectors) for vectors in encoded.multi_vector] == tokens.lengths.tolist()
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(encoded.multi_vector), axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose([vectors[0] for vectors in encoded.multi_vector], encoded.dense, atol=1e-5)  # cls pooling: the first token
    assert encoder.encode_tokens(tokens).multi_vector is None


def test_tokens_survive_arrow_and_give_the_same_vectors(encoder):
    tokens = encoder.tokenizer.passages(["long cut text", *TEXTS])
    back = TokenBatch.from_arrow(tokens.to_arrow()[1:], tokens.truncated)
    np.testing.assert_allclose(encoder.encode_tokens(back).dense, encoder.encode_corpus(TEXTS).dense, atol=1e-5)


def test_the_work_is_counted(encoder):
    encoded = load_encoder(CKPT / "tiny-bge-en", device="cpu", precision="fp32", max_length=16).encode_corpus(["panda", "protein " * 100])
    assert encoded.truncated == 1
    assert encoded.tokens == 16 + len(encoder.tokenizer.passages(["panda"]).values)
    assert encoded.padded_tokens == encoded.tokens


def test_no_text_gives_an_empty_matrix_of_the_right_width(encoder):
    encoded = encoder.encode_corpus([])
    assert encoded.dense.shape == (0, 32) and encoded.multi_vector == () and encoded.padded_tokens == 0


def test_what_is_no_text_is_a_type_error_with_its_place(encoder):
    with pytest.raises(TypeError, match="text 1 is a NoneType"):
        encoder.encode_corpus(["fine", None])


def test_a_lone_text_is_not_taken_for_a_list_of_its_letters(encoder):
    with pytest.raises(TypeError, match="a list of texts"):
        encoder.encode_queries("what is panda")


def test_rows_that_the_model_has_no_positions_for_never_reach_it(encoder):
    with pytest.raises(ValueError, match="513 tokens"):
        encoder.encode_tokens(TokenBatch(np.full(513, 5, np.int32), np.array([0, 513])))


def test_bf16_is_near_fp32_and_still_comes_as_float32(encoder):
    half = load_encoder(CKPT / "tiny-bge-en", device="cpu", precision="bf16").encode_corpus(TEXTS).dense
    assert half.dtype == np.float32
    assert np.min(np.sum(half * encoder.encode_corpus(TEXTS).dense, axis=1)) > 0.99


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pooling": "max"}, "pooling 'max' is unknown"),
        ({"outputs": ("sparse",)}, "no output 'sparse'"),
        ({"precision": "int4"}, "precision 'int4' is unknown"),
        ({"device": "tpux"}, "device 'tpux' is unknown"),
        ({"device": "cuda:99"}, "no such GPU"),
        ({"max_length": 513}, "positions for 512 tokens"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        load_encoder(CKPT / "tiny-bge-en", **{"device": "cpu", **settings})


def test_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="batch_size"):
        load_encoder(CKPT / "tiny-bge-en", batch_size=4)


@pytest.mark.parametrize("model_type", ["distilbert", "roberta", "xlm-roberta"])
def test_each_family_gives_the_hidden_state_that_transformers_gives(model_type, tmp_path):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    source = CKPT / ("tiny-bge-reranker" if "roberta" in model_type else "tiny-bge-en")
    sizes = {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 64} if model_type == "distilbert" else {}
    sizes = sizes or {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 64}
    config = AutoConfig.for_model(model_type, vocab_size=490, max_position_embeddings=66, **sizes)
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    encoder = load_encoder(tmp_path, device="cpu", precision="fp32", normalize=False)
    inputs = AutoTokenizer.from_pretrained(tmp_path)(TEXTS, padding=True, truncation=True, max_length=64, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
    np.testing.assert_allclose(encoder.encode_corpus(TEXTS).dense, hidden[:, 0].numpy(), atol=1e-5)
    assert encoder.tokenizer.max_length == (66 if model_type == "distilbert" else 64)
