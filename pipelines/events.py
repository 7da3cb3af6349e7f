"""What happened in a run, as JSON lines in the store: stage starts and ends, finished units, failures.

Object stores cannot append, so each driver process owns one uniquely named object and rewrites it now and then;
`read_events` merges them in time order.
"""

import json
import secrets
import time
from typing import Any

from actors.storage.objects import Store

_EVERY_S = 5.0  # seconds between rewrites while units finish
_LINES = 2000  # events of one object, so that a rewrite stays small however long the run


class EventLog:
    """The events of one driver process."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder = store, folder
        self._process = secrets.token_hex(4)
        self._key = self._new_key()
        self._lines: list[str] = []
        self._written = 0.0

    def add(self, event: str, *, flush: bool = False, **fields: Any) -> None:
        """Note an event; `flush` makes it durable at once."""
        self._lines.append(json.dumps({"at": round(time.time(), 3), "event": event, "process": self._process, **fields}))
        if flush or time.monotonic() - self._written >= _EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Write everything noted so far."""
        if self._lines:
            self._store.put(self._key, ("\n".join(self._lines) + "\n").encode())
        self._written = time.monotonic()
        if len(self._lines) >= _LINES:
            self._key, self._lines = self._new_key(), []

    def _new_key(self) -> str:
        return f"{self._folder}/events/{int(time.time() * 1000):013d}-{self._process}-{secrets.token_hex(2)}.jsonl"


def read_events(store: Store, folder: str) -> list[dict[str, Any]]:
    """All events of a run, over all its driver processes, in time order."""
    lines = [line for item in store.list(f"{folder}/events/") for line in store.get(item.key).decode().splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda event: event["at"])
