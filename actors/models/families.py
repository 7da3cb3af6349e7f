"""The table of network architectures that this layer can run: what differs between them, as data. A new one is a new row.

Knows no torch and reads no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Family:
    """What one `model_type` of a config.json means.

    `pad_token_id`: transformers' default where the config names none. `positions_after_pad`: position numbers start after the
    padding id (RoBERTa), so that max_position_embeddings holds pad_token_id + 1 unusable rows. `hidden_key`: the config's name
    for the width. `token_types`: the model takes token_type_ids (and then only if its type_vocab_size is above 1).
    `causal`: a decoder, whose last token is pooled where nothing else is said.
    """

    pad_token_id: int = 0
    positions_after_pad: bool = False
    hidden_key: str = "hidden_size"
    token_types: bool = False
    causal: bool = False


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "bert": Family(token_types=True),
        "roberta": Family(1, positions_after_pad=True, token_types=True),
        "xlm-roberta": Family(1, positions_after_pad=True, token_types=True),
        "distilbert": Family(hidden_key="dim"),
        "gemma": Family(causal=True),
        "gemma2": Family(causal=True),
        "llama": Family(causal=True),
        "mistral": Family(causal=True),
        "qwen2": Family(causal=True),
        "qwen3": Family(causal=True),
        "minicpm": Family(causal=True),
        "cost_wise_gemma": Family(causal=True),
    }
)

POOLINGS = ("cls", "mean", "last")
