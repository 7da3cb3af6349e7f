"""A reranker's kind and its settings in, the layers that score out, or one sentence on what does not fit: without torch or weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

from actors.models.description import CheckpointInfo
from configs.errors import UserError

HEADS = ("layer", "position")
Exit = tuple[int, int | float]
"""A layer that has a head, and what each query keeps there: so many pairs (an int), or this share of them (a float below 1)."""

_TAKES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "llm": ("prompt", "adapter"),
        "layerwise": ("prompt", "adapter", "cutoff_layers"),
        "lightweight": ("prompt", "adapter", "cutoff_layers", "compress_ratio", "compress_layers", "head"),
        "m3": ("weights",),
    }
)


@dataclass(frozen=True, slots=True)
class RerankerOptions:
    """`prompt`: the question at the end, none takes the model's own. `cutoff_layers`: whose heads score, () takes the last.
    `compress_ratio`: passage tokens that become one before the blocks `compress_layers`. `head`: each layer's own (layer), or by
    position in the list as the reference has it. `adapter`: a peft folder. `weights`: of the dense, sparse and multi-vector scores
    (m3), none takes equal ones."""

    prompt: str | None = None
    cutoff_layers: tuple[int, ...] = ()
    compress_ratio: int = 1
    compress_layers: tuple[int, ...] = (8,)
    head: str = "layer"
    adapter: Path | None = None
    weights: tuple[float, ...] | None = None

    def check(self, info: CheckpointInfo, kind: str) -> None:
        """Raise UserError on a setting that this kind of reranker does not have, or on a value that it can not have."""
        for field in fields(self):
            if getattr(self, field.name) != field.default and field.name not in _TAKES.get(kind, ()):
                having = [known for known, names in _TAKES.items() if field.name in names]
                raise UserError(f"{info.folder} is used as {kind}, which has no {field.name}, only {', '.join(having)} have: leave it out.")
        if self.compress_ratio < 1:
            raise UserError(f"compress_ratio is {self.compress_ratio}: give 1 for no compression, or 2, 4 or 8.")
        if self.head not in HEADS:
            raise UserError(f"head {self.head!r} is unknown: use {' or '.join(HEADS)}.")
        if self.cutoff_layers:
            self.scoring_layers(info)
        if self.weights is not None:
            check_weights(self.weights)

    def scoring_layers(self, info: CheckpointInfo) -> tuple[int, ...]:
        """The layers that score, in the order asked. Raises UserError on one that has no head."""
        known = head_layers(info)
        layers = self.cutoff_layers or (known[-1],)
        if not set(layers) <= set(known):
            step = f" in steps of {known.step}" if known.step > 1 else ""
            raise UserError(
                f"cutoff_layers is {list(layers)}, but {info.folder} scores at layers {known[0]} to {known[-1]}{step}: choose among these."
            )
        return layers


def check_weights(weights: Sequence[float]) -> None:
    """Raise UserError unless these are three weights that can be mixed."""
    if len(weights) != 3 or min(weights) < 0 or not sum(weights) > 0:
        raise UserError(f"weights {tuple(weights)} can not be mixed: give three numbers from 0 up, at least one of them above 0.")


def head_layers(info: CheckpointInfo) -> range:
    """The layers that have a head of their own, by config.json. Raises UserError where heads are of more than one row."""
    config = info.config
    if config.get("head_type", "simple") != "simple":
        raise UserError(f"{info.folder} has heads of type {config['head_type']!r}, which are not supported: use head_type simple.")
    last = int(config["num_hidden_layers"])
    return range(int(config.get("start_layer", last)), last + 1, int(config.get("layer_sep", 1)))


def check_exits(exits: Sequence[Exit], heads: range, cutoff: int) -> None:
    """Raise UserError unless the exits are at layers of `heads`, ascending and below `cutoff`, and each keeps something."""
    allowed, layers = [layer for layer in heads if layer < cutoff], [layer for layer, _ in exits]
    if layers != sorted(set(layers)) or not set(layers) <= set(allowed):
        raise UserError(f"exits are at layers {layers}: name layers of {allowed}, in ascending order.")
    for layer, keep in exits:
        if not (keep >= 1 if isinstance(keep, int) else 0 < keep < 1):
            raise UserError(f"the exit at layer {layer} keeps {keep}: give a number of candidates from 1 up, or a share between 0 and 1.")


def check_precision(precision: str, kind: str) -> None:
    """Raises UserError on 8 bits for a reranker whose order has no gate to pass."""
    if precision == "int8" and kind != "cross_encoder":
        raise UserError(f"precision int8 is for encoders and cross-encoders: use auto, fp32, bf16 or fp16 for a reranker of kind {kind}.")
