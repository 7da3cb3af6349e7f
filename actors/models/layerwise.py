"""Packed prompts in, scores of chosen layers out: rerankers with a head on every layer from start_layer up (as FlagEmbedding's).

The network stops at the highest layer asked for; each layer's states are read by that layer's own head, in whatever order asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from actors.models.backbones import Decoder, PackedPrefixes, SharedPrefixes, Tensors
from actors.models.description import CheckpointInfo
from actors.models.lightweight import NO_COMPRESSION, Compression
from actors.models.llm_reranker import soft_capped
from actors.models.reranker_options import head_layers


@dataclass(frozen=True, slots=True)
class LayerHeads:
    """One head of one row for each of `layers`. `weights`: float32 [heads, hidden]. `softcap`: of the scores, 0 is none."""

    weights: torch.Tensor
    layers: range
    softcap: float

    def score(self, states: torch.Tensor, number: int) -> torch.Tensor:
        """Scores, float32 [b], of normed states [b, hidden] by head `number`."""
        return soft_capped(states.float() @ self.weights[number], self.softcap)

    @classmethod
    def take(cls, info: CheckpointInfo, tensors: Tensors) -> "LayerHeads":
        """The heads of a checkpoint. Raises UserError where there are none of one row."""
        layers = head_layers(info)
        rows = [tensors.take(f"lm_head.{number}.linear_head.weight", (1, info.hidden_size)) for number in range(len(layers))]
        return cls(torch.cat(rows).float(), layers, float(info.config.get("final_logit_softcapping") or 0))


@dataclass(frozen=True, slots=True)
class Progress:
    """b pairs on their way: the states [T, hidden] that enter block `layer`, and where each pair lies; suffixes begin with the passage.

    `ended`: only the pairs' last tokens have been computed, [b, hidden]; they can be read but not advanced.
    """

    hidden: torch.Tensor
    spans: SharedPrefixes
    layer: int = 0
    ended: bool = False

    def take(self, rows: np.ndarray) -> "Progress":
        """Rows int [k] alone, in that order, packed anew."""
        places, spans = self.spans.take(rows)
        return Progress(self.hidden[places], spans, self.layer)

    @classmethod
    def concatenate(cls, parts: Sequence["Progress"], queries: np.ndarray) -> "Progress":
        """The rows of all parts, one after the other; `queries`: int, that of each row."""
        if len(parts) == 1:
            return parts[0]
        places, spans = SharedPrefixes.concatenate([part.spans for part in parts], queries)
        return cls(torch.cat([part.hidden for part in parts])[places], spans, parts[0].layer)


@dataclass(frozen=True, slots=True)
class LayerScorer:
    """A decoder and its heads. `layers`: those that score. `compression`: of passages on their way. `by_position`: the j-th lowest
    layer asked for is read by the j-th head, as the reference does for lightweight models, instead of by its own."""

    decoder: Decoder
    heads: LayerHeads
    layers: tuple[int, ...]
    compression: Compression = NO_COMPRESSION
    by_position: bool = False

    def __call__(self, packed: PackedPrefixes) -> torch.Tensor:
        """Logits, float32 [b, layers], in the order of `layers`."""
        progress, scores, wanted = self.begin(packed), {}, sorted(set(self.layers))
        for layer in wanted:
            progress = self.advance(progress, layer, last_only=layer == wanted[-1])
            scores[layer] = self.read(progress)
        return torch.stack([scores[layer] for layer in self.layers], 1)

    def begin(self, packed: PackedPrefixes) -> Progress:
        """Pairs before the first block."""
        return Progress(self.decoder.embed(packed), packed.spans)

    def advance(self, progress: Progress, layer: int, last_only: bool = False) -> Progress:
        """The same pairs before block `layer`; with `last_only` of the last block before it only their last tokens are computed."""
        stops = [stop for stop in range(progress.layer + 1, layer) if self.compression.applies(stop)]
        for stop in (*stops, layer):
            if self.compression.applies(progress.layer):
                progress = Progress(*self.compression.merge(progress.hidden, progress.spans), progress.layer)
            only = last_only and stop == layer
            hidden = self.decoder.run(progress.hidden, progress.spans, range(progress.layer, stop), only)
            progress = Progress(hidden, progress.spans, stop, ended=only)
        return progress

    def read(self, progress: Progress) -> torch.Tensor:
        """Scores, float32 [b], of pairs where they stand."""
        states = self.decoder.finish(progress.hidden if progress.ended else progress.hidden[progress.spans.lasts])
        order = sorted(set(self.layers)) if self.by_position else self.heads.layers
        return self.heads.score(states, order.index(progress.layer))
