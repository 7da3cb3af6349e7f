"""Texts or token ids in, vectors out: an encoder or decoder network with pooling, and bge-m3's sparse and multi-vector outputs.

Inside a call rows are sorted by length and cut by token budget; results come back in the order given and do not hang on the
batches. Nothing here knows where texts come from or vectors go. CUDA runs the same code; the tests run it on the CPU.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from actors.models import calibration
from actors.models.backbones import Bert, Decoder, Packed, Tensors, common_prefix, open_backbone, pack, pack_alike
from actors.models.backbones.m3_heads import M3Heads
from actors.models.batching import Plan, by_prefix, run_with_budget
from actors.models.checkpoint import checkpoint_digest, read_description, require_encoder
from actors.models.description import has_m3_heads
from actors.models.encoded import EncodedTexts, Parts
from actors.models.encoder_options import EncoderOptions, check_outputs, known_outputs
from actors.models.precision import Placement
from actors.models.probing import find_budget
from actors.models.text_tokenizer import TextTokenizer
from actors.models.tokens import TokenBatch, check_lengths

_EPSILON = 1e-12  # torch.nn.functional.normalize's own, as in FlagEmbedding


class Encoder:
    """An embedding model on one device. Raises UserError on a reranker, an unknown pooling or output, or incomplete weights."""

    def __init__(self, folder: Path, tokenizer: TextTokenizer, placement: Placement, options: EncoderOptions | None = None) -> None:
        options = options or EncoderOptions()
        info = read_description(folder)
        require_encoder(info)
        self.tokenizer, self.folder = tokenizer, folder
        options.check(info)
        self._info, self.pooling = info, options.pooling_of(info)
        self.normalize, self.outputs = options.normalizes(info), options.outputs
        self._known = known_outputs(info)
        self.device, self.dtype = placement.device, placement.dtype
        self.dimension = options.dimension_of(info)
        tensors = Tensors(folder, self.device, self.dtype, options.adapter, placement.int8)
        self._backbone = open_backbone(info, tensors, self._calibration() if placement.int8 and not info.family.causal else None)
        self.batch_tokens = find_budget(info, self._backbone, placement)
        self._adapter = options.adapter
        self._m3 = M3Heads.open(folder, info.hidden_size, self.device, self.dtype) if has_m3_heads(folder) else None

    def _calibration(self) -> Packed:
        tokens = self.tokenizer.passages((*calibration.QUESTIONS, *calibration.ANSWERS))
        return pack(tokens, np.arange(len(tokens)), self.device)

    @property
    def token_dimension(self) -> int:
        """Components of a token vector."""
        return self.dimension if self._m3 is None else min(self.dimension, self._m3.colbert_size)

    @cached_property
    def digest(self) -> str:
        """checkpoint_digest of the folder and its adapter, computed when first asked for."""
        return checkpoint_digest(self.folder, self._adapter)

    def encode_queries(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors of queries, with the query instruction. Raises TypeError on what is no text."""
        return self.encode_tokens(self.tokenizer.queries(texts), self.outputs)

    def encode_corpus(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors of passages, with the passage instruction. Raises TypeError on what is no text."""
        return self.encode_tokens(self.tokenizer.passages(texts), self.outputs)

    def encode_tokens(self, tokens: TokenBatch, outputs: Sequence[str] = ("dense",)) -> EncodedTexts:
        """Vectors of texts that `tokenizer` has made ids of. Dense vectors always come; name sparse or multi_vector for these too."""
        check_outputs(self._info, self._known, outputs)
        check_lengths(tokens.lengths, self._info.max_positions)
        parts, dense_alone = Parts(tokens, self.dimension, outputs), set(outputs) <= {"dense"}
        shared = common_prefix(tokens) if dense_alone and isinstance(self._backbone, Decoder) and self.pooling != "mean" else 0
        plan = Plan.by_length(tokens.lengths)
        if shared:
            plan = by_prefix(np.full(len(tokens), shared), tokens.lengths - shared, np.zeros(len(tokens), np.int64))

        def step(rows: np.ndarray) -> None:
            if dense_alone:
                parts.add_dense(rows, self._dense_alone(tokens, rows, shared))
                return
            packed = pack(tokens, rows, self.device)
            hidden = self._backbone(packed)
            parts.add_dense(rows, self._dense(hidden, packed))
            if "multi_vector" in outputs:
                parts.add_token_vectors(rows, *self._token_vectors(hidden, packed))
            if "sparse" in outputs and self._m3 is not None:
                parts.add_weights(rows, self._m3.token_weights(hidden))

        with torch.inference_mode():
            run_with_budget(plan, self.batch_tokens, step)
            return parts.gathered(self.tokenizer.unweighted_ids)

    def _dense_alone(self, tokens: TokenBatch, rows: np.ndarray, shared: int) -> torch.Tensor:
        """Dense vectors, float32 [b, d], where nothing else is asked for: of the last layer only the pooled token is computed, and of
        the `shared` tokens that all texts begin with, each once."""
        if shared and isinstance(self._backbone, Decoder):
            return self._finished(self._backbone(pack_alike(tokens, rows, shared, self.device), "last"))
        packed = pack(tokens, rows, self.device)
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
        pooled = pooled[:, : self.dimension].float()
        return functional.normalize(pooled, dim=-1, eps=_EPSILON) if self.normalize else pooled

    def _token_vectors(self, hidden: torch.Tensor, packed: Packed) -> tuple[torch.Tensor, np.ndarray]:
        """Float32 [tokens, d], and how many of them each row has: all states with length 1, or M3's ColBERT vectors without the cls."""
        lengths = packed.spans.lengths
        if self._m3 is None:
            return functional.normalize(hidden[:, : self.dimension].float(), dim=-1, eps=_EPSILON), lengths
        inner = torch.ones(len(hidden), dtype=torch.bool, device=hidden.device)
        inner[packed.spans.firsts] = False
        vectors = self._m3.colbert(hidden[inner])[:, : self.dimension].float()
        return functional.normalize(vectors, dim=-1, eps=_EPSILON) if self.normalize else vectors, lengths - 1
