"""Token ids of many texts as two flat arrays, to and from Arrow without a copy per text. Knows no tokenizer and no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token ids of n texts.

    `values`: int32 [tokens], one text after the other. `offsets`: int64 [n+1], text i is values[offsets[i]:offsets[i+1]].
    `truncated`: how many of the texts lost tokens.
    """

    values: np.ndarray
    offsets: np.ndarray
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [n]."""
        return np.diff(self.offsets)

    def take(self, i: int) -> np.ndarray:
        """The ids of text i, int32 [its tokens], a view."""
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    @classmethod
    def from_rows(cls, rows: Iterable[np.ndarray], truncated: int = 0) -> TokenBatch:
        """A batch of the given id arrays."""
        arrays = list(rows)
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([len(array) for array in arrays], out=offsets[1:])
        values = np.concatenate(arrays).astype(np.int32, copy=False) if arrays else np.zeros(0, np.int32)
        return cls(values, offsets, truncated)

    def to_arrow(self) -> pa.LargeListArray:
        """The ids as large_list<int32> [n]."""
        return pa.LargeListArray.from_arrays(pa.array(self.offsets, pa.int64()), pa.array(self.values, pa.int32()))

    @classmethod
    def from_arrow(cls, array: pa.Array | pa.ChunkedArray, truncated: int = 0) -> TokenBatch:
        """The ids of a list column, chunked or sliced as it may be. Raises ValueError on null rows."""
        whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        if whole.null_count:
            raise ValueError(f"{whole.null_count} texts have no tokens")
        offsets = whole.offsets.to_numpy().astype(np.int64, copy=False)
        return cls(whole.flatten().to_numpy().astype(np.int32, copy=False), offsets - offsets[0], truncated)


def check_lengths(lengths: np.ndarray, limit: int) -> None:
    """Raise ValueError on what the model has no position for; on a GPU it would end the whole process's CUDA context."""
    if len(lengths) and (lengths.min() < 1 or lengths.max() > limit):
        raise ValueError(f"rows of {lengths.min()} to {lengths.max()} tokens, but the model takes 1 to {limit}")
