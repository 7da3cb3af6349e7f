"""The table of model families that this layer can run: what differs between them, as data. A new family is a new row.

Knows no torch and reads no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Family:
    """What one `model_type` of a config.json means.

    `pad_token_id`: transformers' default where the config names none. `positions_after_pad`: position numbers start after the
    padding id (RoBERTa), so that max_position_embeddings holds pad_token_id + 1 unusable rows. `hidden_key`: the config's name
    for the width. `token_types`: the model takes token_type_ids (and then only if its type_vocab_size is above 1).
    `encoder_arguments`: what AutoModel.from_pretrained needs to leave unused heads out.
    """

    pad_token_id: int
    positions_after_pad: bool = False
    hidden_key: str = "hidden_size"
    token_types: bool = False
    encoder_arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


_NO_POOLER = MappingProxyType({"add_pooling_layer": False})

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "bert": Family(0, token_types=True, encoder_arguments=_NO_POOLER),
        "roberta": Family(1, positions_after_pad=True, token_types=True, encoder_arguments=_NO_POOLER),
        "xlm-roberta": Family(1, positions_after_pad=True, token_types=True, encoder_arguments=_NO_POOLER),
        "distilbert": Family(0, hidden_key="dim"),
    }
)

POOLINGS = ("cls", "mean", "last")
