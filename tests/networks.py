"""Small decoders of transformers with random weights, one for each thing in which families differ."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

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
