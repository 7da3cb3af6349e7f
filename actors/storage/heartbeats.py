"""Something that has to be said again and again while work goes on, such as that a lease is still held."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from configs.errors import UserError

logger = logging.getLogger(__name__)
_PATIENCE_S = 5.0  # for a beat that is under way: one that waits out an outage shall not hold up the end


@contextmanager
def heartbeat(seconds: float, beat: Callable[[], bool], on_failure: str) -> Iterator[None]:
    """Call `beat` every so many seconds, from a thread, until it returns False or the context ends.

    A beat that fails is told, after `on_failure`, and the next one is tried all the same: an outage may be over by then.
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds):
            try:
                if not beat():
                    return
            except (UserError, OSError) as error:
                logger.warning("%s: %s", on_failure, error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_PATIENCE_S)
