"""SIGTERM in, a quick end out: the units in hand are abandoned, a sentence says so, the exit status is 143.

Spot machines give two minutes or half a minute, `ray job stop` gives three seconds. Nothing has to be finished in them: what is not
committed is computed again by the same command.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

TERMINATED = 128 + signal.SIGTERM
_SENTENCE = b"raytrieve: Terminated. The units in hand are abandoned; what is committed stays: the same command goes on from there.\n"
_PATIENCE_S = 2.0  # to write the last events and to end Ray; a store that is away must not hold the process until it is killed
_LEAVING = b"\0"  # no signal has this number

_said, _settled = threading.Event(), threading.Event()


class Terminated(SystemExit):
    """What SIGTERM raises in the main thread, so that contexts are closed on the way out."""


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM ends the process within seconds, whatever it is doing and whoever handles the signal."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # The interpreter writes there at once, also while it starts Ray, whose own handler waits half a minute, and while a library computes.
    signal.set_wakeup_fd(writing)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except BaseException:
        os.write(writing, _LEAVING)  # behind any signal: when the watcher has seen it, it has seen them
        _settled.wait(_PATIENCE_S)
        if not _said.is_set():
            raise
        raise Terminated(TERMINATED) from None


def keep_handler(before: Any) -> None:
    """Put our handler back where Ray has replaced it by its own."""
    if before is _end:
        signal.signal(signal.SIGTERM, before)


def _watch(signals: int) -> None:
    seen = b""
    while signal.SIGTERM not in seen:
        seen = os.read(signals, 64)
        if signal.SIGTERM in seen:
            os.write(2, _SENTENCE)
            _said.set()
        if _said.is_set() or _LEAVING in seen:
            _settled.set()
    time.sleep(_PATIENCE_S)
    os._exit(TERMINATED)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the closing
    raise Terminated(TERMINATED)
