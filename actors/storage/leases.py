"""A run's word that it works on the next version, for so many seconds: others then wait instead of doing the same work.

Nothing depends on it but time. Who holds it may die, and clocks may differ: what is published is decided by put-if-absent alone. A lease
has ended when its own end is past, or when it was not renewed for its length while we watched, whatever its holder's clock said.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.storage.heartbeats import heartbeat
from actors.storage.manifests import newest_number
from actors.storage.objects import Store, new_attempt
from configs.errors import UserError

logger = logging.getLogger(__name__)
LEASES = "leases"
"""The folder of the store."""

_RENEWALS = 3  # in the time of a lease, so that one lost request does not end it
_POLL_S = 0.5
_NOT_RENEWED = "The lease on the next version could not be renewed, so another run may start the same work"


@contextmanager
def lease(store: Store, version: int, run: str, seconds: float, on_wait: Callable[[str], None]) -> Iterator[bool]:
    """Work on `version` alone, as far as that is possible. Gives False when another run has published it meanwhile.

    Waits while another run's lease is renewed, and calls `on_wait` with that run's name, once. The lease ends with the context.
    """
    key, holder, watch = f"{LEASES}/{version:08d}.json", new_attempt(), _Watch(on_wait)
    while not _taken(store, key, _note(holder, run, seconds), watch):
        if newest_number(store) >= version:
            yield False
            return
        time.sleep(min(_POLL_S, seconds / _RENEWALS))
    try:
        with heartbeat(seconds / _RENEWALS, partial(_renew, store, key, holder, run, seconds), _NOT_RENEWED):
            yield newest_number(store) < version
    finally:
        _give_up(store, key, holder)


def _give_up(store: Store, key: str, holder: str) -> None:
    """Delete the lease, unless it ran out and is another's now. Who may not delete, or cannot at present, has done its work all the same:
    the lease expires by itself."""
    try:
        if json.loads(store.get(key))["holder"] == holder:
            store.delete(key)
    except FileNotFoundError:
        return
    except (UserError, OSError) as error:
        logger.warning("The lease %s/%s stays until it expires: %s", store.uri, key, error)


@dataclass
class _Watch:
    """What a waiting run has seen of the lease. Tells `on_wait` whom it waits for, once."""

    on_wait: Callable[[str], None]
    note: dict[str, Any] | None = None
    since: float = 0.0
    """When the note was first seen as it is, on our own clock."""

    def is_over(self, note: dict[str, Any]) -> bool:
        """Whether the lease that bears this note has ended."""
        if time.time() > note["expires"]:
            return True
        if self.note is None:
            self.on_wait(note["run"])
        if note != self.note:
            self.note, self.since = note, time.monotonic()
        return bool(time.monotonic() - self.since >= note["seconds"])


def _first(store: Store, key: str, note: bytes) -> bool:
    """Whether we put the note where there was none. Of two who try at once the winner may be done before the loser reads its note."""
    try:
        return store.put_if_absent(key, note)
    except FileNotFoundError:
        return False


def _taken(store: Store, key: str, note: bytes, watch: _Watch) -> bool:
    """Whether the lease is ours now: there was none, or the last one ended."""
    try:
        theirs = json.loads(store.get(key))
    except FileNotFoundError:
        return _first(store, key, note)
    if not watch.is_over(theirs):
        return False
    store.put(key, note)  # two may do so at once, and then both work: their versions still come one after the other
    return True


def _renew(store: Store, key: str, holder: str, run: str, seconds: float) -> bool:
    """Write the lease anew. False when it ran out while we were stopped, and another has it."""
    if json.loads(store.get(key))["holder"] != holder:
        return False
    store.put(key, _note(holder, run, seconds))
    return True


def _note(holder: str, run: str, seconds: float) -> bytes:
    return json.dumps({"holder": holder, "run": run, "seconds": seconds, "expires": time.time() + seconds}).encode()
