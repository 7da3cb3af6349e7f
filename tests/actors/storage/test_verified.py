"""Nothing damaged is ever handed on: not from the store, not from the cache."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from actors.storage.commits import put_data
from actors.storage.verified import DamagedFile, read_verified

BODY = bytes(range(256)) * 40


@pytest.fixture
def entry(store):
    return put_data(store, "vectors/ab", "u1-a1.bin", BODY)


def flipped(body):
    return body[:5000] + bytes([body[5000] ^ 1]) + body[5001:]


def test_an_undamaged_file_is_handed_over(store, entry, tmp_path):
    assert read_verified(store, entry, tmp_path / "cache").read_bytes() == BODY


@pytest.mark.parametrize("damage", [flipped, lambda body: body[:-1], lambda body: body + b"\0", lambda _: b""])
def test_damage_is_found_and_the_object_named(store, entry, tmp_path, damage):
    store.put(entry.key, damage(BODY))
    with pytest.raises(DamagedFile) as caught:
        read_verified(store, entry, tmp_path / "cache")
    assert f"{store.uri}/{entry.key}" in str(caught.value) and "raytrieve repair CONFIG" in str(caught.value)
    assert not list((tmp_path / "cache").glob("*"))


def test_a_missing_file_is_named(store, entry, tmp_path):
    with pytest.raises(DamagedFile, match=r"none\.bin is missing"):
        read_verified(store, replace(entry, key="vectors/ab/data/none.bin"), tmp_path / "cache")


def test_nothing_is_left_in_the_scratch_folder(store, entry, tmp_path):
    before = set(store.scratch().iterdir())
    read_verified(store, entry, tmp_path / "cache")
    assert set(store.scratch().iterdir()) == before


def test_a_copy_is_fetched_once(s3_store, tmp_path):
    store = s3_store()
    entry = put_data(store, "vectors/ab", "u1-a1.bin", BODY)
    first = read_verified(store, entry, tmp_path)
    store.delete(entry.key)
    assert read_verified(store, entry, tmp_path) == first and first.read_bytes() == BODY


@pytest.mark.parametrize("damage", [flipped, lambda body: body[:100]])
def test_a_damaged_copy_is_fetched_anew(s3_store, tmp_path, damage):
    store = s3_store()
    entry = put_data(store, "vectors/ab", "u1-a1.bin", BODY)
    kept = read_verified(store, entry, tmp_path)
    kept.write_bytes(damage(BODY))
    assert read_verified(store, entry, tmp_path).read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == [entry.sha256]


def test_eight_readers_of_one_object_all_get_it(s3_store, tmp_path):
    store = s3_store()
    entry = put_data(store, "vectors/ab", "u1-a1.bin", BODY)
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: read_verified(store, entry, tmp_path), range(8)))
    assert set(paths) == {tmp_path / entry.sha256} and paths[0].read_bytes() == BODY
    assert list(tmp_path.iterdir()) == [paths[0]]
