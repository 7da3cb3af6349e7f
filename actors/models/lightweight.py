"""States of packed pairs in, fewer states out: the token compression of bge-reranker-v2.5-gemma2-lightweight."""

from dataclasses import dataclass

import numpy as np
import torch

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

    def merge(self, hidden: torch.Tensor, spans: Spans, passage_starts: np.ndarray) -> tuple[torch.Tensor, Spans]:
        """States [T, hidden] of b pairs with each run of passage tokens replaced by its mean, and where the pairs then lie.

        `passage_starts`: tokens before each passage, int [b]. A short last run is the mean of what it has. Positions count anew from
        0, since they follow from the spans.
        """
        place = np.arange(spans.starts[-1]) - np.repeat(spans.starts[:-1] + passage_starts, spans.lengths)
        passage = np.repeat(spans.lengths - passage_starts - self.ending, spans.lengths)
        first = (place < 0) | (place >= passage) | (place % self.ratio == 0)
        lengths = np.add.reduceat(first, spans.starts[:-1], dtype=np.int64)
        borders = to_device(np.append(np.flatnonzero(first), len(first)), hidden.device)
        merged = torch.segment_reduce(hidden.float(), "mean", offsets=borders, axis=0)
        return merged.to(hidden.dtype), Spans(lengths, spans.device)


NO_COMPRESSION = Compression()
