"""A version to be in, its committed catalogue out: hashed from its segments' passages, or settled from what a comparison found.

Goes partition by partition of the ids' hashes, in tasks: the driver holds references.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray

from actors.catalogue.hashing import partition_count, split_rows
from actors.catalogue.partitions import commit_catalogue, find_catalogue, settle_rows, write_partition
from actors.catalogue.rows import LOCATED, PENDING, locate_ids, segment_rows
from actors.catalogue.sources import load_sources
from actors.pieces import Piece
from actors.storage.commits import DataFile
from actors.storage.manifests import Manifest, SegmentEntry
from actors.storage.objects import Store
from pipelines.changes import Changes
from pipelines.heritage import damaged_segments
from pipelines.job import Job


def as_list(returned: Any) -> list[Any]:
    """What a task with one or several returns gives, as a list."""
    return returned if isinstance(returned, list) else [returned]


def hash_version(job: Job, version: Manifest, positions: Mapping[str, int], parts: int) -> list[Any]:
    """References to the ROW rows of a version's live passages, by partition, from the texts in its segments. No file has shadows here."""
    hash_, place = job.task(_hash_segment, parts), ray.put(dict(positions))
    deleted = [np.array(version.deletions.get(entry.segment, []), np.int64) for entry in version.segments]
    pieces = damaged_segments(job.store, version)
    hashed = [
        as_list(hash_.remote(job.store, pieces.get(entry.segment, entry), number, deleted[number], place, parts))
        for number, entry in enumerate(version.segments)
    ]
    join = job.task(_join)
    return [join.remote(*some) for some in zip(*hashed, strict=True)]


def write_first_catalogue(job: Job, draft: Manifest) -> None:
    """Commit the catalogue of a version that was built over the whole corpus, unless it is there."""
    if find_catalogue(job.store, draft) is not None:
        return
    rows = hash_version(job, draft, load_sources(job.store, draft.sources).positions(), partition_count(draft.rows))
    write = job.task(_write, 2)
    _commit(job, draft, [write.remote(job.store, draft.identity, part, some) for part, some in enumerate(rows)])


def write_catalogue(job: Job, changes: Changes, draft: Manifest) -> None:
    """Commit the catalogue of a version that a comparison led to, unless it is there."""
    if find_catalogue(job.store, draft) is not None:
        return
    numbers = {entry.segment: number for number, entry in enumerate(draft.segments)}
    renumbered = np.array([numbers.get(entry.segment, PENDING) for entry in changes.newest.segments], np.int32)
    # A segment that lost all its rows and is there again was built anew from the same bytes, under the same name.
    anew = changes.deletions().keys() - draft.deletions.keys()
    parts, before = len(changes.rows), {entry.segment for entry in changes.newest.segments} - anew
    locate = job.task(_locate, parts)
    built = [(number, entry) for number, entry in enumerate(draft.segments) if entry.segment not in before]
    located = [as_list(locate.remote(job.store, entry, number, parts)) for number, entry in built]
    settle = job.task(_settle, 2)
    pairs = [
        settle.remote(job.store, draft.identity, part, rows, renumbered, *(found[part] for found in located))
        for part, rows in enumerate(changes.rows)
    ]
    _commit(job, draft, pairs)


def _commit(job: Job, draft: Manifest, pairs: Sequence[Any]) -> None:
    """Commit partitions: of each a reference to its file and one to its live passages."""
    files, live = ray.get([pair[0] for pair in pairs]), sum(ray.get([pair[1] for pair in pairs]))
    if live != draft.rows:
        raise RuntimeError(f"the catalogue holds {live} passages and the version {draft.rows}")
    commit_catalogue(job.store, draft.identity, job.run, files, live)


def _locate(store: Store, entry: SegmentEntry, number: int, parts: int) -> object:
    rows = split_rows(locate_ids(store, entry, number), parts)
    return rows[0] if parts == 1 else tuple(rows)


def _settle(store: Store, unit: str, part: int, rows: np.ndarray, renumbered: np.ndarray, *located: np.ndarray) -> tuple[DataFile, int]:
    settled = settle_rows(rows, np.concatenate([np.zeros(0, LOCATED), *located]), renumbered)
    return _write(store, unit, part, settled)


def _write(store: Store, unit: str, part: int, rows: np.ndarray) -> tuple[DataFile, int]:
    return write_partition(store, unit, part, rows), int((rows["segment"] >= 0).sum())


def _hash_segment(
    store: Store, origin: SegmentEntry | Sequence[Piece], number: int, deleted: np.ndarray, positions: dict[str, int], parts: int
) -> Any:
    rows = split_rows(segment_rows(store, origin, number, deleted, positions), parts)
    return rows[0] if parts == 1 else tuple(rows)


def _join(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
