"""Pairs of query and passage in, relevance scores out: a sequence-classification model with one label.

Each query and each passage is tokenised once; pairs are joined as ids, sorted by length and cut by token budget. CUDA runs the
same code; the tests run it on the CPU.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from actors.models import calibration
from actors.models.backbones import Bert, Packed, Tensors, pack
from actors.models.backbones.heads import ClassificationHead
from actors.models.batching import Plan, run_with_budget
from actors.models.checkpoint import checkpoint_digest, choose_reranker_kind, read_description
from actors.models.pairs import index_pairs, sigmoid
from actors.models.precision import Placement
from actors.models.probing import find_budget
from actors.models.text_tokenizer import PairTokenizer
from actors.models.tokens import TokenBatch, check_lengths


class CrossEncoder:
    """A reranker on one device. Raises UserError on a checkpoint without a head of one label, or with incomplete weights."""

    def __init__(self, folder: Path, pair_tokenizer: PairTokenizer, placement: Placement) -> None:
        info = read_description(folder)
        choose_reranker_kind(info, "cross_encoder")
        self.pair_tokenizer, self.folder = pair_tokenizer, folder
        self.device, self.dtype = placement.device, placement.dtype
        self._info = info
        tensors = Tensors(folder, self.device, self.dtype)
        self._backbone = Bert(info.config, tensors, self._calibration() if placement.int8 else None)
        self.batch_tokens = find_budget(info, self._backbone, placement)
        self._head = ClassificationHead.take(info.model_type, self._backbone.prefix, tensors)

    @cached_property
    def digest(self) -> str:
        """checkpoint_digest of the folder, computed when first asked for."""
        return checkpoint_digest(self.folder)

    def compute_score(self, pairs: Sequence[tuple[str, str]], normalize: bool = False) -> np.ndarray:
        """Scores of a list of (query, passage), float32 [n]: logits, or their sigmoid with `normalize`."""
        queries, passages, index = index_pairs(pairs)
        return self.score_tokens(self.pair_tokenizer.queries(queries), self.pair_tokenizer.passages(passages), index, normalize)

    def score_tokens(self, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray, normalize: bool = False) -> np.ndarray:
        """Scores, float32 [n], of pairs int [n, 2] (query row, passage row) over ids that `pair_tokenizer` made."""
        query_lengths = queries.lengths[pairs[:, 0]]
        kept = self.pair_tokenizer.kept(query_lengths, passages.lengths[pairs[:, 1]])
        lengths = query_lengths + kept + self.pair_tokenizer.special_tokens
        check_lengths(lengths, self._info.max_positions)
        batches: list[tuple[np.ndarray, torch.Tensor]] = []

        def step(rows: np.ndarray) -> None:
            joined = [self.pair_tokenizer.join_cut(queries.take(pairs[r, 0]), passages.take(pairs[r, 1])[: kept[r]]) for r in rows]
            batches.append((rows, self._forward([ids for ids, _ in joined], [types for _, types in joined])))

        with torch.inference_mode():
            run_with_budget(Plan.by_length(lengths), self.batch_tokens, step)
            scores = np.empty(len(pairs), np.float32)
            if batches:
                scores[np.concatenate([rows for rows, _ in batches])] = torch.cat([logits for _, logits in batches]).cpu().numpy()
        return sigmoid(scores) if normalize else scores

    def _forward(self, ids: list[np.ndarray], types: list[np.ndarray]) -> torch.Tensor:
        """Logits, float32 [b], of joined pairs."""
        return self._head(self._backbone(self._packed(ids, types), "first"))

    def _packed(self, ids: list[np.ndarray], types: list[np.ndarray]) -> Packed:
        packed = pack(TokenBatch.from_rows(ids), np.arange(len(ids)), self.device)
        return packed.with_types(np.concatenate(types)) if self._info.token_types else packed

    def _calibration(self) -> Packed:
        """Each question with its own answer, and with another's."""
        queries, passages = self.pair_tokenizer.queries(calibration.QUESTIONS), self.pair_tokenizer.passages(calibration.ANSWERS)
        count = len(queries)
        joined = [self.pair_tokenizer.join(queries.take(i), passages.take((i + other) % count)) for i in range(count) for other in (0, 1)]
        return self._packed([ids for ids, _ in joined], [types for _, types in joined])
