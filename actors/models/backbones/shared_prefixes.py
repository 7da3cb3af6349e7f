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
        places, pieces = self.pieces.take(np.concatenate([prefixes, self._suffixes[rows]]))
        return places, SharedPrefixes(pieces, prefix_of)

    @classmethod
    def concatenate(cls, parts: Sequence[SharedPrefixes], owners: np.ndarray) -> tuple[torch.Tensor, SharedPrefixes]:
        """All parts' texts, one after the other, of flat tensors that are joined so: places and layout as `take` gives them.

        `owners`: int, of each text; those of one owner begin alike, so that the prefix which the first of them has serves all.
        """
        pieces = Spans(np.concatenate([part.pieces.lengths for part in parts]), parts[0].device)
        before = np.cumsum([0, *(len(part.pieces.lengths) for part in parts[:-1])])
        prefixes = np.concatenate([part.prefix_of + first for part, first in zip(parts, before, strict=True)])
        suffixes = np.concatenate([part._suffixes + first for part, first in zip(parts, before, strict=True)])
        _, firsts, prefix_of = np.unique(owners, return_index=True, return_inverse=True)
        places, joined = pieces.take(np.concatenate([prefixes[firsts], suffixes]))
        return places, cls(joined, prefix_of)

    @property
    def _first_suffix(self) -> int:
        return len(self.pieces.lengths) - len(self.prefix_of)

    @property
    def _suffixes(self) -> np.ndarray:
        """Piece numbers of the texts' suffixes, int64 [b]."""
        return self._first_suffix + np.arange(len(self))

    @cached_property
    def _last_keys(self) -> Keys:
        return Keys(Spans(self.prefix_lengths + self.suffix_lengths, self.device), self._whole_places)

    @cached_property
    def _all_keys(self) -> Keys:
        lengths = np.concatenate([self.pieces.lengths[: self._first_suffix], self._last_keys.spans.lengths])
        prefixes = torch.arange(int(self.pieces.starts[self._first_suffix]), device=self.device)
        return Keys(Spans(lengths, self.device), torch.cat([prefixes, self._whole_places]))

    @cached_property
    def _whole_places(self) -> torch.Tensor:
        """The flat places of each text's tokens, text after text."""
        halves = np.column_stack([self.prefix_of, self._suffixes])
        return self.pieces.take(halves.ravel())[0]


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
