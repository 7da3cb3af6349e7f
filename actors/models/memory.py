"""A process in, one that keeps what it frees out: a forward pass takes and frees the same few large blocks in every layer.

glibc gives them back to the system, and every page of the next layer's has to be had anew: on a virtual machine that hands its own free
pages back to the host, MiniLM in 8-bit integers spent an eighth of its time so (measured on two cores of an AMD EPYC).
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_CHOSEN = frozenset(("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_"))
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)
_KEPT, _PAD, _LARGEST = 1 << 28, 1 << 26, 1 << 25  # bytes; glibc takes no larger block for one that is kept


@contextmanager
def loading(device_type: str) -> Iterator[None]:
    """Around the loading of a model: from then on up to 256 MB of what this process frees stays its own where the model is on a CPU, but
    what loading took is given back. Other C libraries, and whoever tunes glibc's malloc in the environment, are left alone."""
    chosen = not _CHOSEN.isdisjoint(os.environ) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if device_type != "cpu" or platform.libc_ver()[0] != "glibc" or chosen:
        yield
        return
    library = ctypes.CDLL(None)
    for parameter, value in ((_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _PAD), (_MMAP_THRESHOLD, _LARGEST)):
        library.mallopt(parameter, value)
    yield
    library.malloc_trim(0)
