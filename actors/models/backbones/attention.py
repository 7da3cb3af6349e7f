"""Packed queries, keys and values in, packed contexts out: every row attends to itself alone and nothing is padded.

On CUDA in half precision one variable-length kernel does all rows (not exercised by the CPU tests). Elsewhere rows of equal length
go through torch's scaled_dot_product_attention together, without a mask: its fastest path, and exact. On CPUs with AVX-512, which
compute faster with a number of keys that fills their registers, a row is shown some keys of its neighbours too, and a mask hides them.
Those that multiply bf16 fast without AMX have a way of their own (bf16_attention.py).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

from actors.machine import has_amx, has_bf16
from actors.models.backbones.bf16_attention import attend_in_bf16
from actors.models.backbones.layers import computed_in
from actors.models.backbones.packing import Spans, runs_of_both

_BF16 = has_bf16() and not has_amx()
"""Whether products in bf16 are fast, and torch's kernel, which packs for AMX, does not make them."""

_LANES = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1
"""float32 numbers of a vector register, where it has been measured that keys which do not fill the last one are slow."""


@dataclass(frozen=True, slots=True)
class AttentionRule:
    """How tokens attend. `scale`: of the products. `causal`: to themselves and what precedes. `window`: to so many tokens at most,
    themselves counted (0: no limit). `softcap`: scores become softcap * tanh(score / softcap) (0: they stay), as Gemma 2 does."""

    scale: float
    causal: bool = False
    window: int = 0
    softcap: float = 0.0


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, queries: Spans, keys: Spans, rule: AttentionRule) -> torch.Tensor:
    """Contexts [Tq, heads * d] of query [Tq, heads, d] over key and value [Tk, heads or fewer, d].

    `queries` and `keys` cut both into the same b rows; a row with fewer queries than keys asks with its last tokens (or, not causal,
    with any). Fewer key heads than query heads are shared by groups.
    """
    if query.is_cuda and query.dtype is not torch.float32 and not rule.softcap:
        return _variable_length(query, key, value, queries, keys, rule)
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    query, key, value = (part.to(computed_in(part.dtype, part.device)) for part in (query, key, value))
    in_bf16 = _BF16 and query.dtype is torch.bfloat16 and _is_plain(query, key, rule)
    for first, count, asked, length in runs_of_both(queries, keys):
        q, start = slice(queries.starts[first], queries.starts[first] + count * asked), int(keys.starts[first])
        k = slice(start, start + count * length)
        parts = _rows(query[q], count), _rows(key[k], count), _rows(value[k], count)
        if in_bf16:
            context = attend_in_bf16(*parts, rule.scale)
        elif _shows_more(query, key, asked, length, rule):
            context = _shown_more(parts[0], _window(key, start, count, length), _window(value, start, count, length), length, rule)
        else:
            context = _equal_lengths(*parts, rule)
        out[q].unflatten(0, (count, -1)).copy_(context.transpose(1, 2))
    return out.flatten(1)


def attends_fastest_in() -> torch.dtype:
    """The type of queries, keys and values that this machine's CPU attends in fastest, where any will do."""
    return torch.bfloat16 if _BF16 else torch.float32


def _is_plain(query: torch.Tensor, key: torch.Tensor, rule: AttentionRule) -> bool:
    """Whether every token looks at its whole row, on a CPU, and each query head has keys of its own."""
    return query.device.type == "cpu" and not rule.causal and not rule.softcap and query.shape[1] == key.shape[1]


def _shows_more(query: torch.Tensor, key: torch.Tensor, asked: int, length: int, rule: AttentionRule) -> bool:
    """Whether rows of `length` keys are computed faster with some more, which a mask hides."""
    return asked > 1 and key.dtype is torch.float32 and length % _LANES > 0 and _is_plain(query, key, rule)


def _window(flat: torch.Tensor, start: int, count: int, length: int) -> torch.Tensor:
    """Rows of `length` tokens, the first at `start` of flat [T, heads, d], and what follows each of them, as [count, heads, width, d]: a
    view in which rows overlap; where nothing follows, zeros."""
    width = -(-length // _LANES) * _LANES
    missing = start + (count - 1) * length + width - len(flat)
    if missing > 0:
        flat, start = functional.pad(flat[start:], (0, 0, 0, 0, 0, missing)), 0
    token, head, component = flat.stride()
    shape = (count, flat.shape[1], width, flat.shape[2])
    return flat.as_strided(shape, (length * token, head, token, component), flat.storage_offset() + start * token)


def _shown_more(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, length: int, rule: AttentionRule) -> torch.Tensor:
    """Contexts [n, heads, Lq, d] over the first `length` keys; the others, being finite, weigh exactly nothing."""
    mask = _hiding(key.shape[2], length).expand(*query.shape[:3], -1)
    return functional.scaled_dot_product_attention(query, key, value, mask, scale=rule.scale)


@lru_cache(maxsize=1024)
def _hiding(width: int, length: int) -> torch.Tensor:
    """float32 [width]: 0 up to `length`, then minus infinity."""
    return torch.where(torch.arange(width) < length, 0.0, -torch.inf)


def _rows(flat: torch.Tensor, count: int) -> torch.Tensor:
    """[count * L, heads, d] as [count, heads, L, d], a view."""
    return flat.unflatten(0, (count, -1)).transpose(1, 2)


def _equal_lengths(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
    """Contexts [n, heads, Lq, d] of rows of one length."""
    asked, length = query.shape[2], key.shape[2]
    if rule.softcap:
        return _capped(query, key, value, rule)
    mask = _mask(asked, length, rule, query.device)
    plain_causal = mask is not None and asked == length and not (rule.window and rule.window < length)
    shared = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(
        query, key, value, None if plain_causal else mask, is_causal=plain_causal, scale=rule.scale, enable_gqa=shared
    )


def _mask(asked: int, length: int, rule: AttentionRule, device: torch.device) -> torch.Tensor | None:
    """bool [Lq, Lk], True where a query may look; none where it may look everywhere."""
    windowed = 0 < rule.window < length
    if not rule.causal or (asked == 1 and not windowed):
        return None
    ahead = torch.arange(length, device=device) - torch.arange(length - asked, length, device=device)[:, None]
    return (ahead <= 0) & (ahead > -rule.window) if windowed else ahead <= 0


def _capped(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: AttentionRule) -> torch.Tensor:
    """The same written out, with capped scores, which no kernel of torch takes; the softmax in float32."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = rule.softcap * torch.tanh((query @ key.transpose(2, 3)) * (rule.scale / rule.softcap))
    mask = _mask(query.shape[2], key.shape[2], rule, query.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.float().softmax(-1).to(value.dtype) @ value


def _variable_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, queries: Spans, keys: Spans, rule: AttentionRule
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # Causal rows with fewer queries than keys ask with their last tokens, as FlashAttention aligns them since 2.1.
    left = rule.window - 1 if rule.window else -1
    right = 0 if rule.causal and queries.longest > 1 else -1  # a lone query is a row's last token, which nothing follows
    context: Any = varlen_attn(
        query,
        key,
        value,
        queries.offsets,
        keys.offsets,
        queries.longest,
        keys.longest,
        scale=rule.scale,
        window_size=(left, right),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    contexts: torch.Tensor = context.flatten(1)
    return contexts
