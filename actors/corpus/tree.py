"""A filesystem and a path in, the files below it out. Never swallows a listing error; knows no formats."""

import os
import stat
from dataclasses import dataclass

import fsspec
from fsspec.implementations.local import LocalFileSystem

from configs.errors import UserError


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: path as its filesystem names it, size in bytes, and a tag that changes with its contents."""

    path: str
    size: int
    etag: str


def look_up(fs: fsspec.AbstractFileSystem, path: str) -> Entry | None:
    """The file at `path`, or None for a folder. Raises FileNotFoundError if there is neither."""
    if isinstance(fs, LocalFileSystem):
        status = os.stat(path)
        return None if stat.S_ISDIR(status.st_mode) else Entry(path, status.st_size, _local_etag(status))
    info = fs.info(path, refresh=True)
    return None if info["type"] == "directory" else Entry(path, int(info["size"]), remote_etag(info))


def walk(fs: fsspec.AbstractFileSystem, folder: str, hidden: bool = False) -> list[Entry]:
    """Every file below `folder`, in the order of their paths; symbolic links are followed. Any listing error is raised.

    Files and folders whose names begin with "." or "_" are left out unless `hidden`.
    """
    found = _walk_local(folder, hidden) if isinstance(fs, LocalFileSystem) else _walk_remote(fs, folder, hidden)
    return sorted(found, key=lambda entry: entry.path)


def remote_etag(info: dict[str, object]) -> str:
    """The ETag that S3 states for an object, without its quotes."""
    return str(info.get("ETag", "")).strip('"')


def _walk_remote(fs: fsspec.AbstractFileSystem, folder: str, hidden: bool) -> list[Entry]:
    # s3fs answers repeated listings from a cache that knows nothing of later uploads: empty it before, and leave nothing after.
    fs.invalidate_cache()
    infos = fs.find(folder, detail=True)
    fs.invalidate_cache()
    files = {path: info for path, info in infos.items() if info["type"] == "file" and not path.endswith("/")}
    parts = {path: path.removeprefix(folder).strip("/").split("/") for path in files}
    seen = {path: info for path, info in files.items() if hidden or all(map(_visible, parts[path]))}
    return [Entry(path, int(info["size"]), remote_etag(info)) for path, info in seen.items()]


def _walk_local(folder: str, hidden: bool) -> list[Entry]:
    found: list[Entry] = []
    seen: set[str] = set()
    # os.walk, since fsspec's own walk leaves out what it may not list.
    for here, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if hidden or _visible(name)]
        found += [_local_entry(os.path.join(here, name)) for name in names if hidden or _visible(name)]
    return found


def _local_entry(path: str) -> Entry:
    if os.path.islink(path) and not os.path.exists(path):
        raise UserError(f"{path} is a link to a file that does not exist: mend or remove it.")
    status = os.stat(path)
    return Entry(path, status.st_size, _local_etag(status))


def _visible(name: str) -> bool:
    return not name.startswith((".", "_"))


def _local_etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _raise(error: OSError) -> None:
    raise error
