"""Linear maps with packed weights: the exact ones but for the order of sums."""

import pytest
import torch

from actors.models import load_encoder
from actors.models.backbones.feed_forward import FeedForward, PackedFeedForward
from actors.models.backbones.layers import Linear, activation
from actors.models.backbones.packed_linear import PackedLinear, packing_pays
from tests.jobs import CHECKPOINTS

TEXTS = ["a giant panda", "The giant panda is a bear that eats bamboo. " * 4, "what is a panda?"]


def numbers(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(outputs, inputs, bias=True):
    return Linear(numbers(outputs, inputs) / inputs**0.5, numbers(outputs, seed=4) if bias else None)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [0, 1, 7, 300])
def test_a_packed_map_gives_what_the_exact_one_gives(tokens, bias):
    exact, x, other = linear(48, 64, bias), numbers(64, tokens, seed=5).T, numbers(tokens, 48, seed=6)
    kept = other.clone()
    packed = PackedLinear.of(exact)
    torch.testing.assert_close(packed(x), exact(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(packed.plus(x, other), kept + exact(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(packed.part(10, 30)(x), exact(x)[:, 10:30], atol=1e-5, rtol=0)
    assert torch.equal(other, kept), "the numbers that are added stay"


@pytest.mark.skipif(not packing_pays(torch.empty(1, 1, dtype=torch.bfloat16)), reason="no instructions for bf16: nothing is packed in it")
@pytest.mark.parametrize("tokens", [1, 300])
def test_a_packed_map_in_bf16_rounds_what_the_exact_one_gives(tokens):
    weight, bias, x, other = (part.bfloat16() for part in (numbers(48, 64) / 8, numbers(48), numbers(tokens, 64), numbers(tokens, 48)))
    exact = Linear(weight.float(), bias.float())(x.float())
    packed = PackedLinear.of(Linear(weight, bias))
    for found, right in ((packed(x), exact), (packed.plus(x, other), exact + other.float()), (packed.part(10, 30)(x), exact[:, 10:30])):
        assert found.dtype is torch.bfloat16
        torch.testing.assert_close(found.float(), right, atol=1e-3, rtol=2**-8)


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu", "silu"])
def test_a_packed_feed_forward_step_gives_what_the_exact_one_gives_with_any_activation(name):
    exact, x = FeedForward(linear(96, 64), name, activation(name), linear(64, 96)), numbers(50, 64, seed=5)
    torch.testing.assert_close(PackedFeedForward.of(exact).plus(x), exact.plus(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "last", "mean"])
def test_vectors_are_the_same_on_machines_where_maps_are_packed_and_where_they_are_not(pooling, monkeypatch):
    vectors = []
    for packed in (True, False):
        monkeypatch.setattr("actors.models.backbones.bert.packing_pays", lambda weight, packed=packed: packed)
        encoder = load_encoder(CHECKPOINTS / "tiny-bge-en", device="cpu", precision="fp32", pooling=pooling)
        vectors.append(torch.from_numpy(encoder.encode_corpus(TEXTS).dense))
    torch.testing.assert_close(*vectors, atol=1e-6, rtol=0)
