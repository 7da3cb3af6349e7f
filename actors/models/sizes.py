"""A checkpoint folder in, the size of its weights out: only headers are read."""

import math
from pathlib import Path

from safetensors import safe_open

from actors.models.backbones.tensors import weight_files


def count_parameters(folder: Path) -> int | None:
    """Numbers in all tensors of the safetensors files; none where the weights are pickled, which have no header to read."""
    files = weight_files(folder)
    if any(path.suffix != ".safetensors" for path in files):
        return None
    return sum(_count(path) for path in files)


def _count(path: Path) -> int:
    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
