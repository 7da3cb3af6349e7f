"""Batches of vectors in, the vectors of all texts in their order out: what an encoder gives back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from actors.models.sparse import SparseRows, heaviest
from actors.models.tokens import TokenBatch


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """The vectors of n texts, in the order given.

    `dense`: float32 [n, d]. `multi_vector`: for each text float32 [tokens, d]: bge-m3's ColBERT vectors (all but the cls token), for
    other models the last hidden states with length 1; none if not asked for. `sparse_rows`: bge-m3's lexical weights; none if not
    asked for. `tokens`: those of all texts; `padded_tokens`: with what pads them (nothing does). `truncated`: texts that lost tokens.
    """

    dense: np.ndarray
    multi_vector: tuple[np.ndarray, ...] | None
    padded_tokens: int
    tokens: int
    truncated: int
    sparse_rows: SparseRows | None = None

    @property
    def sparse(self) -> list[dict[int, float]] | None:
        """One {token id: weight} per text; none if not asked for."""
        return None if self.sparse_rows is None else self.sparse_rows.dictionaries()


class Parts:
    """Collects what the batches of one call give, on the device until the end: one copy to the host for all of them."""

    def __init__(self, tokens: TokenBatch, dimension: int, outputs: Sequence[str]) -> None:
        self._tokens, self._dimension = tokens, dimension
        self._rows: list[np.ndarray] = []
        self._dense: list[torch.Tensor] = []
        self._weights: list[torch.Tensor] | None = [] if "sparse" in outputs else None
        self._token_vectors: list[np.ndarray] | None = [np.empty(0)] * len(tokens) if "multi_vector" in outputs else None

    def add_dense(self, rows: np.ndarray, vectors: torch.Tensor) -> None:
        """Vectors [b, d] of `rows`, once for each batch."""
        self._rows.append(rows)
        self._dense.append(vectors)

    def add_weights(self, rows: np.ndarray, weights: torch.Tensor) -> None:
        """Weights of all tokens of `rows`, [T], in the order of add_dense's calls."""
        assert self._weights is not None and rows is self._rows[-1]
        self._weights.append(weights)

    def add_token_vectors(self, rows: np.ndarray, vectors: torch.Tensor, lengths: np.ndarray) -> None:
        """Vectors [T, d] of the tokens of `rows`, `lengths` of them each."""
        assert self._token_vectors is not None
        for row, part in zip(rows, np.split(vectors.cpu().numpy(), np.cumsum(lengths)[:-1]), strict=True):
            self._token_vectors[row] = part

    def gathered(self, unweighted_ids: Sequence[int]) -> EncodedTexts:
        """Everything in the order of the texts; `unweighted_ids` carry no lexical weight."""
        dense = np.empty((len(self._tokens), self._dimension), np.float32)
        if self._rows:
            dense[np.concatenate(self._rows)] = torch.cat(self._dense).cpu().numpy()
        computed = len(self._tokens.values)
        vectors = None if self._token_vectors is None else tuple(self._token_vectors)
        return EncodedTexts(dense, vectors, computed, computed, self._tokens.truncated, self._sparse(unweighted_ids))

    def _sparse(self, unweighted_ids: Sequence[int]) -> SparseRows | None:
        if self._weights is None:
            return None
        weights, tokens = np.zeros(len(self._tokens.values), np.float32), self._tokens
        if self._rows:
            rows = np.concatenate(self._rows)
            lengths = tokens.lengths[rows]
            starts = np.cumsum(lengths) - lengths
            places = np.arange(lengths.sum()) + np.repeat(tokens.offsets[rows] - starts, lengths)
            weights[places] = torch.cat(self._weights).cpu().numpy()
        return heaviest(tokens.values, weights, tokens.offsets, unweighted_ids)
