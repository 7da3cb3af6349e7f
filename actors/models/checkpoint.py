"""A model's name in, its folder on this node, its identity and its description out. Knows neither torch nor weights' contents."""

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from actors.models.catalogue import foreign_reranker
from actors.models.description import CheckpointInfo, has_m3_heads, read_description
from actors.models.download import fetch_folder, fetch_from_hub
from configs.errors import UserError
from configs.schema import S3Config

__all__ = [
    "ENCODER_KINDS",
    "RERANKER_KINDS",
    "CheckpointInfo",
    "checkpoint_digest",
    "choose_reranker_kind",
    "read_description",
    "require_encoder",
    "reranker_kind",
    "resolve_adapter",
    "resolve_checkpoint",
]

RERANKER_KINDS = ("cross_encoder", "llm", "layerwise", "lightweight")
ENCODER_KINDS = ("late_interaction", "m3")
"""Ways to rerank with an encoder."""

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
_WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
_DIGEST_PATTERNS = (
    "config.json",
    "adapter_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin",
    "adapter_model.bin",
    "pytorch_model*.bin.index.json",
    "*.pt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "modules.json",
    "sentence_*_config.json",
    "*_Pooling/config.json",
)


def resolve_checkpoint(
    model: str | Path, revision: str | None = None, s3: S3Config | None = None, cache_dir: str | Path | None = None
) -> Path:
    """The checkpoint's folder on this node, complete: config, weights and tokenizer.

    `model`: folder, pkg://package/sub/folder (of an installed package, which is not imported), s3://bucket/folder (copied once into
    `cache_dir`, default ~/.cache/raytrieve), or a hub id (the local hub cache first, then the network; `revision` applies here alone).
    Raises UserError saying what is missing and how to provide it.
    """
    folder = _locate(str(model), revision, s3 or S3Config(), Path(cache_dir) if cache_dir else None)
    _require_complete(folder, str(model))
    return folder


def resolve_adapter(adapter: str | Path, s3: S3Config | None = None, cache_dir: str | Path | None = None) -> Path:
    """The folder of a LoRA adapter on this node; addresses as resolve_checkpoint's. Raises UserError on one that peft did not save."""
    folder = _locate(str(adapter), None, s3 or S3Config(), Path(cache_dir) if cache_dir else None)
    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"the adapter folder {adapter} lacks adapter_config.json: give the folder that peft's save_pretrained wrote.")
    return folder


def _locate(model: str, revision: str | None, s3: S3Config, cache_dir: Path | None) -> Path:
    if model.startswith("pkg://"):
        return _package_folder(model)
    if model.startswith("s3://"):
        from actors.storage.filesystems import open_filesystem

        filesystem, path = open_filesystem(model, s3)
        return fetch_folder(filesystem, path, model, (cache_dir or Path.home() / ".cache" / "raytrieve") / "models", s3.deadline_s)
    if model and Path(model).expanduser().is_dir():
        return Path(model).expanduser()
    if not model or model[0] in "/.~" or "\\" in model or "://" in model or Path(model).exists():
        raise UserError(f"no model folder at {model!r}: give an existing folder, a hub id, s3://bucket/folder or pkg://package/folder.")
    return fetch_from_hub(model, revision, cache_dir)


def _package_folder(model: str) -> Path:
    package, _, inner = model.removeprefix("pkg://").partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{model}: no Python package {package!r} is installed: pip install {package.replace('_', '-')}, or give a folder.")
    folder = Path(spec.submodule_search_locations[0], inner)
    if not folder.is_dir():
        raise UserError(f"{model}: the package {package!r} has no folder {inner!r}: look into {spec.submodule_search_locations[0]}.")
    return folder


def _require_complete(folder: Path, model: str) -> None:
    lacks = []
    if not (folder / "config.json").is_file():
        lacks.append("config.json")
    if not any(True for pattern in _WEIGHT_PATTERNS for _ in folder.glob(pattern)):
        lacks.append("weights (model.safetensors or pytorch_model.bin)")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        lacks.append("a tokenizer (tokenizer.json, vocab.txt or sentencepiece.bpe.model)")
    if lacks:
        where = model if str(folder) == model else f"{model} ({folder})"
        raise UserError(f"the model folder {where} lacks {' and '.join(lacks)}: copy the whole checkpoint there.")


def checkpoint_digest(folder: Path, adapter: Path | None = None) -> str:
    """sha256 (hex) of what determines the model's numbers: names and bytes of config, weights, tokenizer and pooling files.

    README, ONNX exports and the like do not count, nor do .bin weights beside .safetensors, which nothing would load. With an
    adapter (a peft folder) its config and weights count too.
    """
    if adapter is not None:
        return hashlib.sha256(f"{checkpoint_digest(folder)} {checkpoint_digest(adapter)}".encode()).hexdigest()
    files = {path for pattern in _DIGEST_PATTERNS for path in folder.glob(pattern) if path.is_file()}
    if any(path.suffix == ".safetensors" for path in files):
        files = {path for path in files if not path.name.startswith("pytorch_model")}
    lines = sorted(
        (path.relative_to(folder).as_posix(), _file_digest(path, path.stat().st_size, path.stat().st_mtime_ns)) for path in files
    )
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, mtime_ns: int) -> str:
    """sha256 of a file; size and mtime are in the key, so that a file that changes is read anew and gigabytes are read once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_encoder(info: CheckpointInfo) -> None:
    """Raise UserError unless the checkpoint is an encoder: a classification or language model head tells that it is a reranker."""
    kind = reranker_kind(info)
    if kind is not None:
        raise UserError(f"{info.folder} is a reranker (kind {kind}), not an embedding model: use it under rerank.model.")


def reranker_kind(info: CheckpointInfo) -> str | None:
    """What a reranker's config.json says it is: one of RERANKER_KINDS; none for an encoder.

    A decoder with a language model head is taken for a reranker unless sentence-transformers files or its name say that it embeds.
    """
    config = info.config
    if info.is_classifier:
        return "cross_encoder"
    if info.model_type == "minicpm" or config.get("head_multi"):
        return "layerwise"
    if info.model_type == "cost_wise_gemma" or config.get("layer_wise"):
        return "lightweight"
    embeds = info.sentence.present or (info.named is not None and info.named.kind == "encoder")
    return "llm" if not embeds and any(name.endswith("ForCausalLM") for name in info.architectures) else None


def choose_reranker_kind(info: CheckpointInfo, kind: str) -> str:
    """The kind of reranker that a checkpoint is, given what was asked for (auto too). Raises UserError if the two do not fit."""
    if kind not in ("auto", *RERANKER_KINDS, *ENCODER_KINDS):
        raise UserError(f"kind {kind!r} is unknown: use auto, {', '.join((*RERANKER_KINDS, *ENCODER_KINDS))}.")
    own = reranker_kind(info)
    if own is None:
        if kind == "m3" and not has_m3_heads(info.folder):
            raise UserError(f"{info.folder} is no bge-m3, whose three scores kind m3 mixes: set kind: late_interaction, or give a bge-m3.")
        if kind in ENCODER_KINDS:
            return kind
        raise UserError(
            f"{info.folder} is an encoder, not a reranker: give a reranker such as BAAI/bge-reranker-v2-m3, "
            "or set kind: late_interaction to use its token vectors for MaxSim."
        )
    if kind not in ("auto", own):
        raise UserError(f"{info.folder} is a {own} reranker, not {kind}: set kind to auto or {own}.")
    if own == "cross_encoder":
        _require_scoring(info)
    foreign = foreign_reranker(info.folder.absolute())
    if own == "llm" and kind == "auto" and foreign:
        raise UserError(
            f"{info.folder} is a {foreign}, whose prompt is not that of BGE's LLM rerankers: give one of those, or set kind: llm if it is "
            "trained for their prompt."
        )
    return own


def _require_scoring(info: CheckpointInfo) -> None:
    """Raise UserError on a classifier that does not give one score of a pair."""
    if info.family.causal:
        raise UserError(
            f"{info.folder} is a decoder with a classification head ({info.architectures[0]}), which is not supported: "
            "give a cross-encoder of BERT or XLM-R, or a BGE LLM reranker."
        )
    if info.num_labels != 1:
        raise UserError(f"{info.folder} has {info.num_labels} labels, but a reranker gives one score: use a checkpoint with num_labels 1.")
