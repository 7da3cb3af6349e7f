"""Pairs in, bge-m3's mixed scores out: dense, sparse and multi-vector scores of one encoder, weighted.

The mix is (w1 dense + w2 sparse + w3 multi-vector) / (w1 + w2 + w3), as BGEM3FlagModel.compute_score has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.models.encoded import EncodedTexts
from actors.models.encoder import Encoder
from actors.models.encoder_options import OUTPUTS
from actors.models.late_interaction import LateInteraction
from actors.models.pairs import index_pairs, sigmoid
from actors.models.reranker_options import check_weights
from actors.models.tokens import TokenBatch


@dataclass(frozen=True, slots=True)
class PartScores:
    """The three scores of n pairs, float32 [n] each."""

    dense: np.ndarray
    sparse: np.ndarray
    multi_vector: np.ndarray

    def mixed(self, weights: Sequence[float]) -> np.ndarray:
        """Their weighted mean, float32 [n]; `weights`: dense, sparse, multi_vector, of a sum above 0."""
        dense, sparse, multi = weights
        mixed = (dense * self.dense + sparse * self.sparse + multi * self.multi_vector) / sum(weights)
        return mixed.astype(np.float32)


class M3Reranker(LateInteraction):
    """bge-m3 as a reranker by all three of its outputs. `weights`: of dense, sparse and multi-vector scores."""

    def __init__(self, encoder: Encoder, weights: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__(encoder)
        check_weights(weights)
        self.weights = tuple(weights)

    def compute_score(self, pairs: Sequence[tuple[str, str]], normalize: bool = False) -> np.ndarray:
        """Mixed scores of a list of (query, passage), float32 [n]; with `normalize` their sigmoid."""
        scores = self.part_scores(pairs).mixed(self.weights)
        return sigmoid(scores) if normalize else scores

    def part_scores(self, pairs: Sequence[tuple[str, str]]) -> PartScores:
        """The three scores of a list of (query, passage)."""
        queries, passages, index = index_pairs(pairs)
        return self._parts(self._encoded(self.tokenizer.queries(queries)), self._encoded(self.tokenizer.passages(passages)), index)

    def score_tokens(self, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray, normalize: bool = False) -> np.ndarray:
        """Mixed scores, float32 [n], of pairs int [n, 2] (query row, passage row) over ids that `tokenizer` made."""
        scores = self._parts(self._encoded(queries), self._encoded(passages), pairs).mixed(self.weights)
        return sigmoid(scores) if normalize else scores

    def _encoded(self, tokens: TokenBatch) -> EncodedTexts:
        return self.encoder.encode_tokens(tokens, OUTPUTS)

    def _parts(self, queries: EncodedTexts, passages: EncodedTexts, pairs: np.ndarray) -> PartScores:
        assert queries.sparse_rows is not None and passages.sparse_rows is not None
        return PartScores(
            dense=np.einsum("ij,ij->i", queries.dense[pairs[:, 0]], passages.dense[pairs[:, 1]]),
            sparse=queries.sparse_rows.scores(passages.sparse_rows, pairs),
            multi_vector=self.score_vectors(queries.multi_vector or (), passages.multi_vector or (), pairs),
        )
