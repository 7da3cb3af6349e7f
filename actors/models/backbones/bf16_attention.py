"""Queries, keys and values in bf16 of rows of equal length in, contexts out: two products and a softmax, for CPUs.

Without AMX, torch's fused kernel for CPUs shows nothing of a processor's bf16 instructions. oneDNN's batched product
reaches their full rate, and the scores of a few heads stay in the caches between the two: measured on an AMD EPYC (Zen 4), two cores, 1.5
(heads of 32) to 1.8 (heads of 64) times as fast. Scores and weights are rounded to bf16; sums are made in float32.
"""

import torch

_SCORES = 1 << 20  # written out at a time: 2 MB, whatever the rows' length


def attend_in_bf16(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    """Contexts [n, heads, Lq, d] of query [n, heads, Lq, d] over key and value [n, heads, Lk, d]."""
    asked, length = query.shape[2], key.shape[2]
    queries, keys, values = (part.flatten(0, 1) for part in (query, key, value))
    contexts = torch.empty_like(queries)
    heads, tokens = max(1, _SCORES // (asked * length)), max(1, _SCORES // length)
    for some in range(0, len(queries), heads):
        for first in range(0, asked, tokens):
            here = slice(some, some + heads), slice(first, first + tokens)
            _weigh(queries[here], keys[here[0]], values[here[0]], scale, contexts[here])
    return contexts.unflatten(0, query.shape[:2])


def _weigh(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, out: torch.Tensor) -> None:
    """Contexts of query [m, q, d] over key and value [m, k, d], into `out` [m, q, d]."""
    nothing = query.new_empty(1).expand(*query.shape[:2], key.shape[1])  # beta 0: not read
    torch.bmm(torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=scale).softmax(-1), value, out=out)
