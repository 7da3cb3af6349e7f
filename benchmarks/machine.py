"""The machine under a comparison: what it is, and how fast it multiplies bare matrices, measured in the same run."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from actors import machine
from actors.models.backbones.layers import Linear
from actors.models.backbones.packed_linear import PackedLinear, packing_pays
from actors.models.precision import pick_device
from benchmarks.timing import OURS, Contestant, Timing

_PACKAGES = (
    "torch",
    "numpy",
    "faiss-cpu",
    "ray",
    "sentence-transformers",
    "transformers",
    "FlagEmbedding",
    "onnxruntime",
    "openvino",
    "nncf",
)
_ROWS, _SECONDS, _TRIED = 2048, 0.3, 3


def describe() -> dict[str, Any]:
    """Processor, cores of this process, AMX, fast bf16, device, threads and versions of what is compared."""
    device = pick_device()
    return {
        "cpu": machine.cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "amx": machine.has_amx(),
        "bf16": machine.has_bf16(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is computed faster than fp32; elsewhere most processors only imitate it."""
    return device.type == "cuda" or machine.has_bf16()


def precisions() -> tuple[str, ...]:
    """fp32, and bf16 where it is faster: elsewhere a product of it may take minutes. The last is what `auto` takes."""
    return ("fp32", "bf16") if has_bf16(pick_device()) else ("fp32",)


def bare_matmuls(width: int, inner: int) -> list[Contestant]:
    """The bare product in every precision of this machine."""
    return [bare_matmul(name, width, inner) for name in precisions()]


def bare_matmul(name: str, width: int, inner: int) -> Contestant:
    """Products [2048, width] x [width, inner] of `name` (fp32 or bf16) and nothing else, about 0.3 s of them, by the faster of torch's own
    product and oneDNN's with weights laid out for it: MKL's, which torch takes in fp32, is slow on AMD."""
    device, dtype = pick_device(), {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
    left, right = torch.randn(_ROWS, width, device=device, dtype=dtype), torch.randn(width, inner, device=device, dtype=dtype)
    ways: list[Callable[[], torch.Tensor]] = [lambda: left @ right]
    if packing_pays(right):
        ways.append(partial(PackedLinear.of(Linear(right.T)), left))

    def products(way: Callable[[], torch.Tensor], count: int) -> float:
        for _ in range(count):
            result = way()
        return float(result[0, 0])  # waits for the device

    def seconds(way: Callable[[], torch.Tensor]) -> float:
        products(way, 1)
        started = time.perf_counter()
        products(way, _TRIED)
        return (time.perf_counter() - started) / _TRIED

    took, fastest = min(((seconds(way), way) for way in ways), key=lambda timed: timed[0])
    count = max(1, int(_SECONDS / took))
    return Contestant(f"bare {name} matmul", lambda: products(fastest, count), count * 2 * _ROWS * width * inner / 1e12, "TFLOP")


def matmul_shares(timings: Sequence[Timing], teraflops: float) -> dict[str, float]:
    """For each of our precisions, the rate of `teraflops` in its median run as a share of the bare product's."""
    by_name = {timing.name: timing for timing in timings}
    return {
        f"share of the bare {precision} matmul rate": round(teraflops / by_name[name].median / by_name[f"bare {precision} matmul"].rate, 3)
        for precision in ("fp32", "bf16")
        if (name := f"{OURS} {precision}") in by_name
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
