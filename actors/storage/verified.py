"""A record's data file in, verified local bytes out. FAISS and Arrow load a flipped bit in silence; this does not."""

import os
import shutil
import tempfile
from pathlib import Path

from actors.storage.commits import DataFile
from actors.storage.node_disk import clear_unused, make_room, touch
from actors.storage.objects import Store, new_attempt, sha256_file
from configs.errors import UserError

_REMEDY = "Run `raytrieve repair CONFIG`: the next run or re-index then makes the unit anew that it belongs to."


class DamagedFile(UserError):
    """A stored file is not what its record says."""


def default_cache() -> Path:
    """The node's folder for verified copies of stored objects. It belongs on a disk of the node: what is mapped there outlives its name."""
    return Path.home() / ".cache" / "raytrieve" / "objects"


def read_verified(store: Store, entry: DataFile, cache: Path | None = None) -> Path:
    """A local file with the entry's bytes, checked by size and sha256. Copies are kept by content in the node's cache, for a week after
    they were last asked for, or until the disk is nearly full.

    Raises DamagedFile naming the object when it is gone, or its bytes are not those that were committed.
    """
    shared, cache = cache is None, cache or default_cache()
    kept = cache / entry.sha256
    if _is_sound(kept, entry):
        return kept
    if shared and not store.on_disk:
        cache.mkdir(parents=True, exist_ok=True)
        clear_unused(cache)
        make_room(cache, entry.size)
    with tempfile.TemporaryDirectory(dir=store.scratch()) as folder:
        try:
            path = store.local_copy(entry.key, Path(folder))
        except FileNotFoundError:
            raise DamagedFile(f"{store.uri}/{entry.key} is missing, though its commit record names it. {_REMEDY}") from None
        _check(store, entry, path)
        if not path.is_relative_to(folder):
            return path  # a local store: its own file
        cache.mkdir(parents=True, exist_ok=True)
        staged = cache / f"{entry.sha256}.{new_attempt()}"  # of its own: several threads may fetch the same object
        shutil.move(path, staged)
        os.replace(staged, kept)
    return kept


def _is_sound(kept: Path, entry: DataFile) -> bool:
    """Whether the cache has the entry's bytes; they are young again then."""
    try:
        return touch(kept) and kept.stat().st_size == entry.size and sha256_file(kept) == entry.sha256 and kept.is_file()
    except FileNotFoundError:  # removed since, to make room
        return False


def _check(store: Store, entry: DataFile, path: Path) -> None:
    size = path.stat().st_size
    if size != entry.size or sha256_file(path) != entry.sha256:
        raise DamagedFile(
            f"{store.uri}/{entry.key} is damaged: {size} bytes that do not hash to what was committed "
            f"({entry.size} bytes, sha256 {entry.sha256[:12]}...). {_REMEDY}"
        )
