"""Texts or token ids in, vectors out: a BERT- or XLM-R-like encoder with pooling.

Inside a call rows are sorted by length and cut by token budget; results come back in the order given and do not hang on the
batches. Nothing here knows where texts come from or vectors go. CUDA runs the same code; the tests run it on the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from actors.models.backbones import Bert, Packed, Tensors, open_backbone, pack
from actors.models.batching import run_with_budget
from actors.models.checkpoint import checkpoint_digest, read_description, require_encoder
from actors.models.families import POOLINGS
from actors.models.precision import Placement
from actors.models.text_tokenizer import TextTokenizer
from actors.models.tokens import TokenBatch, check_lengths
from configs.errors import UserError

OUTPUTS = ("dense", "multi_vector")
_EPSILON = 1e-12  # torch.nn.functional.normalize's own, as in FlagEmbedding


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """`pooling`: auto (the checkpoint's), cls, mean or last. `normalize`: dense vectors of length 1. `outputs`: of OUTPUTS."""

    pooling: str = "auto"
    normalize: bool = True
    outputs: tuple[str, ...] = ("dense",)


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """The vectors of n texts, in the order given.

    `dense`: float32 [n, d]. `multi_vector`: for each text float32 [tokens, d], its last hidden states with length 1, special
    tokens included; none if not asked for. `sparse`: none for these families. `padded_tokens`: tokens computed;
    `tokens`: those given (the same: nothing is padded). `truncated`: texts that lost tokens.
    """

    dense: np.ndarray
    multi_vector: tuple[np.ndarray, ...] | None
    padded_tokens: int
    tokens: int
    truncated: int
    sparse: None = None


class Encoder:
    """An embedding model on one device. Raises UserError on a reranker, an unknown pooling or output, or incomplete weights."""

    def __init__(self, folder: Path, tokenizer: TextTokenizer, placement: Placement, options: EncoderOptions | None = None) -> None:
        options = options or EncoderOptions()
        info = read_description(folder)
        require_encoder(info)
        _check_outputs(options.outputs)
        self.tokenizer, self.folder, self.dimension = tokenizer, folder, info.hidden_size
        self.pooling = _checked_pooling(info.pooling if options.pooling == "auto" else options.pooling)
        self.normalize, self.outputs = options.normalize, options.outputs
        self.device, self.dtype, self.batch_tokens = placement.device, placement.dtype, placement.batch_tokens
        self._limit = info.max_positions
        self._backbone = open_backbone(info, Tensors(folder, self.device, self.dtype))

    @cached_property
    def digest(self) -> str:
        """checkpoint_digest of the folder, computed when first asked for."""
        return checkpoint_digest(self.folder)

    def encode_queries(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors of queries, with the query instruction. Raises TypeError on what is no text."""
        return self.encode_tokens(self.tokenizer.queries(texts), self.outputs)

    def encode_corpus(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors of passages, with the passage instruction. Raises TypeError on what is no text."""
        return self.encode_tokens(self.tokenizer.passages(texts), self.outputs)

    def encode_tokens(self, tokens: TokenBatch, outputs: Sequence[str] = ("dense",)) -> EncodedTexts:
        """Vectors of texts that `tokenizer` has made ids of. Dense vectors always come; name multi_vector for token vectors too."""
        _check_outputs(outputs)
        check_lengths(tokens.lengths, self._limit)
        batches: list[tuple[np.ndarray, torch.Tensor]] = []
        token_vectors: list[np.ndarray] | None = [np.empty(0)] * len(tokens) if "multi_vector" in outputs else None

        def step(rows: np.ndarray) -> None:
            packed = pack(tokens, rows, self.device)
            if token_vectors is None:
                batches.append((rows, self._dense_alone(packed)))
                return
            hidden = self._backbone(packed)
            batches.append((rows, self._dense(hidden, packed)))
            for row, vectors in zip(rows, _token_vectors(hidden, packed), strict=True):
                token_vectors[row] = vectors

        with torch.inference_mode():
            padded = run_with_budget(tokens.lengths, self.batch_tokens, step)
            dense = _gather(batches, (len(tokens), self.dimension))
        return EncodedTexts(dense, None if token_vectors is None else tuple(token_vectors), padded, len(tokens.values), tokens.truncated)

    def _dense_alone(self, packed: Packed) -> torch.Tensor:
        """Dense vectors, float32 [b, d], where nothing else is asked for: of the last layer only the pooled token is computed."""
        if self.pooling == "mean":
            return self._dense(self._backbone(packed), packed)
        if isinstance(self._backbone, Bert):
            return self._finished(self._backbone(packed, "first" if self.pooling == "cls" else "last"))
        return self._finished(self._backbone(packed, "last"))

    def _dense(self, hidden: torch.Tensor, packed: Packed) -> torch.Tensor:
        """Float32 [b, d] of hidden [T, d]."""
        spans = packed.spans
        if self.pooling == "mean":
            return self._finished(torch.segment_reduce(hidden.float(), "mean", offsets=spans.offsets.long()))
        return self._finished(hidden[spans.firsts if self.pooling == "cls" else spans.lasts])

    def _finished(self, pooled: torch.Tensor) -> torch.Tensor:
        return functional.normalize(pooled.float(), dim=-1, eps=_EPSILON) if self.normalize else pooled.float()


def _token_vectors(hidden: torch.Tensor, packed: Packed) -> list[np.ndarray]:
    """Each row's tokens as float32 [tokens, d] of length 1: views of one array."""
    vectors = functional.normalize(hidden.float(), dim=-1, eps=_EPSILON).cpu().numpy()
    return np.split(vectors, packed.spans.starts[1:-1])


def _gather(batches: list[tuple[np.ndarray, torch.Tensor]], shape: tuple[int, int]) -> np.ndarray:
    """Batches in the order of the texts; one copy from the device for all of them."""
    out = np.empty(shape, np.float32)
    if batches:
        out[np.concatenate([rows for rows, _ in batches])] = torch.cat([vectors for _, vectors in batches]).cpu().numpy()
    return out


def _check_outputs(outputs: Sequence[str]) -> None:
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown:
        raise UserError(f"this model has no output {unknown[0]!r}: use {' or '.join(OUTPUTS)}.")


def _checked_pooling(pooling: str) -> str:
    if pooling not in POOLINGS:
        raise UserError(f"pooling {pooling!r} is unknown: use auto, {', '.join(POOLINGS)}.")
    return pooling
