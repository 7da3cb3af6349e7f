"""Wishes in (auto, cuda, bf16), a torch device and number format out.

The CUDA branches are written for one GPU per process, as Ray assigns it, and are not exercised by the CPU tests.
"""

from dataclasses import dataclass

import torch

from actors.machine import has_bf16
from actors.models.batching import default_budget
from configs.errors import UserError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model runs. `batch_tokens`: tokens of one forward pass; `automatic`: a usual number of them, which a probe of
    the network may better. `int8`: linear maps in 8-bit integers, all else in `dtype`, but for attention where
    bf16 is faster."""

    device: torch.device
    dtype: torch.dtype
    batch_tokens: int
    automatic: bool = False
    int8: bool = False


def place(device: str = "auto", precision: str = "auto", batch_tokens: int = 0) -> Placement:
    """Resolve a device, a precision and a token budget (0: the usual one, to be probed). Raises UserError on a GPU that is not there."""
    chosen, int8 = pick_device(device), precision == "int8"
    if int8:
        _check_int8(chosen)
    dtype = pick_precision(precision, chosen)
    return Placement(chosen, dtype, batch_tokens or default_budget(chosen.type), not batch_tokens, int8)


def pick_device(device: str = "auto") -> torch.device:
    """auto is the process's first CUDA GPU, else the CPU; other names are torch's."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device {device!r} is unknown: use auto, cpu or cuda.") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device is {device!r} but torch sees no such GPU in this process: use device auto or cpu, or give it a GPU.")
    return chosen


def pick_precision(precision: str, device: torch.device) -> torch.dtype:
    """auto is bf16 on GPUs (fp16 on those without it) and on CPUs that multiply it faster, else fp32. Whoever says fp32 gets fp32, not
    TF32."""
    if precision not in ("auto", *_DTYPES):
        raise UserError(f"precision {precision!r} is unknown: use auto, {', '.join(_DTYPES)}.")
    dtype = _automatic(device) if precision == "auto" else _DTYPES[precision]
    if dtype is torch.float32:
        torch.set_float32_matmul_precision("highest")  # torch's default, restored in case something in the process allowed TF32
    return dtype


def _check_int8(device: torch.device) -> None:
    if device.type != "cpu":
        raise UserError(f"precision int8 is for CPUs and the model goes to {device}: use bf16 there, or device cpu.")
    if not hasattr(torch.ops.onednn, "qlinear_prepack"):
        raise UserError("precision int8 needs the 8-bit maps of oneDNN, which this build of torch is without: use fp32.")


def _automatic(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if device.type == "cpu" and has_bf16() else torch.float32
