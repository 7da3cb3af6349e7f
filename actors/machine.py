"""What processor this is: its name, and which matrices of small numbers it multiplies in hardware. Only Linux tells."""

import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    return next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())


def has_amx() -> bool:
    """Whether the processor has AMX with bf16 (Intel from Sapphire Rapids on)."""
    return "amx_bf16" in cpu_flags()


def has_vnni() -> bool:
    """Whether the processor sums products of 8-bit integers in 32 bits (Intel from Cascade Lake on, AMD from Zen 4 on)."""
    return not cpu_flags().isdisjoint(("avx512_vnni", "avx_vnni", "amx_int8"))


def cpu_flags() -> frozenset[str]:
    """What the processor can do, in the kernel's words; empty where the kernel does not tell."""
    return frozenset(next((line.partition(":")[2].split() for line in _cpuinfo() if line.startswith("flags")), []))


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
