"""The S3 store behind a proxy that loses, delays, repeats and garbles: what is stored stays right, and ends are told."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.storage.commits import CommitRecord, commit, committed_units, put_data, read_commits
from actors.storage.verified import read_verified
from configs.errors import UserError
from tests.fault_proxy import Rule, faults

FOLDER = "vectors/ab12"


def record(unit, attempt):
    return CommitRecord(unit, attempt, {}, {"rows": 1.0}, "run", 1.0, 0.0)


@pytest.mark.parametrize("fault", ["error_after", "reset_after"])
def test_a_conditional_write_that_was_applied_but_not_answered_is_ours(s3, s3_store, fault):
    with faults(s3.endpoint, Rule(fault, "PUT", header=("If-None-Match", r"\*"), count=2)) as proxy:
        store = s3_store(proxy.endpoint)
        assert store.put_if_absent("commits/u1.json", b"nonce 1") is True
        assert [seen.status for seen in proxy.log if seen.method == "PUT"] == [200, 412, 412]
    assert store.uri.startswith("s3://") and s3_store().get("commits/u1.json") == b"nonce 1"


@pytest.mark.parametrize("fault", ["error_after", "reset_after"])
def test_a_lost_reply_does_not_turn_another_writers_record_into_ours(s3, s3_store, fault):
    s3_store().put_if_absent("commits/u1.json", b"theirs")
    with faults(s3.endpoint, Rule(fault, "PUT", count=1)) as proxy:
        assert s3_store(proxy.endpoint).put_if_absent("commits/u1.json", b"ours") is False
    assert s3_store().get("commits/u1.json") == b"theirs"


@pytest.mark.parametrize("fault", ["slowdown", "reset_before"])
def test_a_fault_that_passes_is_not_noticed(s3, s3_store, fault):
    with faults(s3.endpoint, Rule(fault, count=3)) as proxy:
        store = s3_store(proxy.endpoint)
        assert store.put_if_absent("a", b"1") is True
        proxy.rules[:] = [Rule(fault, count=3)]
        assert store.get("a") == b"1"
        proxy.rules[:] = [Rule(fault, count=3)]
        assert [item.key for item in store.list("")] == ["a"]
        assert sum(seen.fault == fault for seen in proxy.log) == 9


def test_thirty_writes_through_heavy_weather_all_arrive_once(s3, s3_store):
    weather = (Rule("slowdown", "PUT", prob=0.2), Rule("error_after", "PUT", prob=0.15), Rule("reset_before", prob=0.1))
    with faults(s3.endpoint, *weather) as proxy:
        store = s3_store(proxy.endpoint)
        with ThreadPoolExecutor(4) as pool:
            winners = list(pool.map(lambda number: commit(store, FOLDER, record(f"u{number:02d}", "a1")), range(30)))
        assert sum(seen.fault is not None for seen in proxy.log) > 5
    assert read_commits(s3_store(), FOLDER, sorted(committed_units(s3_store(), FOLDER))) == winners


@pytest.mark.parametrize("fault", ["partition", "slowdown", "hang"])
def test_an_outage_past_the_deadline_is_one_sentence_in_good_time(s3, s3_store, fault):
    with faults(s3.endpoint, Rule(fault, seconds=60)) as proxy:
        store = s3_store(proxy.endpoint, deadline_s=3)
        started = time.monotonic()
        with pytest.raises(UserError) as caught:
            store.put_if_absent("commits/u1.json", b"1")
    sentence = str(caught.value)
    assert time.monotonic() - started < 15, "far from the 60 s that the server is silent"
    assert store.uri in sentence and "commits/u1.json" in sentence and "3 s" in sentence and "\n" not in sentence


def test_a_silence_shorter_than_the_deadline_is_not_noticed(s3, s3_store):
    with faults(s3.endpoint, Rule("hang", seconds=60, count=1)) as proxy:
        store = s3_store(proxy.endpoint, deadline_s=6)
        store.put("a", b"1")
        assert store.get("a") == b"1" and proxy.log[0].fault == "hang"


@pytest.mark.parametrize("fault", ["corrupt", "truncate"])
def test_a_garbled_download_is_fetched_again(s3, s3_store, tmp_path, fault):
    body = bytes(range(256)) * 4000
    entry = put_data(s3_store(), FOLDER, "u1-a1.bin", body)
    with faults(s3.endpoint, Rule(fault, "GET", path="/data/", count=2)) as proxy:
        store = s3_store(proxy.endpoint)
        assert store.get(entry.key) == body
        proxy.rules[:] = [Rule(fault, "GET", path="/data/", count=1)]
        assert read_verified(store, entry, tmp_path).read_bytes() == body
        assert [seen.fault for seen in proxy.log] == [fault, fault, None, fault, None]


@pytest.mark.parametrize("fault", ["corrupt", "truncate"])
def test_a_download_that_is_garbled_every_time_is_an_error_naming_the_object(s3, s3_store, tmp_path, fault):
    entry = put_data(s3_store(), FOLDER, "u1-a1.bin", b"x" * 10_000)
    with faults(s3.endpoint, Rule(fault, "GET", path="/data/")) as proxy:
        store = s3_store(proxy.endpoint, deadline_s=1)
        with pytest.raises(UserError, match=r"s3://store/.* no success with .*u1-a1\.bin"):
            read_verified(store, entry, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_arrives_late_changes_no_committed_record(s3, s3_store):
    """The zombie: a worker that was given up for dead, and whose request the network delivers after another one's commit."""
    with faults(s3.endpoint, Rule("late_apply", "PUT", seconds=1.5)) as proxy:
        zombie = s3_store(proxy.endpoint, deadline_s=0.05)
        with pytest.raises(UserError):
            commit(zombie, FOLDER, record("u1", "zombie"))
        winner = commit(s3_store(), FOLDER, record("u1", "living"))
        proxy.settle()
        assert proxy.log and {seen.status for seen in proxy.log} == {412}
    assert winner.attempt == "living" and read_commits(s3_store(), FOLDER, ["u1"]) == [winner]


def test_a_writers_own_late_request_does_not_disturb_its_record(s3, s3_store):
    with faults(s3.endpoint, Rule("late_apply", "PUT", seconds=0.5, count=1)) as proxy:
        ours = commit(s3_store(proxy.endpoint), FOLDER, record("u1", "a1"))
        proxy.settle()
    assert ours.attempt == "a1" and read_commits(s3_store(), FOLDER, ["u1"]) == [ours]
