"""Config sections in, models out: how every worker opens the checkpoint that the driver named."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from actors.models.checkpoint import ENCODER_KINDS, checkpoint_digest, resolve_adapter, resolve_checkpoint
from actors.models.prompt_tokenizer import PromptTokenizer
from actors.models.text_tokenizer import PairTokenizer, TextTokenizer
from configs.schema import EncoderConfig, RerankConfig, S3Config

if TYPE_CHECKING:
    from actors.models.cross_encoder import CrossEncoder
    from actors.models.encoder import Encoder
    from actors.models.late_interaction import LateInteraction
    from actors.models.llm_reranker import LlmReranker


@lru_cache(maxsize=8)
def checkpoint_folder(model: str, revision: str | None, s3: S3Config) -> Path:
    """The checkpoint's folder on this node; fetched at most once per process."""
    return resolve_checkpoint(model, revision, s3)


@lru_cache(maxsize=8)
def adapter_folder(adapter: str | None, s3: S3Config) -> Path | None:
    """The adapter's folder on this node; none where there is none."""
    return resolve_adapter(adapter, s3) if adapter else None


class _Spec:
    """What the specs of both kinds of model tell of their checkpoint."""

    __slots__ = ()
    config: EncoderConfig | RerankConfig
    s3: S3Config

    @property
    def folder(self) -> Path:
        """The checkpoint on this node."""
        return checkpoint_folder(self.config.model, self.config.revision, self.s3)

    @property
    def weights(self) -> str:
        """The digest of the checkpoint and its adapter."""
        return checkpoint_digest(self.folder, adapter_folder(self.config.adapter, self.s3))


@dataclass(frozen=True, slots=True)
class EncoderSpec(_Spec):
    """An encoder as workers open it. `precision` is resolved, never auto; `threads` 0 leaves torch alone.
    `outputs`: what it gives: dense always, and sparse or multi_vector."""

    config: EncoderConfig
    precision: str
    s3: S3Config
    device: str = "auto"
    threads: int = 0
    outputs: tuple[str, ...] = ("dense",)

    def tokenizer(self) -> TextTokenizer:
        """The tokenizer alone, without weights."""
        c = self.config
        return TextTokenizer(self.folder, c.max_length, c.query_instruction, c.passage_instruction, examples=examples_of(c), task=c.task)

    def encoder(self) -> "Encoder":
        """The model on this worker's device."""
        from actors.models import load_encoder

        set_threads(self.threads)
        c = self.config
        return load_encoder(
            str(self.folder),
            device=self.device,
            precision=self.precision,
            query_instruction=c.query_instruction,
            passage_instruction=c.passage_instruction,
            task=c.task,
            pooling=c.pooling,
            normalize=c.normalize,
            max_length=c.max_length,
            truncate_dim=c.truncate_dim,
            examples=examples_of(c),
            adapter=adapter_folder(c.adapter, self.s3),
            outputs=self.outputs,
            batch_tokens=c.batch_tokens,
        )


@dataclass(frozen=True, slots=True)
class RerankerSpec(_Spec):
    """A reranker as workers open it; fields as EncoderSpec's, `kind` resolved.

    `uses_stored_vectors`: late interaction over the token vectors that the embedding of this very model kept.
    """

    config: RerankConfig
    precision: str
    s3: S3Config
    kind: str
    uses_stored_vectors: bool = False
    device: str = "auto"
    threads: int = 0

    def reranker(self) -> "CrossEncoder | LlmReranker | LateInteraction":
        """The model on this worker's device."""
        from actors.models import load_reranker

        set_threads(self.threads)
        c = self.config
        return load_reranker(
            str(self.folder),
            device=self.device,
            precision=self.precision,
            max_length=c.max_length,
            query_max_length=c.query_max_length,
            prompt=c.prompt,
            cutoff_layers=c.cutoff_layers,
            compress_ratio=c.compress_ratio,
            compress_layers=c.compress_layers,
            head=c.head,
            weights=c.weights,
            adapter=adapter_folder(c.adapter, self.s3),
            kind=self.kind,
            batch_tokens=c.batch_tokens,
        )

    def tokenizer(self) -> PairTokenizer | PromptTokenizer | TextTokenizer:
        """The tokenizer alone, without weights: pieces of pairs for a reranker of pairs, whole texts where an encoder ranks."""
        c = self.config
        if self.kind in ENCODER_KINDS:
            return TextTokenizer(self.folder, c.max_length, query_max_length=c.query_max_length)
        if self.kind == "cross_encoder":
            return PairTokenizer(self.folder, c.max_length, c.query_max_length)
        return PromptTokenizer(self.folder, c.max_length, c.query_max_length, c.prompt)


def examples_of(config: EncoderConfig) -> list[dict[str, str]] | None:
    """The examples as load_encoder takes them."""
    return [example.model_dump(exclude_none=True) for example in config.examples] or None


def set_threads(threads: int) -> None:
    """Give torch this many threads in this process; 0 leaves its default."""
    if threads:
        import torch

        torch.set_num_threads(threads)
