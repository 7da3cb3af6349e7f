"""Checkpoints in, encoders and rerankers out. Torch and transformers load only when a model does; Ray and the store are not known here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.models.cross_encoder import CrossEncoder
    from actors.models.encoder import Encoder
    from actors.models.late_interaction import LateInteraction


def load_encoder(  # noqa: PLR0913 - the one public door: every setting of an encoder is named here
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    query_instruction: str | None = None,
    passage_instruction: str | None = None,
    pooling: str | None = None,
    normalize: bool = True,
    max_length: int | None = None,
    outputs: Sequence[str] = ("dense",),
    truncate_dim: int | None = None,
    batch_tokens: int = 0,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> Encoder:
    """An embedding model, ready to encode.

    `model`: folder, hub id, s3://bucket/folder or pkg://package/folder. `device`: auto, cpu, cuda. `precision`: auto (bf16 on
    GPUs and on CPUs with AMX, else fp32), fp32, bf16, fp16. `pooling`: none or auto goes by the checkpoint, else cls, mean, last.
    Instructions: a prefix, or a text with {} where the input goes; none takes the checkpoint's own prompt, "" takes none.
    `max_length`: tokens with specials; none takes the checkpoint's. `outputs`: dense, multi_vector and, of a bge-m3, sparse.
    `truncate_dim`: components kept of a vector (Matryoshka). `batch_tokens`: tokens of a forward pass, 0 chooses by device. Raises UserError when the model cannot be had or is no encoder that we know.
    """
    from actors.models.checkpoint import resolve_checkpoint
    from actors.models.encoder import Encoder, EncoderOptions
    from actors.models.precision import place
    from actors.models.text_tokenizer import TextTokenizer

    folder = resolve_checkpoint(model, revision, None, cache_dir)
    tokenizer = TextTokenizer(folder, max_length, query_instruction, passage_instruction)
    options = EncoderOptions(pooling or "auto", normalize, tuple(outputs), truncate_dim)
    return Encoder(folder, tokenizer, place(device, precision, batch_tokens), options)


def load_reranker(  # noqa: PLR0913 - the one public door: every setting of a reranker is named here
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    max_length: int | None = None,
    query_max_length: int | None = None,
    kind: str = "auto",
    batch_tokens: int = 0,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> CrossEncoder | LateInteraction:
    """A reranker, ready to score pairs; arguments as load_encoder's.

    `kind`: auto and cross_encoder take a sequence-classification checkpoint, late_interaction an encoder (MaxSim of its tokens).
    `max_length`: tokens of a pair (default 512) or, for late interaction, of a text. `query_max_length`: tokens kept of a query
    (cross-encoder: without specials, default 3/4 of max_length). Raises UserError when kind and checkpoint do not fit.
    """
    from actors.models.checkpoint import choose_reranker_kind, read_description, resolve_checkpoint
    from actors.models.cross_encoder import CrossEncoder
    from actors.models.encoder import Encoder, EncoderOptions
    from actors.models.late_interaction import LateInteraction
    from actors.models.precision import place
    from actors.models.text_tokenizer import PairTokenizer, TextTokenizer

    folder = resolve_checkpoint(model, revision, None, cache_dir)
    placement = place(device, precision, batch_tokens)
    if choose_reranker_kind(read_description(folder), kind) == "cross_encoder":
        return CrossEncoder(folder, PairTokenizer(folder, max_length, query_max_length), placement)
    tokenizer = TextTokenizer(folder, max_length, query_max_length=query_max_length)
    return LateInteraction(Encoder(folder, tokenizer, placement, EncoderOptions(outputs=("multi_vector",))))
