"""Texts that begin alike in, one flat sequence out in which each common beginning lies once: g prefixes, then b suffixes.

For decoders alone: under causal attention the states of a prefix do not know what follows it, so that all its suffixes may look
back at the same ones. Exact up to the order of sums. A reranker's candidates share their query, a few-shot embedder's queries
share their examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from actors.models.backbones.packing import Keys, Spans, to_device
from actors.models.tokens import TokenBatch

_KEYS_PER_TOKEN = 8
_WORTH = 0.1


@dataclass(frozen=True)
class SharedPrefixes:
    """Where the texts lie in a flat [T, ...] tensor. `pieces`: its g + b stretches; `prefix_of`: the prefix, one of g, that each of the
    b suffixes continues, int64 [b]. A text is a prefix and a suffix; no piece is empty."""

    pieces: Spans
    prefix_of: np.ndarray

    def __len__(self) -> int:
        return len(self.prefix_of)

    @property
    def device(self) -> torch.device:
        """Where indices go."""
        return self.pieces.device

    @cached_property
    def prefix_lengths(self) -> np.ndarray:
        """Tokens of each text's prefix, int64 [b]."""
        return self.pieces.lengths[self.prefix_of]

    @property
    def suffix_lengths(self) -> np.ndarray:
        """Tokens of each suffix, int64 [b]."""
        return self.pieces.lengths[self._first_suffix :]

    @property
    def longest(self) -> int:
        """The most tokens of a text."""
        return int((self.prefix_lengths + self.suffix_lengths).max(initial=0))

    @cached_property
    def positions(self) -> torch.Tensor:
        """int64 [T] on the device: suffixes count on from their prefix."""
        before = np.concatenate([np.zeros(self._first_suffix, np.int64), self.prefix_lengths])
        return self.pieces.positions + to_device(np.repeat(before, self.pieces.lengths), self.device)

    @cached_property
    def lasts(self) -> torch.Tensor:
        """int64 [b] on the device: the flat place of each text's last token."""
        return self.pieces.lasts[self._first_suffix :]

    def queries(self, last_only: bool) -> Spans:
        """The rows that ask: all pieces, or the last token of each text."""
        return Spans(np.ones(len(self), np.int64), self.device) if last_only else self.pieces

    def keys(self, last_only: bool) -> Keys:
        """What these rows look at: prefixes at themselves, suffixes at prefix and suffix."""
        return self._last_keys if last_only else self._all_keys

    def take(self, rows: np.ndarray) -> tuple[torch.Tensor, SharedPrefixes]:
        """Flat places (int64 on the device) of the tokens of some texts (int [k]), and where these lie when packed in that order."""
        prefixes, prefix_of = np.unique(self.prefix_of[rows], return_inverse=True)
        places, pieces = self.pieces.take(np.concatenate([prefixes, self._first_suffix + rows]))
        return places, SharedPrefixes(pieces, prefix_of)

    @classmethod
    def concatenate(cls, parts: Sequence[SharedPrefixes]) -> tuple[torch.Tensor, SharedPrefixes]:
        """All parts' texts, one after the other, of flat tensors that are joined so: places and layout as `take` gives them."""
        counts = [part._first_suffix for part in parts]
        pieces = Spans(np.concatenate([part.pieces.lengths for part in parts]), parts[0].device)
        is_suffix = np.concatenate([np.arange(len(part.pieces.lengths)) >= count for part, count in zip(parts, counts, strict=True)])
        prefix_of = [part.prefix_of + first for part, first in zip(parts, np.cumsum([0, *counts[:-1]]), strict=True)]
        places, joined = pieces.take(np.argsort(is_suffix, kind="stable"))
        return places, cls(joined, np.concatenate(prefix_of))

    @property
    def _first_suffix(self) -> int:
        return len(self.pieces.lengths) - len(self.prefix_of)

    @cached_property
    def _last_keys(self) -> Keys:
        places, _ = self.pieces.take(self._halves)
        return Keys(Spans(self.prefix_lengths + self.suffix_lengths, self.device), places)

    @cached_property
    def _all_keys(self) -> Keys:
        places, _ = self.pieces.take(np.concatenate([np.arange(self._first_suffix), self._halves]))
        alone = self.pieces.lengths[: self._first_suffix]
        return Keys(Spans(np.concatenate([alone, self._last_keys.spans.lengths]), self.device), places)

    @property
    def _halves(self) -> np.ndarray:
        """Each text's two pieces, one after the other, int64 [2 b]."""
        return np.column_stack([self.prefix_of, self._first_suffix + np.arange(len(self))]).ravel()


@dataclass(frozen=True)
class PackedPrefixes:
    """b texts whose common beginnings lie once. `ids`: int64 [T] on the device."""

    ids: torch.Tensor
    spans: SharedPrefixes


def pack_prefixes(
    prefixes: Iterable[np.ndarray], suffixes: Iterable[np.ndarray], prefix_of: np.ndarray, device: torch.device
) -> PackedPrefixes:
    """Ids of g prefixes and b suffixes (int [tokens] each, at least one) on the device; `prefix_of`: int [b]."""
    tokens = TokenBatch.from_rows([*prefixes, *suffixes])
    ids = to_device(tokens.values.astype(np.int64), device)
    return PackedPrefixes(ids, SharedPrefixes(Spans(tokens.lengths, device), np.asarray(prefix_of, np.int64)))


def pack_alike(tokens: TokenBatch, rows: np.ndarray, shared: int, device: torch.device) -> PackedPrefixes:
    """Rows (int [b]) of a batch that all begin with the same `shared` tokens, in that order, on the device."""
    texts = [tokens.take(row) for row in rows]
    return pack_prefixes([texts[0][:shared]], [text[shared:] for text in texts], np.zeros(len(rows), np.int64), device)


def common_prefix(tokens: TokenBatch) -> int:
    """Tokens that all texts begin with, leaving each at least one; 0 where sharing them would save less than a tenth of all."""
    shared = int(tokens.lengths.min()) - 1 if len(tokens) else 0
    for row in range(1, len(tokens)):
        if shared * len(tokens) < _WORTH * len(tokens.values):
            return 0
        same = tokens.take(0)[:shared] == tokens.take(row)[:shared]
        shared = shared if same.all() else int(same.argmin())
    return shared if shared * (len(tokens) - 1) >= _WORTH * len(tokens.values) else 0


def by_prefix(prefix_lengths: np.ndarray, suffix_lengths: np.ndarray, prefix_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(order, costs) of texts for batching.run_with_budget, int64 [b] each: texts of one prefix lie together, the longest first.

    A text costs its suffix, and an eighth of all it looks at where that is more, since keys and values are laid out for each text;
    the first of its prefix pays for the prefix too. What a batch computes again because it begins amid a prefix's texts is not counted.
    """
    costs = np.maximum(suffix_lengths, -(-(prefix_lengths + suffix_lengths) // _KEYS_PER_TOKEN))
    if not len(costs):
        return np.zeros(0, np.int64), costs
    longest = np.zeros(int(prefix_of.max()) + 1, np.int64)
    np.maximum.at(longest, prefix_of, suffix_lengths)
    order = np.lexsort((-suffix_lengths, prefix_of, -longest[prefix_of]))
    first = order[np.diff(prefix_of[order], prepend=-1) != 0]
    costs[first] += prefix_lengths[first]
    return order, costs
