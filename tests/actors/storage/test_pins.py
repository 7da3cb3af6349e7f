"""A version that is read stays pinned by the store's own clock, and a beat that fails is followed by the next."""

import threading

from actors.storage.heartbeats import heartbeat
from actors.storage.pins import PIN_S, PINS, pinned, pinned_versions


def test_a_version_is_pinned_while_it_is_read_and_no_longer(store):
    with pinned(store, 3), pinned(store, 3), pinned(store, 12):
        found = list(store.list(f"{PINS}/"))
        now = max(item.modified for item in found)
        assert len(found) == 3 and pinned_versions(store, now) == {3, 12}
        assert pinned_versions(store, now + PIN_S + 60) == set(), "a reader that died holds nothing for ever"
    assert not list(store.list(f"{PINS}/"))


def test_what_lies_among_the_pins_and_is_none_holds_no_version(store):
    store.put(f"{PINS}/README", b"")
    store.put(f"{PINS}/-1-x", b"")
    assert pinned_versions(store, 0.0) == set()


def test_a_heart_beats_on_after_a_beat_that_failed_and_until_it_is_told_to_stop(caplog):
    beats, stopped = [], threading.Event()

    def beat() -> bool:
        beats.append(len(beats))
        if len(beats) == 2:
            raise OSError("the store is away")
        if len(beats) == 4:
            stopped.set()
        return len(beats) < 4

    with heartbeat(0.01, beat, "not renewed"):
        assert stopped.wait(20)
        threading.Event().wait(0.1)
    assert beats == [0, 1, 2, 3]
    assert caplog.messages == ["not renewed: the store is away"]
