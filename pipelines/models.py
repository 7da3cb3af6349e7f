"""A model's name in, what is known of it out: the table of named families, and one model read from its files where they are at hand.

Plain data first (`family_facts`, `model_facts`), tables for people from it. Nothing is downloaded but a model named by its s3:// address.
"""

import difflib
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.models.catalogue import NAMED_FAMILIES, NamedFamily, find_family, memory_bytes
from actors.models.checkpoint import reranker_kind, resolve_checkpoint
from actors.models.description import CheckpointInfo, has_m3_heads, read_description
from actors.models.download import find_in_hub_cache
from actors.models.instructions import effective_instructions
from configs.errors import UserError

_KINDS = {
    "encoder": "encoder",
    "cross_encoder": "cross-encoder",
    "llm": "LLM reranker",
    "layerwise": "layerwise LLM reranker",
    "lightweight": "lightweight LLM reranker",
}
_PIPE_WIDTH = 180  # columns where no terminal says how many: every row on one line


def all_families() -> list[dict[str, Any]]:
    """Every named family, as JSON would have it."""
    return [family_facts(family) for family in NAMED_FAMILIES.values()]


def family_facts(family: NamedFamily) -> dict[str, Any]:
    """What the table says of one family. Memory is of the weights, in bytes."""
    query, passage = family.instructions
    return {
        "model": f"{family.owner}/{family.name}",
        "kind": family.kind,
        "outputs": list(family.outputs),
        "score_layers": list(family.layers or ()),
        "languages": family.languages,
        "max_length": family.max_length,
        "licence": family.licence,
        "query_instruction": query,
        "passage_instruction": passage,
        "query_template": family.template,
        "tasks": list(family.tasks),
        "parameters": family.parameters,
        "memory": memory_bytes(family.parameters),
    }


def model_facts(model: str) -> dict[str, Any]:
    """What is known of one model: a folder, hub id, s3:// or pkg:// address, or a family's name.

    Its files are read where they are at hand (a hub id: in the local cache), else the table answers. Raises UserError with the
    nearest name where neither knows it.
    """
    folder = _at_hand(model)
    if folder is not None:
        return _facts_of_files(model, read_description(folder))
    family = NAMED_FAMILIES.get(model.rpartition("/")[2].lower())
    if family is None:
        raise UserError(_unknown(model))
    return {**family_facts(family), "folder": None}


def _at_hand(model: str) -> Path | None:
    if "://" in model or model[:1] in ("/", ".", "~") or Path(model).exists():
        return resolve_checkpoint(model)
    return find_in_hub_cache(model)


def _unknown(model: str) -> str:
    name = model.rpartition("/")[2].lower()
    close = difflib.get_close_matches(name, NAMED_FAMILIES, n=1, cutoff=0)
    nearest = find_family(name) or NAMED_FAMILIES[close[0]]
    return (
        f"{model!r} is no model folder, not in the local hub cache and no family's name; the nearest name is {nearest.name}. "
        "`raytrieve models` lists all; download a model of your own first, or give its folder."
    )


def _facts_of_files(model: str, info: CheckpointInfo) -> dict[str, Any]:
    from actors.models.sizes import count_parameters

    named = info.named
    parameters = count_parameters(info.folder) or (named.parameters if named else None)  # of pickled weights the table alone tells
    kind = reranker_kind(info)
    return {
        "model": model,
        "folder": str(info.folder),
        "family": named.name if named else None,
        "kind": kind or "encoder",
        "architecture": info.architectures[0] if info.architectures else info.model_type,
        "languages": named.languages if named else None,
        "licence": named.licence if named else None,
        "positions": info.max_positions,
        **(_reranker_facts(info) if kind else _encoder_facts(info)),
        "parameters": parameters,
        "memory": memory_bytes(parameters) if parameters else None,
    }


def _encoder_facts(info: CheckpointInfo) -> dict[str, Any]:
    instructions = effective_instructions(info)
    return {
        "outputs": ["dense", "sparse", "multi_vector"] if has_m3_heads(info.folder) else ["dense"],
        "dimension": info.hidden_size,
        "pooling": info.pooling,
        "query_instruction": instructions.query,
        "passage_instruction": instructions.passage,
        "tasks": list(info.named.tasks) if info.named else [],
    }


def _reranker_facts(info: CheckpointInfo) -> dict[str, Any]:
    first = info.config.get("start_layer")
    return {"outputs": ["score"], "score_layers": [] if first is None else [int(first), int(info.config["num_hidden_layers"])]}


def print_families(families: Iterable[Mapping[str, Any]]) -> None:
    """A table of all families on stdout."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "what", "languages", "tokens", "gives", "licence", "parameters", "fp32", "bf16"):
        table.add_column(name, justify="right" if name in ("tokens", "parameters", "fp32", "bf16") else "left", overflow="fold")
    for facts in families:
        memory = facts["memory"]
        table.add_row(
            facts["model"].rpartition("/")[2],
            _KINDS[facts["kind"]],
            facts["languages"],
            str(facts["max_length"]),
            _given(facts),
            facts["licence"],
            _count(facts["parameters"]),
            _gigabytes(memory["fp32"]),
            _gigabytes(memory["bf16"]),
        )
    console = _console()
    console.print(table)
    console.print("Memory is of the weights alone. `raytrieve models show NAME` tells more of one.")


def print_model(facts: Mapping[str, Any]) -> None:
    """One model on stdout, a line per fact."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts.items():
        if value not in ("", []) or (name.endswith("instruction") and facts["kind"] == "encoder"):
            table.add_row(name.replace("_", " "), _told(name, value))
    _console().print(table)


def _told(name: str, value: Any) -> str:
    if name == "memory" and value:
        return ", ".join(f"{precision} {_gigabytes(size)}" for precision, size in value.items())
    if name == "kind":
        return _KINDS[value]
    if name.endswith(("instruction", "template")):
        return repr(value) if value else "none"
    if name == "folder" and value is None:
        return "not at hand: this is what the table says"
    if name in ("parameters", "memory") and value is None:
        return "not counted, the weights are no safetensors"
    if name == "parameters":
        return f"{value:,}"
    if isinstance(value, list):
        return ("-" if name == "score_layers" else ", ").join(map(str, value))
    return "unknown" if value is None else str(value)


def _given(facts: Mapping[str, Any]) -> str:
    layers = facts["score_layers"]
    return ", ".join(facts["outputs"]) + (f" at layers {layers[0]}-{layers[1]}" if layers else "")


def _count(parameters: int) -> str:
    return f"{parameters / 1e6:,.0f} M" if parameters < 1e9 else f"{parameters / 1e9:.1f} B"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{math.ceil(size / 1e3):,} kB"


def _console() -> Console:
    """Styles nothing and wraps nothing where the output is piped."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False, markup=False)
