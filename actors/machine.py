"""What processor this is: its name, and which matrices of small numbers it multiplies in hardware. Only Linux tells."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    return _first("model name") or platform.machine()


def has_amx() -> bool:
    """Whether the processor has AMX with bf16 (Intel from Sapphire Rapids on)."""
    return "amx_bf16" in cpu_flags()


def has_bf16() -> bool:
    """Whether the processor multiplies bf16 faster than float32: with AMX, and AMD's from Zen 4 on, at twice the rate. (With AVX-512 alone,
    Intel's take no fewer cycles for the same number of products.)"""
    return has_amx() or (_first("vendor_id") == "AuthenticAMD" and "avx512_bf16" in cpu_flags())


def has_vnni() -> bool:
    """Whether the processor sums products of 8-bit integers in 32 bits (Intel from Cascade Lake on, AMD from Zen 4 on)."""
    return not cpu_flags().isdisjoint(("avx512_vnni", "avx_vnni", "amx_int8"))


def cpu_flags() -> frozenset[str]:
    """What the processor can do, in the kernel's words; empty where the kernel does not tell."""
    return frozenset(_first("flags").split())


def _first(field: str) -> str:
    """What the kernel says of the first processor; empty where it does not tell."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
