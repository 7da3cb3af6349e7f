"""A checkpoint folder in, the facts that decide how it is used out: JSON files are read, weights are not, torch is not needed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.models.catalogue import NamedFamily, find_family
from actors.models.families import FAMILIES, POOLINGS, Family
from configs.errors import UserError

SPARSE_FILE, COLBERT_FILE = "sparse_linear.pt", "colbert_linear.pt"
_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize", "Dropout")
_POOLING_FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last", "max_tokens": "max"}


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What config.json and the sentence-transformers files beside it say.

    `max_positions`: the most tokens of one input, special tokens counted. `pooling`: cls, mean or last. `sentence_max_length`:
    max_seq_length of sentence_bert_config.json. `normalize`: the checkpoint's own vectors have length 1. `prompts`: by role,
    "query" and "passage". `token_types`: inputs carry token type ids. `embeds`: sentence-transformers files say that it is an
    embedding model. `config`: config.json itself. `named`: what the folder's name tells, none where it is no known one.
    """

    folder: Path
    model_type: str
    architectures: tuple[str, ...]
    hidden_size: int
    num_labels: int
    max_positions: int
    vocab_size: int
    pad_token_id: int
    token_types: bool
    pooling: str
    sentence_max_length: int | None
    normalize: bool
    prompts: Mapping[str, str]
    embeds: bool
    config: Mapping[str, Any]
    named: NamedFamily | None

    @property
    def family(self) -> Family:
        """The row of the family table."""
        return FAMILIES[self.model_type]

    @property
    def is_classifier(self) -> bool:
        """Whether the checkpoint has a sequence-classification head."""
        return any(name.endswith("ForSequenceClassification") for name in self.architectures)


def read_description(folder: Path) -> CheckpointInfo:
    """Describe a checkpoint. Raises UserError for a model type, pooling or module that this layer can not reproduce."""
    config = read_json(folder / "config.json")
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        raise UserError(f"{folder} is of model type {model_type!r}, which is not supported: use one of {', '.join(FAMILIES)}.")
    family = FAMILIES[model_type]
    pad = config.get("pad_token_id")
    pad = family.pad_token_id if pad is None else int(pad)
    positions = int(config["max_position_embeddings"])
    modules = _modules(folder)
    pooling = _pooling(folder, modules)
    named = find_family(folder.absolute(), model_type) or find_family(folder.resolve(), model_type)  # a link may have the name
    return CheckpointInfo(
        folder=folder,
        model_type=model_type,
        architectures=tuple(config.get("architectures") or ()),
        hidden_size=int(config[family.hidden_key]),
        num_labels=len(config["id2label"]) if config.get("id2label") else int(config.get("num_labels", 2)),
        max_positions=positions - pad - 1 if family.positions_after_pad else positions,
        vocab_size=int(config["vocab_size"]),
        pad_token_id=pad,
        token_types=family.token_types and int(config.get("type_vocab_size", 2)) > 1,
        pooling=pooling or (named.pooling if named else "") or ("last" if family.causal else "cls"),
        sentence_max_length=_optional_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        normalize=not modules or "Normalize" in modules,
        prompts=_prompts(folder),
        embeds=bool(modules) or pooling is not None,
        config=config,
        named=named,
    )


def read_json(path: Path) -> Any:
    """A JSON file. Raises UserError naming it when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: copy the whole checkpoint there.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): copy the checkpoint again.") from error


def has_m3_heads(folder: Path) -> bool:
    """Whether the checkpoint has at least one of the two files of bge-m3's heads: then it is an M3."""
    return (folder / SPARSE_FILE).is_file() or (folder / COLBERT_FILE).is_file()


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _modules(folder: Path) -> dict[str, str]:
    """Kind and folder of each step of a sentence-transformers checkpoint; empty where there is no modules.json."""
    if not (folder / "modules.json").is_file():
        return {}
    modules = {entry["type"].rpartition(".")[2]: entry["path"] for entry in read_json(folder / "modules.json")}
    for kind in modules:
        if kind not in _KNOWN_MODULES:
            raise UserError(
                f"{folder} has a {kind} module, which is not supported: use a checkpoint of Transformer, Pooling and Normalize only."
            )
    return modules


def _pooling(folder: Path, modules: dict[str, str]) -> str | None:
    """What the sentence-transformers files say; none where there are none."""
    path = folder / modules.get("Pooling", "1_Pooling") / "config.json"
    config = _optional_json(path)
    if not config:
        return None
    named = config.get("pooling_mode")
    if named is None:
        flags = [key.removeprefix("pooling_mode_") for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
        modes = [_POOLING_FLAGS.get(flag, flag) for flag in flags]
    else:
        modes = [{"lasttoken": "last"}.get(mode, mode) for mode in ([named] if isinstance(named, str) else named)]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise UserError(f"{path} asks for pooling {' + '.join(modes) or 'none'}, which is not supported: use one of {', '.join(POOLINGS)}.")
    if config.get("include_prompt") is False and modes[0] == "mean":
        raise UserError(f"{path} leaves the prompt out of the mean (include_prompt false), which is not supported: use another checkpoint.")
    return modes[0]


def _prompts(folder: Path) -> dict[str, str]:
    prompts = _optional_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    passage = prompts.get("passage") or prompts.get("document")
    return {role: text for role, text in (("query", prompts.get("query")), ("passage", passage)) if text}
