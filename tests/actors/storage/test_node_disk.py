"""What a node keeps of stored objects, and what it removes, so that daily jobs and kills do not fill its disk."""

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.storage.commits import put_data
from actors.storage.local_store import LocalStore
from actors.storage.node_disk import clear_half_made, clear_unused, make_room
from actors.storage.s3_store import S3Store
from actors.storage.verified import default_cache, read_verified
from configs.schema import S3Config

HOUR, DAY = 3_600, 86_400


def aged(path: Path, seconds: float, data: bytes = b"x") -> Path:
    """A file that was last changed so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The cache of a node that nobody has used."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    default_cache().mkdir(parents=True)
    return default_cache()


@pytest.fixture
def full_disk(monkeypatch) -> None:
    """A disk of 1000 bytes with 100 free: a tenth. What is removed is not counted: the disk is asked once."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, used=900, free=100))


def test_what_killed_processes_left_is_removed_after_a_day_and_nothing_else(tmp_path):
    aged(tmp_path / "half-a-unit.arrow", 2 * DAY)
    aged(tmp_path / "segment-dead" / "passages.arrow", 2 * DAY)
    os.utime(tmp_path / "segment-dead", (time.time() - 2 * DAY,) * 2)
    aged(tmp_path / "segment-at-work" / "deep" / "index.faiss", HOUR)
    os.utime(tmp_path / "segment-at-work", (time.time() - 2 * DAY,) * 2)
    aged(tmp_path / "unit-at-work.arrow", HOUR)
    clear_half_made(tmp_path)
    assert names(tmp_path) == ["segment-at-work", "unit-at-work.arrow"]


def test_a_store_clears_its_scratch_folder_when_a_process_first_asks_for_it(tmp_path, monkeypatch):
    aged(tmp_path / "store" / ".scratch" / "dead", 2 * DAY)
    assert names(LocalStore(tmp_path / "store").scratch()) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"raytrieve-scratch-{os.getuid()}"
    folder.mkdir(mode=0o700)
    aged(folder / "dead", 2 * DAY)
    assert names(S3Store("s3://bucket/x", S3Config(), 1).scratch()) == []


def test_a_link_is_removed_and_what_it_points_to_stays(tmp_path):
    kept = aged(tmp_path / "elsewhere" / "model.bin", 2 * DAY)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "link").symlink_to(kept.parent)
    os.utime(tmp_path / "scratch" / "link", (time.time() - 2 * DAY,) * 2, follow_symlinks=False)
    clear_half_made(tmp_path / "scratch")
    assert names(tmp_path / "scratch") == [] and kept.exists()


def test_copies_that_nobody_asked_for_in_a_week_go(tmp_path):
    aged(tmp_path / "old", 8 * DAY)
    aged(tmp_path / "of-this-week", 6 * DAY)
    clear_unused(tmp_path)
    assert names(tmp_path) == ["of-this-week"]


def test_a_copy_that_is_asked_for_is_young_again(s3_store, cache):
    store = s3_store()
    entry = put_data(store, "segments", "x.npy", b"vectors")
    copy = read_verified(store, entry)
    os.utime(copy, (time.time() - 8 * DAY,) * 2)
    assert read_verified(store, entry) == copy
    clear_unused.cache_clear()  # as in another process
    clear_unused(cache)
    assert copy.read_bytes() == b"vectors"


def test_a_new_copy_on_a_disk_that_is_nearly_full_pushes_out_the_longest_unasked_for(tmp_path, full_disk):
    for number, days in enumerate((4, 2, 3, 0.5)):
        aged(tmp_path / f"copy-{number}", days * DAY, bytes(50))
    make_room(tmp_path, 60)
    assert names(tmp_path) == ["copy-1", "copy-3"], "60 bytes take two copies of 50"
    make_room(tmp_path, 500)
    assert names(tmp_path) == ["copy-3"], "what was asked for within the day stays"


def test_what_cannot_be_removed_stays_and_is_told_and_the_job_goes_on(tmp_path, caplog, monkeypatch):
    kept = aged(tmp_path / "of-another-user", 2 * DAY)
    aged(tmp_path / "ours", 2 * DAY)

    def refused(path: Path) -> None:
        if path == kept:
            raise PermissionError(13, "Permission denied")
        os.unlink(path)

    monkeypatch.setattr(Path, "unlink", refused)
    clear_half_made(tmp_path)
    assert names(tmp_path) == ["of-another-user"]
    assert "of-another-user is of no use any more and cannot be removed" in caplog.text


def test_a_disk_with_room_loses_nothing(tmp_path):
    aged(tmp_path / "copy", 3 * DAY)
    make_room(tmp_path, 1)
    assert names(tmp_path) == ["copy"]


class Watched(S3Store):
    """Notes what else the cache holds when a download begins."""

    beside: list[str]

    def local_copy(self, key: str, folder: Path) -> Path:
        self.beside = names(default_cache())
        return super().local_copy(key, folder)


def test_room_is_made_in_the_cache_before_a_download(s3_environment, cache, full_disk):
    store = Watched("s3://store/room", S3Config(), 20)
    entry = put_data(store, "segments", "y.npy", b"bytes of a segment")
    aged(cache / "idle", 2 * DAY, bytes(50))
    assert names(read_verified(store, entry).parent) == [entry.sha256]
    assert store.beside == []


def test_a_store_on_disk_pushes_nothing_out(tmp_path, cache, full_disk):
    store = LocalStore(tmp_path / "store")
    entry = put_data(store, "segments", "z.npy", b"bytes of a segment")
    aged(cache / "idle", 9 * DAY, bytes(50))
    assert read_verified(store, entry) == tmp_path / "store" / entry.key
    assert names(cache) == ["idle"]
