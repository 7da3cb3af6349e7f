"""A version's files in, what is wrong with them out: bytes against their hashes, rows against counts, ids against the catalogue.

Reads the store itself, never a copy that a node keeps.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.catalogue.rows import NOWHERE, ROW, segment_rows
from actors.index.checking import check_vectors
from actors.index.kinds import IndexPlan
from actors.index.segment import Segment
from actors.storage.commits import DataFile
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store
from actors.storage.verified import DamagedFile, read_verified

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one segment."""

    faults: tuple[str, ...]
    """One sentence each; empty when all is well."""
    rows: np.ndarray
    """ROW of its live passages, hashed anew from their texts and metadata; of no file."""


def verify_file(store: Store, file: DataFile) -> list[str]:
    """What is wrong with one stored file: that it is gone, or not what was committed."""
    with tempfile.TemporaryDirectory(dir=store.scratch()) as folder:
        try:
            read_verified(store, file, Path(folder))
        except DamagedFile as error:
            return [str(error)]
    return []


def verify_segment(store: Store, entry: SegmentEntry, number: int, deleted: Sequence[int], plan: IndexPlan, normalized: bool) -> Findings:
    """Read all of a segment: files, rows, vectors and ids."""
    faults = [fault for file in entry.files.values() for fault in verify_file(store, file)]
    gone, nothing = np.array(deleted, np.int64), np.zeros(0, ROW)
    if len(np.unique(gone)) != len(gone) or (len(gone) and not 0 <= gone.min() <= gone.max() < entry.rows):
        faults.append(f"Segment {entry.segment} has deletions that are not {len(gone)} different rows of its {entry.rows}.")
    if faults:
        return Findings(tuple(faults), nothing)
    with tempfile.TemporaryDirectory(dir=store.scratch()) as folder:
        for name, file in entry.files.items():
            os.symlink(read_verified(store, file, Path(folder, "cache")), Path(folder, name))
        try:
            segment = Segment.open(Path(folder), plan)
            for start in range(0, segment.rows, _CHUNK):
                where = f"segment {entry.segment}, rows from {start}"
                check_vectors(np.asarray(segment.vectors[start : start + _CHUNK]), plan.dimension, normalized, where)
        except ValueError as error:
            return Findings((f"{error}.",), nothing)
        if segment.rows != entry.rows:
            return Findings((f"Segment {entry.segment} has {segment.rows} rows, the version says {entry.rows}.",), nothing)
    return Findings((), segment_rows(store, entry, number, gone, {}))


def compare_rows(found: np.ndarray, catalogued: np.ndarray | None, name: Callable[[np.void], str]) -> list[str]:
    """Faults of one partition (ROW): ids that live twice, and passages that the catalogue has elsewhere, with other hashes, or not at all.

    `name` tells the id of a row, for the sentence.
    """
    order = found[np.argsort(found["id"], kind="stable")]
    twice = order[1:][order[1:]["id"] == order[:-1]["id"]]
    faults = [f"{len(twice)} ids are in the version twice, such as {name(twice[0])}."] if len(twice) else []
    if catalogued is not None:
        held = catalogued[catalogued["segment"] >= 0]
        held["file"] = NOWHERE
        astray = np.setxor1d(order, held)
        if len(astray):
            faults.append(f"{len(astray)} rows of passages differ between the segments and the catalogue, such as {name(astray[0])}.")
    return faults
