"""BERT, RoBERTa, XLM-R and DistilBERT: packed token ids in, last hidden states out (Devlin et al. 2018; Conneau et al. 2019).

Where only one token of a text is pooled, the last layer computes that token alone: exact, and 7 % less work at 12 layers. With a few
texts to calibrate by, linear maps run in 8-bit integers (and attention in bf16 where that is faster); exact ones are packed where it pays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

import torch
from torch.nn import functional

from actors.models.backbones.attention import AttentionRule, attend, attends_fastest_in
from actors.models.backbones.calibrated import CalibratedLinear, Grid, Seen
from actors.models.backbones.feed_forward import CalibratedFeedForward, FeedForward, PackedFeedForward
from actors.models.backbones.layers import LayerNorm, Linear, activation
from actors.models.backbones.packed_linear import PackedLinear, packing_pays
from actors.models.backbones.packing import Packed, Spans
from actors.models.backbones.tensors import Tensors
from configs.errors import UserError

Only = Literal["first", "last"]
"""Which single token of each text is wanted of the last layer."""

_BERT_NAMES = MappingProxyType(
    {
        "layers": "encoder.layer",
        "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm2": "output.LayerNorm",
    }
)
_DISTILBERT_NAMES = MappingProxyType(
    {
        "layers": "transformer.layer",
        "qkv": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        "out": "attention.out_lin",
        "norm1": "sa_layer_norm",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
        "norm2": "output_layer_norm",
    }
)


_Map = TypeVar("_Map", Linear, PackedLinear, CalibratedLinear)
_Feed = TypeVar("_Feed", FeedForward, PackedFeedForward, CalibratedFeedForward)


@dataclass(frozen=True, slots=True)
class _Block(Generic[_Map, _Feed]):
    qkv: _Map
    out: _Map
    norm1: LayerNorm
    feed: _Feed
    norm2: LayerNorm


_Exact = _Block[Linear, FeedForward]
_PackedBlock = _Block[PackedLinear, PackedFeedForward]
_Rounded = _Block[CalibratedLinear, CalibratedFeedForward]
_AnyBlock = _Exact | _PackedBlock | _Rounded


class Bert:
    """A bidirectional encoder on one device, in evaluation mode. `calibration`: texts over which its linear maps are put in 8-bit integers,
    for CPUs. Raises UserError on weights or settings it can not reproduce."""

    def __init__(self, config: Mapping[str, Any], tensors: Tensors, calibration: Packed | None = None) -> None:
        distil = config["model_type"] == "distilbert"
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise UserError(
                f"{tensors.folder}: only absolute position embeddings are supported, not {config['position_embedding_type']!r}."
            )
        self.hidden_size = int(config["dim" if distil else "hidden_size"])
        self.heads = int(config["n_heads" if distil else "num_attention_heads"])
        act = str(config["activation" if distil else "hidden_act"])
        self._rule = AttentionRule(scale=(self.hidden_size // self.heads) ** -0.5)
        self.prefix = prefix = tensors.prefix("embeddings.word_embeddings.weight")
        eps = float(config.get("layer_norm_eps", 1e-12))
        self._words = tensors.take(f"{prefix}embeddings.word_embeddings.weight", (int(config["vocab_size"]), self.hidden_size))
        self._positions = tensors.take(f"{prefix}embeddings.position_embeddings.weight")[_first_position(config) :]
        types = f"{prefix}embeddings.token_type_embeddings.weight"
        self._types = tensors.take(types) if types in tensors else None
        self._norm = LayerNorm.take(tensors, f"{prefix}embeddings.LayerNorm", eps)
        names = _DISTILBERT_NAMES if distil else _BERT_NAMES
        count = int(config["n_layers" if distil else "num_hidden_layers"])
        exact = (_take_block(tensors, f"{prefix}{names['layers']}.{i}.", names, act, eps) for i in range(count))
        self._blocks: Sequence[_AnyBlock]
        if calibration is not None:
            self._blocks = self._calibrated(exact, calibration, tensors.folder)
        else:
            self._blocks = [_packed(block) for block in exact] if packing_pays(self._words) else list(exact)

    def __call__(self, packed: Packed, only: Only | None = None) -> torch.Tensor:
        """Last hidden states [T, hidden], or [b, hidden] of the first or last token of each text."""
        hidden = self.run(packed, len(self._blocks) - 1)
        if only is None:
            return self._all_tokens(self._blocks[-1], hidden, packed.spans)
        return self._one_token(self._blocks[-1], hidden, packed.spans, only)

    def run(self, packed: Packed, layers: int) -> torch.Tensor:
        """States after the first `layers` layers, [T, hidden]."""
        hidden = self._embed(packed)
        for block in self._blocks[:layers]:
            hidden = self._all_tokens(block, hidden, packed.spans)
        return hidden

    def _embed(self, packed: Packed) -> torch.Tensor:
        hidden = functional.embedding(packed.ids, self._words) + functional.embedding(packed.spans.positions, self._positions)
        if self._types is not None:
            hidden += self._types[0] if packed.types is None else functional.embedding(packed.types, self._types)
        return self._norm(hidden)

    def _all_tokens(self, block: _AnyBlock, hidden: torch.Tensor, spans: Spans) -> torch.Tensor:
        return self._feed_forward(block, self._attend(block, hidden, spans), hidden)

    def _attend(self, block: _AnyBlock, hidden: torch.Tensor, spans: Spans) -> torch.Tensor:
        query, key, value = block.qkv(hidden).unflatten(1, (3, self.heads, -1)).unbind(1)
        return attend(query, key, value, spans, spans, self._rule)

    def _one_token(self, block: _AnyBlock, hidden: torch.Tensor, spans: Spans, only: Only) -> torch.Tensor:
        wanted = hidden[spans.firsts if only == "first" else spans.lasts]
        query = block.qkv.part(0, self.hidden_size)(wanted).unflatten(1, (self.heads, -1))
        keys_values = block.qkv.part(self.hidden_size, 3 * self.hidden_size)(hidden)
        key, value = keys_values.unflatten(1, (2, self.heads, -1)).unbind(1)
        return self._feed_forward(block, attend(query, key, value, spans.queries(True), spans, self._rule), wanted)

    def _feed_forward(self, block: _AnyBlock, context: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        return block.norm2(block.feed.plus(block.norm1(block.out.plus(context, hidden))))

    @torch.inference_mode()
    def _calibrated(self, exact: Iterable[_Exact], packed: Packed, folder: Path) -> list[_Rounded]:
        """The blocks in 8-bit integers, by what flows through each map when the exact network reads `packed`."""
        rounded, hidden, grid, attended = [], self._embed(packed), Grid.of_this_machine(), attends_fastest_in()
        for block in exact:
            context = self._attend(block, hidden, packed.spans)
            middle = block.norm1(block.out.plus(context, hidden))
            inner = block.feed.act(block.feed.up(middle))
            if not (hidden.isfinite().all() and inner.isfinite().all()):
                raise UserError(f"{folder}: the network computes numbers that are not finite: copy the checkpoint again.")
            qkv = CalibratedLinear.of(block.qkv, Seen.of(hidden), grid, attended)
            out = CalibratedLinear.of(block.out, Seen.of(context), grid)
            feed = CalibratedFeedForward.of(block.feed, Seen.of(middle), Seen.of(inner), grid)
            rounded.append(_Block(qkv, out, block.norm1, feed, block.norm2))
            hidden = block.norm2(block.feed.down(inner).add_(middle))
        return rounded


def _packed(block: _Exact) -> _PackedBlock:
    return _Block(PackedLinear.of(block.qkv), PackedLinear.of(block.out), block.norm1, PackedFeedForward.of(block.feed), block.norm2)


def _first_position(config: Mapping[str, Any]) -> int:
    """RoBERTa counts positions from after the padding id on."""
    if config["model_type"] not in ("roberta", "xlm-roberta"):
        return 0
    pad = config.get("pad_token_id")
    return (1 if pad is None else int(pad)) + 1


def _take_block(tensors: Tensors, prefix: str, names: Mapping[str, Any], act: str, eps: float) -> _Exact:
    return _Block(
        qkv=Linear.take(tensors, *(prefix + name for name in names["qkv"])),
        out=Linear.take(tensors, prefix + names["out"]),
        norm1=LayerNorm.take(tensors, prefix + names["norm1"], eps),
        feed=FeedForward(Linear.take(tensors, prefix + names["up"]), act, activation(act), Linear.take(tensors, prefix + names["down"])),
        norm2=LayerNorm.take(tensors, prefix + names["norm2"], eps),
    )
