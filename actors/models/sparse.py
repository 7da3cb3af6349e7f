"""Lexical weights of texts as flat arrays: from token ids and their weights, to dictionaries, Arrow and scores. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Of n texts the distinct token ids, ascending, with their weights. `ids`: int32 [m]; `weights`: float32 [m], all above 0;
    `offsets`: int64 [n + 1], text i is [offsets[i], offsets[i + 1])."""

    ids: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def dictionaries(self) -> list[dict[int, float]]:
        """One {token id: weight} per text, as FlagEmbedding's lexical_weights."""
        cuts = zip(self.offsets[:-1], self.offsets[1:], strict=True)
        return [dict(zip(self.ids[a:b].tolist(), self.weights[a:b].tolist(), strict=True)) for a, b in cuts]

    def to_arrow(self) -> tuple[pa.ListArray, pa.ListArray]:
        """(ids as list<int32>, weights as list<float32>), row-aligned."""
        offsets = pa.array(self.offsets.astype(np.int32))
        return pa.ListArray.from_arrays(offsets, pa.array(self.ids)), pa.ListArray.from_arrays(offsets, pa.array(self.weights))

    def scores(self, passages: SparseRows, pairs: np.ndarray) -> np.ndarray:
        """Sum over shared ids of the products of weights, float32 [p], for pairs int [p, 2] (row here, row of `passages`)."""
        out = np.zeros(len(pairs), np.float32)
        for place, (query, passage) in enumerate(pairs):
            a, b = slice(*self.offsets[query : query + 2]), slice(*passages.offsets[passage : passage + 2])
            _, mine, theirs = np.intersect1d(self.ids[a], passages.ids[b], assume_unique=True, return_indices=True)
            out[place] = self.weights[a][mine] @ passages.weights[b][theirs]
        return out


def heaviest(token_ids: np.ndarray, weights: np.ndarray, offsets: np.ndarray, dropped: Sequence[int]) -> SparseRows:
    """The greatest weight of each id within a text, without the `dropped` ids and without weights of 0, as BGEM3FlagModel has it.

    `token_ids`: int [t], `weights`: float32 [t], `offsets`: int64 [n + 1].
    """
    texts = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    kept = (weights > 0) & ~np.isin(token_ids, np.asarray(list(dropped), np.int64))
    texts, ids, weights = texts[kept], token_ids[kept].astype(np.int64), weights[kept]
    key = texts * (1 << 32) + ids
    order = np.argsort(key, kind="stable")
    distinct, starts = np.unique(key[order], return_index=True)
    best = np.maximum.reduceat(weights[order], starts) if len(starts) else np.zeros(0, np.float32)
    ends = np.searchsorted(distinct, np.arange(1, len(offsets)) * (1 << 32))
    return SparseRows((distinct & 0xFFFFFFFF).astype(np.int32), best.astype(np.float32), np.concatenate([[0], ends]).astype(np.int64))
