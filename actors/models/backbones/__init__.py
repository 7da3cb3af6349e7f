"""Token ids in, hidden states out: the networks of the model families, packed without padding. Torch and safetensors only.

`open_backbone` chooses the network by the config's model_type. Nothing here knows texts, tokenizers, heads or pooling.
"""

from actors.models.backbones.bert import Bert
from actors.models.backbones.decoder import Decoder
from actors.models.backbones.packing import Packed, pack
from actors.models.backbones.shared_prefixes import PackedPrefixes, SharedPrefixes, common_prefix, pack_alike, pack_prefixes
from actors.models.backbones.tensors import Tensors
from actors.models.description import CheckpointInfo

__all__ = [
    "Backbone",
    "Bert",
    "Decoder",
    "Packed",
    "PackedPrefixes",
    "SharedPrefixes",
    "Tensors",
    "common_prefix",
    "open_backbone",
    "pack",
    "pack_alike",
    "pack_prefixes",
]

Backbone = Bert | Decoder


def open_backbone(info: CheckpointInfo, tensors: Tensors, calibration: Packed | None = None) -> Backbone:
    """The network of a checkpoint, its weights taken from `tensors`; `calibration` as Bert takes it. Raises UserError on absent or
    misfitting weights."""
    return Decoder(info.config, tensors) if info.family.causal else Bert(info.config, tensors, calibration)
