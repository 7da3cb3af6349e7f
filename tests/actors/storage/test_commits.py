"""Commit records and attempts: who did what, and whose work counts."""

import json
from dataclasses import replace

import pytest

from actors.storage import commits
from actors.storage.commits import CommitRecord, DataFile

FOLDER = "vectors/ab12"


def record(unit="u1", attempt="a1", **changes):
    files = {"vectors": DataFile(f"{FOLDER}/data/{unit}-{attempt}.parquet", 10, "0" * 64)}
    return replace(CommitRecord(unit, attempt, files, {"rows": 3.0, "seconds": 0.5}, "run", 1.0, 0.0, {"note": "ü"}), **changes)


def test_a_record_says_the_same_after_its_trip_through_json():
    assert CommitRecord.decode(record().encode()) == record()


def test_the_first_attempt_counts_and_the_second_learns_it(store):
    first = commits.commit(store, FOLDER, record(attempt="first"))
    second = commits.commit(store, FOLDER, record(attempt="second"))
    assert first.attempt == "first" and second == first
    assert second.files["vectors"].key.endswith("u1-first.parquet")
    assert first.finished > first.started


def test_records_come_in_the_order_that_was_asked_for(store):
    for unit in ("u1", "u2", "u3"):
        commits.commit(store, FOLDER, record(unit))
    assert [entry.unit for entry in commits.read_commits(store, FOLDER, ["u3", "u1", "u2"])] == ["u3", "u1", "u2"]
    assert commits.committed_units(store, FOLDER) == {"u1", "u2", "u3"}
    assert commits.committed_units(store, "vectors/other") == set()


def test_a_record_that_is_not_there_is_named(store):
    commits.commit(store, FOLDER, record("u1"))
    with pytest.raises(FileNotFoundError, match=r"u9\.json"):
        commits.read_commits(store, FOLDER, ["u1", "u9"])


def test_every_attempt_is_on_record_whether_it_finished_or_not(store):
    commits.begin(store, FOLDER, "unit-with-dashes", "run", "a1", "Embedder")
    commits.begin(store, FOLDER, "unit-with-dashes", "run", "a2", "Embedder")
    commits.begin(store, FOLDER, "u2", "run", "a3", "Embedder")
    commits.begin(store, FOLDER, "u2", "run", "a3", "Embedder")  # Ray had it called again
    assert sorted(commits.attempts(store, FOLDER)) == [("u2", "a3"), ("u2", "a3"), ("unit-with-dashes", "a1"), ("unit-with-dashes", "a2")]
    assert commits.committed_units(store, FOLDER) == set()
    assert {json.loads(store.get(item.key))["run"] for item in store.list(f"{FOLDER}/attempts/")} == {"run"}


def test_a_data_file_is_entered_with_its_size_and_hash(store):
    put = commits.put_data(store, FOLDER, "u1-a1.bin", b"abc")
    local = store.scratch() / "upload-test"
    local.write_bytes(b"abc")
    uploaded = commits.upload_data(store, FOLDER, "u1-a2.bin", local)
    assert put == DataFile(f"{FOLDER}/data/u1-a1.bin", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert uploaded == replace(put, key=f"{FOLDER}/data/u1-a2.bin")
    assert store.get(put.key) == store.get(uploaded.key) == b"abc"
