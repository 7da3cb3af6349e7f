"""Hooks for the fault tests: a text that kills the process that computes it, as a bad record kills a native library, or that makes it
take memory without end."""

import os
import signal
import time

import pyarrow as pa
import pyarrow.compute as pc

_POISON, _HOARD = "RAYTRIEVE_TEST_POISON", "RAYTRIEVE_TEST_HOARD"
_STEP = 64 << 20


def crash_if_told(texts: pa.ChunkedArray) -> None:
    """Kill this process, or fill the memory, if the test variable is set and any text holds its value. Does nothing otherwise."""
    if _told(_POISON, texts):
        os.kill(os.getpid(), signal.SIGKILL)
    if _told(_HOARD, texts):
        hoard = []
        while True:  # ends with the process: Ray's memory monitor kills it, or the system does
            hoard.append(b"\1" * _STEP)
            time.sleep(0.05)


def _told(variable: str, texts: pa.ChunkedArray) -> bool:
    word = os.environ.get(variable)
    return bool(word and pc.any(pc.match_substring(texts, word)).as_py())
