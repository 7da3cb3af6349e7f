"""A process in, one that keeps what it frees out: a forward pass takes and frees the same few large blocks in every layer.

glibc gives them back to the system, and every page of the next layer's has to be had anew: on a virtual machine that hands its own free
pages back to the host, MiniLM in 8-bit integers spent an eighth of its time so (measured on two cores of an AMD EPYC).
"""

import ctypes
import os
import platform

_CHOSEN = frozenset(("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_"))
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_KEPT, _PAD, _LARGEST = 1 << 28, 1 << 26, 1 << 25  # bytes; glibc takes no larger block for one that is kept


def keep_freed_memory() -> None:
    """From now on up to 256 MB of what this process frees stays its own. Other C libraries, and whoever tunes glibc's malloc in the
    environment, are left alone."""
    if _is_glibc() and _CHOSEN.isdisjoint(os.environ) and "glibc.malloc." not in os.environ.get("GLIBC_TUNABLES", ""):
        for parameter, value in ((_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _PAD), (_MMAP_THRESHOLD, _LARGEST)):
            ctypes.CDLL(None).mallopt(parameter, value)


def give_back_memory() -> None:
    """Give back what is free now, once: what the loading of a model took."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
