"""States of packed pairs in, fewer states out: the token compression of bge-reranker-v2.5-gemma2-lightweight."""

from dataclasses import dataclass

import numpy as np
import torch

from actors.models.backbones import SharedPrefixes
from actors.models.backbones.packing import Spans, to_device


@dataclass(frozen=True, slots=True)
class Compression:
    """`ratio` passage tokens become one before each of the blocks `layers` (before block 0 none do, as in the reference).

    `ending`: tokens of a pair after its passage, which stay as they are.
    """

    ratio: int = 1
    layers: tuple[int, ...] = (8,)
    ending: int = 0

    def applies(self, layer: int) -> bool:
        """Whether tokens are merged before block `layer`."""
        return self.ratio > 1 and layer > 0 and layer in self.layers

    def merge(self, hidden: torch.Tensor, pairs: SharedPrefixes) -> tuple[torch.Tensor, SharedPrefixes]:
        """States [T, hidden] of b pairs with each run of passage tokens replaced by its mean, and where the pairs then lie.

        A passage is a suffix without its ending. A short last run is the mean of what it has. Positions count anew from 0, since they
        follow from the layout.
        """
        pieces, prefixes = pairs.pieces, len(pairs.pieces.lengths) - len(pairs)
        passages = np.concatenate([np.zeros(prefixes, np.int64), pairs.suffix_lengths - self.ending])
        place = np.arange(pieces.starts[-1]) - np.repeat(pieces.starts[:-1], pieces.lengths)
        first = (place >= np.repeat(passages, pieces.lengths)) | (place % self.ratio == 0)
        lengths = np.add.reduceat(first, pieces.starts[:-1], dtype=np.int64)
        borders = to_device(np.append(np.flatnonzero(first), len(first)), hidden.device)
        merged = torch.segment_reduce(hidden.float(), "mean", offsets=borders, axis=0)
        return merged.to(hidden.dtype), SharedPrefixes(Spans(lengths, pieces.device), pairs.prefix_of)


NO_COMPRESSION = Compression()
