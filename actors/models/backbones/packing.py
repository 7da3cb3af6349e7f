"""Token ids of chosen rows in, one flat sequence on the device out: no padding, and where each row begins and ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from actors.models.tokens import TokenBatch


class Layout(Protocol):
    """How b texts lie in a flat tensor, as a decoder asks: one after the other (Spans), or behind shared prefixes (SharedPrefixes)."""

    @property
    def longest(self) -> int:
        """The most tokens of a text."""

    @property
    def positions(self) -> torch.Tensor:
        """int64 [T] on the device: each token's place in its text."""

    @property
    def lasts(self) -> torch.Tensor:
        """int64 [b] on the device: the flat place of each text's last token."""

    def queries(self, last_only: bool) -> Spans:
        """The rows that ask in attention; with `last_only` one token of each text."""

    def keys(self, last_only: bool) -> Keys:
        """What each of these rows looks at."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How the rows of attention find their keys and values. `spans`: how many each row has. `places`: int64, where each of these lies
    in a flat tensor, row after row; none where they lie so already."""

    spans: Spans
    places: torch.Tensor | None = None

    def take(self, flat: torch.Tensor) -> torch.Tensor:
        """The keys or values of all rows, out of flat [T, ...]."""
        return flat if self.places is None else flat[self.places]


@dataclass(frozen=True)
class Spans:
    """Where b rows lie in a flat [T, ...] tensor, one after the other. `lengths`: int64 [b] on the host, each at least 1."""

    lengths: np.ndarray
    device: torch.device

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 [b + 1] on the host: row i is [starts[i], starts[i + 1])."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def offsets(self) -> torch.Tensor:
        """`starts` as int32 on the device, as attention kernels want it."""
        return to_device(self.starts.astype(np.int32), self.device)

    @cached_property
    def longest(self) -> int:
        """The most tokens of a row."""
        return int(self.lengths.max(initial=0))

    @cached_property
    def positions(self) -> torch.Tensor:
        """int64 [T] on the device: 0, 1, 2... within each row."""
        return to_device(np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], self.lengths), self.device)

    @cached_property
    def firsts(self) -> torch.Tensor:
        """int64 [b] on the device: the flat place of each row's first token."""
        return to_device(self.starts[:-1], self.device)

    @cached_property
    def lasts(self) -> torch.Tensor:
        """int64 [b] on the device: the flat place of each row's last token."""
        return to_device(self.starts[1:] - 1, self.device)

    def queries(self, last_only: bool) -> Spans:
        """The rows that ask in attention: these, or one token of each."""
        return Spans(np.ones(len(self.lengths), np.int64), self.device) if last_only else self

    def keys(self, last_only: bool) -> Keys:
        """Every row looks at itself."""
        return Keys(self)

    def take(self, rows: np.ndarray) -> tuple[torch.Tensor, Spans]:
        """Flat places (int64 on the device) of the tokens of some rows (int [k]), and where these lie when packed in that order."""
        spans = Spans(self.lengths[rows], self.device)
        places = np.arange(spans.starts[-1]) + np.repeat(self.starts[rows] - spans.starts[:-1], spans.lengths)
        return to_device(places, self.device), spans


@dataclass(frozen=True)
class Packed:
    """b texts without padding. `ids`: int64 [T] on the device; `types`: token types, int64 [T], where the model takes them."""

    ids: torch.Tensor
    spans: Spans
    types: torch.Tensor | None = None

    def with_types(self, types: np.ndarray) -> Packed:
        """The same with token types int [T]."""
        return replace(self, types=to_device(types.astype(np.int64), self.ids.device))


def pack(tokens: TokenBatch, rows: np.ndarray, device: torch.device) -> Packed:
    """Rows (int [b]) of a batch, in that order, on the device."""
    lengths = tokens.lengths[rows]
    spans = Spans(lengths, device)
    places = np.arange(spans.starts[-1]) + np.repeat(tokens.offsets[rows] - spans.starts[:-1], lengths)
    return Packed(to_device(tokens.values[places].astype(np.int64), device), spans)


def runs_of_both(queries: Spans, keys: Spans) -> list[tuple[int, int, int, int]]:
    """(first row, rows, their queries, their keys) of each stretch in which neither number changes: rows sorted by length make few."""
    borders = np.flatnonzero(np.diff(queries.lengths) | np.diff(keys.lengths)) + 1
    firsts = [0, *borders.tolist()]
    ends = [*borders.tolist(), len(keys.lengths)]
    return [(first, end - first, int(queries.lengths[first]), int(keys.lengths[first])) for first, end in zip(firsts, ends, strict=True)]


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A numpy array as a tensor on the device; pinned on the way to a GPU, so that the copy overlaps with computing (untested)."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
