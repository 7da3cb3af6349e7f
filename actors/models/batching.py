"""Token counts in, batches of rows out, by a budget of tokens: sorting by length first is what makes padding nearly vanish.

Knows arrays only; the caller's step does the forward pass.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

_BUDGETS = {
    "cuda": 32_768
}  # GPUs want large kernels; on a CPU 2,048 tokens keep the activations in cache (6.0k tok/s against 5.7k at 4,096, MiniLM, 2 cores)
_CPU_BUDGET = 2_048


def default_budget(device_type: str) -> int:
    """Tokens of one forward pass, padding counted."""
    return _BUDGETS.get(device_type, _CPU_BUDGET)


def plan_batches(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Row numbers of each batch: rows sorted by length, longest first and stable, cut so that rows x longest stays in the budget.

    A row longer than the budget is a batch of its own. `lengths`: int [n], tokens.
    """
    return list(_batches(lengths, longest_first(lengths), batch_tokens))


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """Row numbers by descending length; equal lengths keep their order."""
    return np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")


def _batches(lengths: np.ndarray, order: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def run_with_budget(lengths: np.ndarray, batch_tokens: int, step: Callable[[np.ndarray], None]) -> int:
    """Call `step` with the rows of each batch. Returns the tokens computed, padding counted.

    When the GPU runs out of memory the budget is halved and the failing rows go again, in smaller batches; when one row alone
    does not fit, the original torch.OutOfMemoryError goes on to the caller. (No CUDA in the tests: there a step raises it.)
    """
    rest, padded = longest_first(lengths), 0
    while len(rest):
        rows = next(_batches(lengths, rest, batch_tokens))
        computed = len(rows) * int(lengths[rows[0]])
        if not _fits(step, rows):
            batch_tokens = min(batch_tokens, computed) // 2
            torch.cuda.empty_cache()  # outside the handler, where the failed pass's tensors are already gone
            continue
        padded += computed
        rest = rest[len(rows) :]
    return padded


def _fits(step: Callable[[np.ndarray], None], rows: np.ndarray) -> bool:
    try:
        step(rows)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
        return False
    return True


def pad_rows(
    values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, pad_id: int, pad_to_multiple: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a flat token array as a rectangle, padded on the right.

    `values`: int [tokens]; `offsets`: int64 [n+1]; `rows`: int [b]. Returns ids int64 [b, L] and mask bool [b, L], True on tokens.
    """
    starts = offsets[rows]
    lengths = offsets[rows + 1] - starts
    width = -(-int(lengths.max(initial=0)) // pad_to_multiple) * pad_to_multiple
    columns = np.arange(width)
    mask = columns < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = values[(starts[:, None] + columns)[mask]]
    return ids, mask


def padding_ratio(padded_tokens: int, tokens: int) -> float:
    """Tokens computed over tokens given: 1.0 is no waste."""
    return padded_tokens / tokens if tokens else 1.0
