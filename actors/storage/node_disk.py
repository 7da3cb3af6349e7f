"""The folders of a node that hold verified copies and half-made files, kept from growing for ever: jobs come back daily, and are killed.

Nothing here ends a job: what cannot be removed stays, and is told in the log.
"""

import functools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_HALF_MADE_S = 86_400.0  # no unit takes a day, so whoever wrote this is dead
_UNUSED_S = 7 * 86_400.0  # a copy that a weekly schedule would ask for again
_AT_WORK_S = 86_400.0  # what was asked for within the day may be needed by a job at work
_LEFT_FREE = 0.1  # of the disk: at 5 % Ray stops spilling


@functools.cache
def clear_half_made(folder: Path) -> None:
    """Once a process: remove what killed processes left in a scratch folder: entries in which nothing changed for a day."""
    for path in _idle(folder, _HALF_MADE_S):
        _remove(path)


@functools.cache
def clear_unused(folder: Path) -> None:
    """Once a process: remove the copies of a cache that nobody has asked for in a week."""
    for path in _idle(folder, _UNUSED_S):
        _remove(path)


def make_room(folder: Path, size: int) -> None:
    """Remove copies of a cache, the longest unasked for first, until `size` bytes fit in and a tenth of the disk stays free.

    On a disk of the node, whoever has mapped one of them keeps its bytes. What was asked for within the day stays, room or not.
    """
    usage = shutil.disk_usage(folder)
    missing = size + _LEFT_FREE * usage.total - usage.free
    if missing <= 0:
        return
    for path in _idle(folder, _AT_WORK_S):
        missing -= _remove(path)
        if missing <= 0:
            return


def touch(path: Path) -> bool:
    """Note that a copy was asked for now. Returns whether it is there."""
    try:
        os.utime(path)
    except OSError:  # gone, or a cache that may only be read
        return path.is_file()
    return True


def _idle(folder: Path, seconds: float) -> Iterator[Path]:
    """The entries of a folder in which nothing changed for so long, the longest first; judged again as each is reached."""
    try:
        entries, now = list(folder.iterdir()), _now(folder)
    except OSError as error:
        logger.warning("%s cannot be listed, so nothing old is removed from it: %s", folder, error)
        return
    for path, _ in sorted(((path, _changed(path)) for path in entries), key=lambda entry: entry[1]):
        if now - _changed(path) > seconds:
            yield path


def _now(folder: Path) -> float:
    """Now by the clock of the disk, which may be another machine's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:  # full, or read-only
        return time.time()


def _changed(path: Path) -> float:
    """When anything in it last changed, in seconds since the epoch. Never (inf) for what vanishes meanwhile."""
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except OSError:
        return float("inf")


def _remove(path: Path) -> int:
    """Remove a file or a folder, and return the bytes of a file. Another process may be doing the same."""
    try:
        size = path.lstat().st_size
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        logger.warning("%s is of no use any more and cannot be removed: %s", path, error)
        return 0
    return size
