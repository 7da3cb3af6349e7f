"""A reader's word that it reads a version: gc then keeps what that version names, however old it is.

A pin is an empty object that is written again while its reader lives. Its age is told by the clock of the store, which gc goes by too,
so no machine's own clock counts. A reader that was killed leaves a pin that ends by itself.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.storage.heartbeats import heartbeat
from actors.storage.objects import Store, new_attempt
from configs.errors import UserError

logger = logging.getLogger(__name__)
PINS = "pins"
"""The folder of the store."""

PIN_S = 3600.0
"""Seconds that a pin lasts after it was last written."""

_BEATS = 6  # in the time of a pin, so that some may fail


@contextmanager
def pinned(store: Store, version: int) -> Iterator[None]:
    """Hold a version while it is read. Look for its files after this: gc may have been at work before."""
    key = f"{PINS}/{version:08d}-{new_attempt()}"

    def write() -> bool:
        store.put(key, b"")
        return True

    if not _may(write, version):
        yield
        return
    with heartbeat(PIN_S / _BEATS, write, f"The pin on version {version} could not be renewed, so gc may come to delete its files"):
        yield
    _release(store, key)  # not after an error, which may be that the store is away: the pin ends by itself


def _may(write: Callable[[], bool], version: int) -> bool:
    """Whether a pin can be written. A reader who has no right to, or whose store is mounted read-only, reads all the same."""
    try:
        return write()
    except (UserError, OSError) as error:
        logger.warning("Version %d is read without a pin, so a gc at the same time may delete its files: %s", version, error)
        return False


def _release(store: Store, key: str) -> None:
    """Delete the pin. Who may not, or cannot at present, has read all the same."""
    try:
        store.delete(key)
    except (UserError, OSError) as error:
        logger.info("The pin %s/%s stays until it expires: %s", store.uri, key, error)


def pinned_versions(store: Store, now: float) -> set[int]:
    """Versions that somebody reads at `now`, in seconds since the epoch by the store's clock."""
    names = (Path(item.key).name.partition("-")[0] for item in store.list(f"{PINS}/") if item.modified >= now - PIN_S)
    return {int(name) for name in names if name.isdecimal()}
