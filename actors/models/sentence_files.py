"""A checkpoint folder in, what the files that sentence-transformers writes beside the model say out: pooling, prompts, lengths."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.models.families import POOLINGS
from actors.models.json_files import optional_json, read_json
from configs.errors import UserError

_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize", "Dropout")
_POOLING_FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last", "max_tokens": "max"}
_PASSAGE_NAMES = ("document", "passage", "corpus")  # in the order in which sentence-transformers looks
_TRANSFORMER_NAMES = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")  # as well


@dataclass(frozen=True, slots=True)
class SentenceFiles:
    """`present`: there are such files, so the checkpoint is an embedding model. `pooling`: cls, mean or last; none where none is named.
    `normalize`: its own vectors have length 1. `prompts`: by role, "query" and "passage".
    `max_length`: tokens, specials counted. `lowercase`: texts are put in lower case before they are tokenised."""

    present: bool
    pooling: str | None
    normalize: bool
    prompts: Mapping[str, str]
    max_length: int | None
    lowercase: bool


def read_sentence_files(folder: Path) -> SentenceFiles:
    """Read them, where there are any. Raises UserError on a module or a pooling that this layer can not reproduce."""
    modules = _modules(folder)
    pooling = _pooling(folder, modules)
    paths = (folder / f"sentence_{name}_config.json" for name in _TRANSFORMER_NAMES)
    transformer = optional_json(next((path for path in paths if path.is_file()), folder / "none"))
    return SentenceFiles(
        present=bool(modules) or pooling is not None,
        pooling=pooling,
        normalize=not modules or "Normalize" in modules,
        prompts=_prompts(folder),
        max_length=transformer.get("max_seq_length"),
        lowercase=bool(transformer.get("do_lower_case")),
    )


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
    path = folder / modules.get("Pooling", "1_Pooling") / "config.json"
    config = optional_json(path)
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
    if config.get("include_prompt") is False and modes[0] != "last":
        raise UserError(
            f"{path} leaves the prompt out of what is pooled (include_prompt false), which is not supported: use another checkpoint."
        )
    return modes[0]


def _prompts(folder: Path) -> dict[str, str]:
    prompts = optional_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    named = {"query": prompts.get("query"), "passage": next((prompts[name] for name in _PASSAGE_NAMES if name in prompts), None)}
    return {role: text for role, text in named.items() if text}  # empty ones are written by default, so they tell nothing
