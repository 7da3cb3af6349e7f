"""Gemma, Gemma 2, Llama, Mistral, Qwen 2 and 3, and MiniCPM: packed token ids in, hidden states out; causal, without a cache.

One block serves them all; `DecoderShape` says what differs. Layers can be run one by one, as rerankers with a head on every
layer need (MiniCPM, Gemma 2).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch.nn import functional

from actors.models.backbones.attention import AttentionRule, attend
from actors.models.backbones.layers import LinearMap, RmsNorm, Rotary, Tables, activation, rotate, take_map
from actors.models.backbones.packing import Layout, Packed
from actors.models.backbones.shared_prefixes import PackedPrefixes
from actors.models.backbones.tensors import Tensors
from configs.errors import UserError

_HEAD_DIMS = {"qwen3": 128, "gemma": 256, "gemma2": 256}  # transformers' defaults where config.json is silent
_WINDOWED = ("mistral", "qwen2", "qwen3", "gemma2", "cost_wise_gemma")


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """What differs between the families. `embed_scale`, `residual_scale`: factors on the embeddings and on what each block adds
    (Gemma, MiniCPM). `gemma_norms`: weights are stored minus 1. `post_norms`: each block's outputs are normed too (Gemma 2)."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    theta: float
    scale: float
    act: str
    embed_scale: float = 1.0
    residual_scale: float = 1.0
    gemma_norms: bool = False
    post_norms: bool = False
    softcap: float = 0.0
    windows: tuple[int, ...] = ()

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """The shape that a config.json describes. Raises UserError on rotary scaling, which none of our families uses."""
        kind, hidden, heads = config["model_type"], int(config["hidden_size"]), int(config["num_attention_heads"])
        head_dim = int(config.get("head_dim") or _HEAD_DIMS.get(kind) or hidden // heads)
        layers, gemma = int(config["num_hidden_layers"]), "gemma" in kind
        gemma2 = kind in ("gemma2", "cost_wise_gemma")
        minicpm = kind == "minicpm"
        return cls(
            hidden_size=hidden,
            layers=layers,
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=head_dim,
            eps=float(config["rms_norm_eps"]),
            theta=_theta(config),
            scale=float(config["query_pre_attn_scalar"]) ** -0.5 if gemma2 else head_dim**-0.5,
            act=_act(config),
            embed_scale=hidden**0.5 if gemma else float(config.get("scale_emb", 1)) if minicpm else 1.0,
            residual_scale=float(config["scale_depth"]) / math.sqrt(layers) if minicpm else 1.0,
            gemma_norms=gemma,
            post_norms=gemma2,
            # The reference of gemma2 embedders caps scores, that of the lightweight reranker does not.
            softcap=float(config.get("attn_logit_softcapping") or 0) if kind == "gemma2" else 0.0,
            windows=_windows(config, layers),
        )


@dataclass(frozen=True, slots=True)
class _Block:
    norm1: RmsNorm
    qkv: LinearMap
    q_norm: RmsNorm | None
    k_norm: RmsNorm | None
    out: LinearMap
    post1: RmsNorm | None
    norm2: RmsNorm
    gate_up: LinearMap
    down: LinearMap
    post2: RmsNorm | None
    rule: AttentionRule


class Decoder:
    """A causal language model's body on one device, in evaluation mode. Raises UserError on weights or settings it can not reproduce."""

    def __init__(self, config: Mapping[str, Any], tensors: Tensors) -> None:
        self.shape = shape = DecoderShape.read(config)
        self.hidden_size, self.layers = shape.hidden_size, shape.layers
        self.prefix = prefix = tensors.prefix("embed_tokens.weight")
        self.words = tensors.take(f"{prefix}embed_tokens.weight", (int(config["vocab_size"]), shape.hidden_size))
        self._embed_scale = float(torch.tensor(shape.embed_scale, dtype=tensors.dtype))  # rounded as in training: Gemma's 55.43 is 55.5
        self._act = activation(shape.act)
        self._rotary = Rotary(shape.head_dim, shape.theta, tensors.device, tensors.dtype)
        self._blocks = [_take_block(tensors, f"{prefix}layers.{i}.", shape, i) for i in range(shape.layers)]
        self._norm = RmsNorm.take(tensors, f"{prefix}norm", shape.eps, shape.gemma_norms)

    def __call__(self, packed: Packed | PackedPrefixes, only: Literal["last"] | None = None) -> torch.Tensor:
        """Last hidden states, normed, [T, hidden], or [b, hidden] of the last token of each text."""
        return self.finish(self.run(self.embed(packed), packed.spans, range(self.layers), only == "last"))

    def embed(self, packed: Packed | PackedPrefixes) -> torch.Tensor:
        """The states that enter the first layer, [T, hidden]."""
        hidden = functional.embedding(packed.ids, self.words)
        return hidden * self._embed_scale if self.shape.embed_scale != 1 else hidden

    def run(self, hidden: torch.Tensor, spans: Layout, layers: range, last_only: bool = False) -> torch.Tensor:
        """States [T, hidden] through some blocks; with `last_only`, the last of them computes [b, hidden] of each text's last token alone.

        Exact: under causal attention a text's other tokens no longer matter to the last one once they have keys and values.
        """
        tables = self._rotary.tables(spans.positions, spans.longest)
        for number in layers:
            hidden = self._through(self._blocks[number], hidden, spans, tables, last_only and number == layers[-1])
        return hidden

    def _through(self, block: _Block, hidden: torch.Tensor, spans: Layout, tables: Tables, last_only: bool) -> torch.Tensor:
        shape, normed = self.shape, block.norm1(hidden)
        wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        if last_only:
            query = block.qkv.part(0, wide)(normed[spans.lasts])
            keys_values = block.qkv.part(wide, wide + 2 * narrow)(normed)
            query_tables, hidden = (tables[0][spans.lasts], tables[1][spans.lasts]), hidden[spans.lasts]
        else:
            query, keys_values = block.qkv(normed).split([wide, 2 * narrow], 1)
            query_tables = tables
        key, value = keys_values.unflatten(1, (2, shape.kv_heads, shape.head_dim)).unbind(1)
        query = query.unflatten(1, (shape.heads, shape.head_dim))
        if block.q_norm is not None and block.k_norm is not None:
            query, key = block.q_norm(query), block.k_norm(key)
        keys, queries = spans.keys(last_only), spans.queries(last_only)
        context = attend(rotate(query, query_tables), keys.take(rotate(key, tables)), keys.take(value), queries, keys.spans, block.rule)
        return self._feed_forward(block, self._add(hidden, block.out(context), block.post1))

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """The final norm, which states of any layer pass before a head reads them."""
        return self._norm(hidden)

    def _feed_forward(self, block: _Block, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = block.gate_up(block.norm2(hidden)).chunk(2, 1)
        return self._add(hidden, block.down(self._act(gate) * up), block.post2)

    def _add(self, hidden: torch.Tensor, change: torch.Tensor, norm: RmsNorm | None) -> torch.Tensor:
        change = change if norm is None else norm(change)
        return hidden + (change * self.shape.residual_scale if self.shape.residual_scale != 1 else change)


def _take_block(tensors: Tensors, prefix: str, shape: DecoderShape, number: int) -> _Block:
    def norm(name: str) -> RmsNorm:
        return RmsNorm.take(tensors, prefix + name, shape.eps, shape.gemma_norms)

    def optional(name: str) -> RmsNorm | None:
        return norm(name) if f"{prefix}{name}.weight" in tensors else None

    window = shape.windows[number] if shape.windows else 0
    return _Block(
        norm1=norm("input_layernorm"),
        qkv=take_map(tensors, *(f"{prefix}self_attn.{part}_proj" for part in "qkv")),
        q_norm=optional("self_attn.q_norm"),
        k_norm=optional("self_attn.k_norm"),
        out=take_map(tensors, f"{prefix}self_attn.o_proj"),
        post1=norm("post_attention_layernorm") if shape.post_norms else None,
        norm2=norm("pre_feedforward_layernorm" if shape.post_norms else "post_attention_layernorm"),
        gate_up=take_map(tensors, f"{prefix}mlp.gate_proj", f"{prefix}mlp.up_proj"),
        down=take_map(tensors, f"{prefix}mlp.down_proj"),
        post2=norm("post_feedforward_layernorm") if shape.post_norms else None,
        rule=AttentionRule(shape.scale, causal=True, window=window, softcap=shape.softcap),
    )


def _act(config: Mapping[str, Any]) -> str:
    """Gemma's first configs say gelu and mean its tanh form; hidden_activation, where given, overrules."""
    if config["model_type"] in ("gemma", "gemma2") and not config.get("hidden_activation"):
        return "gelu_pytorch_tanh"
    return str(config.get("hidden_activation") or config["hidden_act"])


def _theta(config: Mapping[str, Any]) -> float:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind != "default":
        raise UserError(f"rotary scaling of type {kind!r} (rope_scaling in config.json) is not supported: use a checkpoint without it.")
    return float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)


def _windows(config: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """Tokens that each layer looks back over, 0 for all: what transformers does with sliding_window for each family."""
    window, kind = config.get("sliding_window"), config["model_type"]
    if not window or kind not in _WINDOWED or (kind in ("qwen2", "qwen3") and not config.get("use_sliding_window")):
        return ()
    if types := config.get("layer_types"):
        return tuple(int(window) if name == "sliding_attention" else 0 for name in types)
    if kind in ("gemma2", "cost_wise_gemma"):
        return tuple(0 if number % 2 else int(window) for number in range(layers))
    if kind in ("qwen2", "qwen3"):
        return tuple(int(window) if number >= int(config.get("max_window_layers", layers)) else 0 for number in range(layers))
    return (int(window),) * layers
