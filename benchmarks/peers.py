"""Other libraries as their users call them: a checkpoint in, a function from texts to vectors (or pairs to scores) out.

A peer that is not installed, or that this machine can not run sensibly, is named with the reason; none is dropped in silence.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from actors.models.precision import pick_device
from actors.models.text_tokenizer import TextTokenizer
from benchmarks.checkpoints import Checkpoint
from benchmarks.machine import has_bf16

Encode = Callable[[Sequence[str], int], np.ndarray]
"""Texts and a batch size (0: the library's own) -> vectors float32 [n, d]."""

Score = Callable[[Sequence[tuple[str, str]]], np.ndarray]
"""Pairs of query and passage -> logits float32 [n]."""

BATCHES = (8, 32, 128)
"""Batch sizes that a tuned peer is tried with."""


@dataclass(frozen=True, slots=True)
class Peer:
    """`open` loads it; `precision`: fp32, bf16 or int8; `needs`: modules that must be installed; `tuned`: the batch size is tried out."""

    name: str
    open: Callable[[Checkpoint], Encode]
    precision: str
    needs: tuple[str, ...]
    tuned: bool = True

    def obstacle(self) -> str:
        """Why it can not take part; nothing where it can."""
        slow = self.precision == "bf16" and not has_bf16(pick_device())
        return missing(*self.needs) or ("bf16 is no faster than fp32 on this machine" if slow else "")


def missing(*modules: str) -> str:
    """Which of the modules is not installed, and the remedy; nothing where all are."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    return f"{absent[0]} is not installed: pip install '.[bench]'" if absent else ""


def open_sentence_transformer(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Encode:
    """SentenceTransformer.encode."""
    model = _sentence_transformer(str(checkpoint.folder), dtype)
    return lambda texts, batch: np.asarray(model.encode(list(texts), batch_size=batch or 32, show_progress_bar=False), np.float32)


@lru_cache(maxsize=2)
def _sentence_transformer(folder: str, dtype: torch.dtype) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device=str(pick_device()), model_kwargs={"dtype": dtype})


def open_sentence_transformer_bf16(checkpoint: Checkpoint) -> Encode:
    """The same in bf16."""
    return open_sentence_transformer(checkpoint, torch.bfloat16)


def open_flag_model(checkpoint: Checkpoint) -> Encode:
    """FlagModel.encode; half precision where there is a GPU, as its own examples have it."""
    from FlagEmbedding import FlagModel

    device, length = str(pick_device()), TextTokenizer(checkpoint.folder).max_length
    pooling = checkpoint.info.pooling
    model = FlagModel(str(checkpoint.folder), pooling_method=pooling, use_fp16=device != "cpu", devices=device, passage_max_length=length)
    return lambda texts, batch: np.asarray(model.encode_corpus(list(texts), **({"batch_size": batch} if batch else {})), np.float32)


def open_flag_reranker(checkpoint: Checkpoint) -> Score:
    """FlagReranker.compute_score; half precision where there is a GPU."""
    from FlagEmbedding import FlagReranker

    device = str(pick_device())
    model = FlagReranker(str(checkpoint.folder), use_fp16=device != "cpu", devices=device)
    return lambda pairs: np.asarray(model.compute_score([list(pair) for pair in pairs]), np.float32)


def open_cross_encoder(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Score:
    """sentence-transformers' CrossEncoder.predict, without the sigmoid that it would add."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(checkpoint.folder), device=str(pick_device()), max_length=512, model_kwargs={"dtype": dtype})
    identity = torch.nn.Identity()
    return lambda pairs: np.asarray(model.predict(list(pairs), activation_fn=identity, show_progress_bar=False), np.float32)


def open_cross_encoder_bf16(checkpoint: Checkpoint) -> Score:
    """The same in bf16."""
    return open_cross_encoder(checkpoint, torch.bfloat16)
