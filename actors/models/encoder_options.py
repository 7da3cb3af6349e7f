"""An encoder's settings in, what they come to for a checkpoint out, or one sentence on what does not fit: without torch or weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.models.description import CheckpointInfo, has_m3_heads
from actors.models.families import POOLINGS
from configs.errors import UserError

OUTPUTS = ("dense", "sparse", "multi_vector")


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """`pooling`: auto (the checkpoint's), cls, mean or last. `normalize`: dense vectors of length 1; none goes by the checkpoint.
    `outputs`: of OUTPUTS. `truncate_dim`: components kept of dense and multi-vectors, before normalising (Matryoshka models); none
    keeps all. `adapter`: a peft folder, merged into the weights."""

    pooling: str = "auto"
    normalize: bool | None = None
    outputs: tuple[str, ...] = ("dense",)
    truncate_dim: int | None = None
    adapter: Path | None = None

    def check(self, info: CheckpointInfo) -> None:
        """Raise UserError on a setting that the checkpoint can not have."""
        self.pooling_of(info)
        self.dimension_of(info)
        check_outputs(info, known_outputs(info), self.outputs)

    def pooling_of(self, info: CheckpointInfo) -> str:
        """cls, mean or last. Raises UserError on another."""
        pooling = info.pooling if self.pooling == "auto" else self.pooling
        if pooling not in POOLINGS:
            raise UserError(f"pooling {pooling!r} is unknown: use auto, {', '.join(POOLINGS)}.")
        if pooling == "cls" and info.family.causal:
            raise UserError(f"pooling cls takes the first token, which in {info.folder} sees no other: use last or mean.")
        return pooling

    def dimension_of(self, info: CheckpointInfo) -> int:
        """Components of a dense vector. Raises UserError when more are asked for than there are."""
        asked = self.truncate_dim
        if asked is not None and not 1 <= asked <= info.hidden_size:
            raise UserError(f"truncate_dim is {asked}, but the vectors of {info.folder} have {info.hidden_size} components: lower it.")
        return asked or info.hidden_size

    def normalizes(self, info: CheckpointInfo) -> bool:
        """Whether dense vectors get length 1."""
        return info.sentence.normalize if self.normalize is None else self.normalize


def known_outputs(info: CheckpointInfo) -> tuple[str, ...]:
    """What the checkpoint gives, of OUTPUTS. Looks for files."""
    return OUTPUTS if has_m3_heads(info.folder) else tuple(name for name in OUTPUTS if name != "sparse")


def check_outputs(info: CheckpointInfo, known: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise UserError on an output that is not among the known ones of the checkpoint."""
    unknown = [name for name in outputs if name not in known]
    if unknown:
        raise UserError(f"{info.folder} has no output {unknown[0]!r}: use {', '.join(known)}; sparse needs a bge-m3.")
