"""Our decoder against transformers' own networks, with random weights: every state, mixed lengths in one packed batch, float32."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from actors.models.backbones import Decoder, Tensors, pack
from actors.models.description import read_description
from actors.models.tokens import TokenBatch
from configs.errors import UserError

LENGTHS = [1, 9, 9, 3, 17, 2, 17, 30]
NETWORKS = {
    "gemma": ("gemma", {"num_key_value_heads": 1, "head_dim": 8}),
    "gemma2": ("gemma2", {"head_dim": 16, "query_pre_attn_scalar": 13, "sliding_window": 6, "attn_logit_softcapping": 2.0}),
    "llama": ("llama", {"attention_bias": True}),
    "llama-grouped": ("llama", {"num_key_value_heads": 2, "rope_theta": 5e5}),
    "mistral": ("mistral", {"sliding_window": 5, "num_key_value_heads": 2}),
    "mistral-whole": ("mistral", {"sliding_window": None, "head_dim": 12}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2}),
    "qwen2-window": ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "head_dim": 16}),
}


def random_network(name: str, folder: Path) -> torch.nn.Module:
    """A network of transformers with weights large enough that attention is far from uniform, saved into the folder."""
    kind, settings = NETWORKS[name]
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    config = AutoConfig.for_model(kind, **sizes, **{**heads, "max_position_embeddings": 64, "pad_token_id": 0, **settings})
    config.dtype = torch.float32
    torch.manual_seed(len(name))
    model = AutoModel.from_config(config, attn_implementation="eager" if kind == "gemma2" else "sdpa").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.35)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("listed", [True, False], ids=["layer types listed", "as older configs"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_state_is_transformers(name, listed, tmp_path):
    model = random_network(name, tmp_path)
    config = {key: value for key, value in read_description(tmp_path).config.items() if listed or key != "layer_types"}
    decoder = Decoder(config, Tensors(tmp_path, torch.device("cpu"), torch.float32))
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 97, length) for length in LENGTHS]
    packed = pack(TokenBatch.from_rows(rows), np.arange(len(rows)), torch.device("cpu"))
    with torch.inference_mode():
        theirs = torch.cat([model(input_ids=torch.tensor(row[None])).last_hidden_state[0] for row in rows])
        torch.testing.assert_close(decoder(packed), theirs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(decoder(packed, "last"), theirs[packed.spans.lasts], atol=1e-5, rtol=1e-5)


def test_bf16_stays_near(tmp_path):
    random_network("qwen3", tmp_path)
    packed = pack(TokenBatch.from_rows([np.arange(1, 40)]), np.array([0]), torch.device("cpu"))
    full, half = (
        Decoder(read_description(tmp_path).config, Tensors(tmp_path, torch.device("cpu"), dtype))(packed).float()
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert torch.nn.functional.cosine_similarity(full, half, dim=1).min() > 0.99


def test_scaled_rotary_positions_are_refused(tmp_path):
    random_network("llama", tmp_path)
    info = read_description(tmp_path)
    config = {**info.config, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}
    with pytest.raises(UserError, match="rotary scaling of type 'linear'"):
        Decoder(config, Tensors(tmp_path, torch.device("cpu"), torch.float32))
