"""Our decoder against transformers' own networks, with random weights: every state, mixed lengths in one packed batch, float32."""

import numpy as np
import pytest
import torch

from actors.models.backbones import Decoder, Tensors, pack
from actors.models.description import read_description
from actors.models.tokens import TokenBatch
from configs.errors import UserError
from tests.networks import NETWORKS, random_network

LENGTHS = [1, 9, 9, 3, 17, 2, 17, 30]


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
