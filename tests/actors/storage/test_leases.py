"""A lease saves work and decides nothing: it is waited for while it is renewed, and never longer."""

import json
import threading
import time

from actors.storage.leases import LEASES, lease
from actors.storage.manifests import publish
from tests.actors.storage.test_manifests import draft
from tests.fault_proxy import Rule, faults


def nobody(run: str) -> None:
    raise AssertionError(f"waited for {run}")


def test_a_free_version_is_worked_on_at_once_and_the_lease_ends_with_the_work(store):
    with lease(store, 1, "run", 5, nobody) as alone:
        assert alone and len(list(store.list(f"{LEASES}/"))) == 1
    assert not list(store.list(f"{LEASES}/"))


def test_the_second_run_waits_and_hears_that_the_version_is_published(store):
    waited, heard = threading.Event(), []

    def second() -> None:
        def on_wait(run: str) -> None:
            heard.append(run)
            waited.set()

        with lease(store, 1, "second", 60, on_wait) as alone:
            heard.append(alone)

    thread = threading.Thread(target=second)
    with lease(store, 1, "first", 60, nobody) as alone:
        assert alone
        thread.start()
        assert waited.wait(20)
        publish(store, draft("s1"))
    thread.join(20)
    assert heard == ["first", False]


def test_a_lease_is_renewed_while_its_holder_lives(store):
    def expires() -> float:
        return json.loads(store.get(f"{LEASES}/00000001.json"))["expires"]

    with lease(store, 1, "run", 0.6, nobody):
        first, end = expires(), time.monotonic() + 30
        while expires() <= first + 0.6 and time.monotonic() < end:
            time.sleep(0.05)
        assert expires() > first + 0.6


def test_the_lease_of_a_run_that_died_runs_out(store):
    store.put(f"{LEASES}/00000001.json", json.dumps({"holder": "x", "run": "dead", "seconds": 5, "expires": time.time() - 1}).encode())
    with lease(store, 1, "next", 5, nobody) as alone:
        assert alone


def test_a_dead_run_whose_clock_was_an_hour_ahead_is_waited_for_no_longer_than_its_lease(store):
    note = {"holder": "x", "run": "from the future", "seconds": 0.5, "expires": time.time() + 3600}
    store.put(f"{LEASES}/00000001.json", json.dumps(note).encode())
    heard, started = [], time.monotonic()
    with lease(store, 1, "next", 5, heard.append) as alone:
        assert alone and heard == ["from the future"] and 0.5 <= time.monotonic() - started < 60


def test_who_overstayed_leaves_the_lease_of_its_successor(store):
    with lease(store, 1, "slow", 0.6, nobody):
        (item,) = store.list(f"{LEASES}/")
        theirs = json.dumps({"holder": "another", "run": "next", "seconds": 60, "expires": time.time() + 60}).encode()
        store.put(item.key, theirs)  # as the next run does when the lease was not renewed in time
        time.sleep(0.6)  # time for three renewals
    assert store.get(item.key) == theirs


def test_a_run_that_fails_gives_its_lease_back(store):
    try:
        with lease(store, 1, "run", 60, nobody):
            raise RuntimeError
    except RuntimeError:
        pass
    with lease(store, 1, "other", 60, nobody) as alone:
        assert alone


def test_a_lease_that_cannot_be_deleted_expires_and_the_work_under_it_counts(s3, s3_store, caplog):
    with faults(s3.endpoint, Rule("slowdown", "DELETE")) as proxy:
        with lease(s3_store(proxy.endpoint, deadline_s=1), 1, "run", 1, nobody) as alone:
            assert alone
        assert any(seen.method == "DELETE" and seen.fault == "slowdown" for seen in proxy.log)
    assert "stays until it expires" in caplog.text
    with lease(s3_store(), 1, "next", 5, lambda _: None) as alone:
        assert alone
