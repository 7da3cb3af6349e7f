"""Checkpoints in, encoders and rerankers out. Torch and transformers load only when a model does; Ray and the store are not known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.models.cross_encoder import CrossEncoder
    from actors.models.encoder import Encoder
    from actors.models.late_interaction import LateInteraction
    from actors.models.llm_reranker import LlmReranker


def load_encoder(  # noqa: PLR0913 - the one public door: every setting of an encoder is named here
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    query_instruction: str | None = None,
    passage_instruction: str | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    max_length: int | None = None,
    outputs: Sequence[str] = ("dense",),
    truncate_dim: int | None = None,
    examples: Sequence[Mapping[str, str]] | None = None,
    adapter: str | Path | None = None,
    task: str | None = None,
    batch_tokens: int = 0,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> Encoder:
    """An embedding model, ready to encode.

    `model`: folder, hub id, s3://bucket/folder or pkg://package/folder. `device`: auto, cpu, cuda. `precision`: auto (bf16 on
    GPUs and on CPUs that multiply it faster, else fp32), fp32, bf16, fp16, int8 (on CPUs; refused where it moves the vectors too far).
    `pooling`: none or auto goes by the checkpoint, else cls, mean, last. `normalize`: vectors of length 1; none goes by the
    checkpoint's modules.json, and is yes without one.
    Instructions: a prefix, or a text with {} where the input goes, or the task where the family has a template; none takes the
    checkpoint's own prompt or its family's, "" takes none (instructions.py). `task`: of llm-embedder, by name.
    `max_length`: tokens with specials; none takes the checkpoint's. `outputs`: dense, multi_vector and, of a bge-m3, sparse.
    `truncate_dim`: components kept of a vector (Matryoshka). `examples`: of the task, for bge-en-icl: mappings of query, response
    and, where it is not the queries' own, instruct. `adapter`: of LoRA, saved by peft; as `model`. `batch_tokens`: tokens of a
    forward pass, 0 finds the fastest. Raises UserError when the model cannot be had or is no encoder that we know.

    On a CPU the process keeps some of the memory that it frees from then on (memory.py).
    """
    from actors.models.checkpoint import resolve_adapter, resolve_checkpoint
    from actors.models.encoder import Encoder
    from actors.models.encoder_options import EncoderOptions
    from actors.models.memory import loading
    from actors.models.precision import place
    from actors.models.quality_gate import require_quality
    from actors.models.text_tokenizer import TextTokenizer

    folder = resolve_checkpoint(model, revision, None, cache_dir)
    tokenizer = TextTokenizer(folder, max_length, query_instruction, passage_instruction, examples=examples, task=task)
    merged = resolve_adapter(adapter, None, cache_dir) if adapter else None
    options = EncoderOptions(pooling or "auto", normalize, tuple(outputs), truncate_dim, merged)
    placement = place(device, precision, batch_tokens)
    with loading(placement.device.type):
        encoder = Encoder(folder, tokenizer, placement, options)
        if placement.int8:
            require_quality(encoder, lambda: Encoder(folder, tokenizer, place(device, "fp32", encoder.batch_tokens), options))
    return encoder


def load_reranker(  # noqa: PLR0913 - the one public door: every setting of a reranker is named here
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    max_length: int | None = None,
    query_max_length: int | None = None,
    prompt: str | None = None,
    cutoff_layers: int | Sequence[int] | None = None,
    compress_ratio: int = 1,
    compress_layers: Sequence[int] = (8,),
    head: str = "layer",
    adapter: str | Path | None = None,
    weights: Sequence[float] | None = None,
    kind: str = "auto",
    batch_tokens: int = 0,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
) -> CrossEncoder | LlmReranker | LateInteraction:
    """A reranker, ready to score pairs; arguments as load_encoder's; int8 is for cross-encoders.

    `kind`: auto goes by the checkpoint (cross_encoder, llm, layerwise, lightweight); late_interaction (MaxSim of token vectors)
    and m3 (the mix of all outputs of a bge-m3) take an encoder. `max_length`: tokens of a pair (default 512; LLM rerankers:
    without the prompt) or of a text. `query_max_length`: tokens kept of a query (rerankers: without specials, default 3/4 of
    max_length). `prompt`: an LLM reranker's question. `cutoff_layers`: layers whose heads score (layerwise, lightweight), none
    takes the last; several give scores [n, layers]. `compress_ratio`, `compress_layers`, `head`: lightweight (reranker_options.py).
    `weights`: of the dense, sparse and multi-vector scores (m3), none takes equal ones.
    Raises UserError when kind, settings and checkpoint do not fit.
    """
    from actors.models.checkpoint import ENCODER_KINDS, choose_reranker_kind, read_description, resolve_adapter, resolve_checkpoint
    from actors.models.cross_encoder import CrossEncoder
    from actors.models.encoder import Encoder
    from actors.models.encoder_options import OUTPUTS, EncoderOptions
    from actors.models.late_interaction import LateInteraction
    from actors.models.llm_families import open_llm_reranker
    from actors.models.m3_reranker import M3Reranker
    from actors.models.memory import loading
    from actors.models.precision import place
    from actors.models.prompt_tokenizer import PromptTokenizer
    from actors.models.quality_gate import require_same_order
    from actors.models.reranker_options import RerankerOptions, check_precision
    from actors.models.text_tokenizer import PairTokenizer, TextTokenizer

    folder = resolve_checkpoint(model, revision, None, cache_dir)
    placement, info = place(device, precision, batch_tokens), read_description(folder)
    kind = choose_reranker_kind(info, kind)
    check_precision(precision, kind)
    cutoffs = (cutoff_layers,) if isinstance(cutoff_layers, int) else tuple(cutoff_layers or ())
    merged = resolve_adapter(adapter, None, cache_dir) if adapter else None
    mix = None if weights is None else tuple(weights)
    options = RerankerOptions(prompt, cutoffs, compress_ratio, tuple(compress_layers), head, merged, mix)
    options.check(info, kind)
    with loading(placement.device.type):
        if kind == "cross_encoder":
            pairs = PairTokenizer(folder, max_length, query_max_length)
            reranker = CrossEncoder(folder, pairs, placement)
            if placement.int8:
                require_same_order(reranker, lambda: CrossEncoder(folder, pairs, place(device, "fp32", reranker.batch_tokens)))
            return reranker
        if kind in ENCODER_KINDS:
            tokenizer = TextTokenizer(folder, max_length, query_max_length=query_max_length)
            if kind == "m3":
                return M3Reranker(Encoder(folder, tokenizer, placement, EncoderOptions(outputs=OUTPUTS)), weights or (1.0, 1.0, 1.0))
            return LateInteraction(Encoder(folder, tokenizer, placement, EncoderOptions(outputs=("multi_vector",))))
        return open_llm_reranker(info, kind, PromptTokenizer(folder, max_length, query_max_length, prompt), placement, options)
