"""Pairs of query and passage in, relevance scores out: a decoder that reads a prompt, and what it says at the prompt's last token.

The loop is the same for all families: each text is tokenised once, pairs of a query go together, sorted by length, cut by token
budget and packed without padding, and what a query's pairs begin with is computed once a batch. A Scorer says how one batch is
read. CUDA runs the same code; the tests run it on the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from actors.models.backbones import Decoder, PackedPrefixes, Tensors, pack_prefixes
from actors.models.batching import Plan, by_prefix, run_with_budget
from actors.models.checkpoint import checkpoint_digest
from actors.models.description import CheckpointInfo
from actors.models.pairs import index_pairs, sigmoid
from actors.models.precision import Placement
from actors.models.prompt_tokenizer import PromptTokenizer
from actors.models.tokens import TokenBatch, check_lengths


class Scorer(Protocol):
    """How a family reads its network."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Whose scores come, in this order."""

    def __call__(self, packed: PackedPrefixes) -> torch.Tensor:
        """Logits, float32 [b, layers], of b pairs whose suffixes begin with the passage."""


@dataclass(frozen=True, slots=True)
class YesScorer:
    """The logit of "Yes" at the last token: one row of the language model's head. `softcap`: Gemma 2's of its logits, 0 is none."""

    decoder: Decoder
    row: torch.Tensor
    softcap: float
    layers: tuple[int, ...]

    def __call__(self, packed: PackedPrefixes) -> torch.Tensor:
        """As Scorer's."""
        return soft_capped(self.decoder(packed, "last").float() @ self.row, self.softcap)[:, None]

    @classmethod
    def open(cls, info: CheckpointInfo, tensors: Tensors, yes_id: int) -> "YesScorer":
        """The network and the head's row. Raises UserError where the weights lack them."""
        decoder = Decoder(info.config, tensors)
        tied = info.config.get("tie_word_embeddings", "gemma" in info.model_type)  # configs leave their class's default out
        row = decoder.words[yes_id] if tied else tensors.row("lm_head.weight", yes_id)
        return cls(decoder, row.float(), float(info.config.get("final_logit_softcapping") or 0), (decoder.layers,))


def soft_capped(logits: torch.Tensor, cap: float) -> torch.Tensor:
    """cap * tanh(logits / cap), the logits themselves where cap is 0."""
    return cap * torch.tanh(logits / cap) if cap else logits


class LlmReranker:
    """A reranker on one device: prompts by `pair_tokenizer`, read by `scorer`. `adapter`: the peft folder that is merged into it."""

    def __init__(
        self, folder: Path, pair_tokenizer: PromptTokenizer, placement: Placement, scorer: Scorer, adapter: Path | None = None
    ) -> None:
        self.folder, self.pair_tokenizer, self.scorer = folder, pair_tokenizer, scorer
        self.device, self.dtype, self.batch_tokens = placement.device, placement.dtype, placement.batch_tokens
        self._adapter = adapter

    @cached_property
    def digest(self) -> str:
        """checkpoint_digest of the folder and its adapter, computed when first asked for."""
        return checkpoint_digest(self.folder, self._adapter)

    def compute_score(self, pairs: Sequence[tuple[str, str]], normalize: bool = False) -> np.ndarray:
        """Scores of a list of (query, passage), float32 [n], or [n, layers] of several layers: logits, or their sigmoid."""
        queries, passages, index = index_pairs(pairs)
        return self.score_tokens(self.pair_tokenizer.queries(queries), self.pair_tokenizer.passages(passages), index, normalize)

    def score_tokens(self, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray, normalize: bool = False) -> np.ndarray:
        """Scores as compute_score's, of pairs int [n, 2] (query row, passage row) over ids that `pair_tokenizer` made."""
        joined = self.join(queries, passages, pairs)
        scores = np.empty((len(pairs), len(self.scorer.layers)), np.float32)
        batches: list[tuple[np.ndarray, torch.Tensor]] = []

        def step(rows: np.ndarray) -> None:
            batches.append((rows, self.scorer(joined.pack(rows, self.device))))

        with torch.inference_mode():
            run_with_budget(joined.plan(np.arange(len(pairs))), self.batch_tokens, step)
            if batches:
                scores[np.concatenate([rows for rows, _ in batches])] = torch.cat([logits for _, logits in batches]).cpu().numpy()
        scores = scores[:, 0] if len(self.scorer.layers) == 1 else scores
        return sigmoid(scores) if normalize else scores

    def join(self, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray) -> "JoinedPairs":
        """Pairs int [n, 2] as they go into the network."""
        joined = JoinedPairs(self.pair_tokenizer, queries, passages, pairs)
        check_lengths(joined.lengths, self.pair_tokenizer.max_positions)
        return joined


class JoinedPairs:
    """n pairs, joined only when packed. `query_of`: int [n]. `prefix_lengths`, `suffix_lengths`: tokens before each
    passage, and from it on, int64 [n]."""

    def __init__(self, tokenizer: PromptTokenizer, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray) -> None:
        self._tokenizer, self._queries, self._passages, self._pairs = tokenizer, queries, passages, pairs
        self.query_of = pairs[:, 0]
        query_lengths = queries.lengths[pairs[:, 0]]
        self._kept = tokenizer.kept(query_lengths, passages.lengths[pairs[:, 1]])
        self.suffix_lengths = self._kept + tokenizer.ending
        self.prefix_lengths = query_lengths + tokenizer.special_tokens - tokenizer.ending

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair, int64 [n]."""
        return self.prefix_lengths + self.suffix_lengths

    def plan(self, rows: np.ndarray) -> Plan:
        """How rows int [b] go."""
        return by_prefix(self.prefix_lengths[rows], self.suffix_lengths[rows], self.query_of[rows])

    def pack(self, rows: np.ndarray, device: torch.device) -> PackedPrefixes:
        """Rows int [b], in that order, on the device."""
        queries, prefix_of = np.unique(self.query_of[rows], return_inverse=True)
        prefixes = [self._tokenizer.before_passage(self._queries.take(query)) for query in queries]
        suffixes = [
            self._tokenizer.from_passage_on(self._passages.take(passage)[:kept])
            for passage, kept in zip(self._pairs[rows, 1], self._kept[rows], strict=True)
        ]
        return pack_prefixes(prefixes, suffixes, prefix_of, device)
