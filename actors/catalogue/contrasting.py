"""Two versions in, what the second has that the first has not, and the other way round. Reads only the segments in which they differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from actors.catalogue.hashing import partition_count, partition_of
from actors.catalogue.rows import ROW, segment_rows
from actors.storage.manifests import Manifest
from actors.storage.objects import Store


@dataclass(frozen=True, slots=True)
class Contrast:
    """The passages of one partition that are not the same in both; ROW each, `segment` and `row` in their own version."""

    added: np.ndarray
    removed: np.ndarray
    edited: np.ndarray
    """Other text; as in the second version."""
    restated: np.ndarray
    """The same text, other metadata or title; as in the second version."""


def contrast(store: Store, first: Manifest, second: Manifest) -> Iterator[Contrast]:
    """The differences, partition by partition of the ids' hashes."""
    only = [_rows_alone(first, second), _rows_alone(second, first)]
    parts = partition_count(max(sum(map(len, rows.values())) for rows in only))
    for part in range(parts):
        before, after = (_load(store, version, rows, part, parts) for version, rows in zip((first, second), only, strict=True))
        yield _compare(before, after)


def _rows_alone(version: Manifest, other: Manifest) -> dict[int, np.ndarray]:
    """By number of the segment, its rows that live in this version and not in the other."""
    theirs = {entry.segment: _live(other, entry.segment, entry.rows) for entry in other.segments}
    alone = {}
    for number, entry in enumerate(version.segments):
        live = _live(version, entry.segment, entry.rows)
        alone[number] = np.flatnonzero(live & ~theirs.get(entry.segment, np.zeros(entry.rows, bool)))
    return {number: rows for number, rows in alone.items() if len(rows)}


def _live(version: Manifest, segment: str, rows: int) -> np.ndarray:
    live = np.ones(rows, bool)
    live[version.deletions.get(segment, [])] = False
    return live


def _load(store: Store, version: Manifest, wanted: Mapping[int, np.ndarray], part: int, parts: int) -> np.ndarray:
    found = [np.zeros(0, ROW)]
    for number, rows in wanted.items():
        entry = version.segments[number]
        others = np.setdiff1d(np.arange(entry.rows), rows)
        loaded = segment_rows(store, entry, number, others, {})
        found.append(loaded[partition_of(loaded["id"], parts) == part])
    merged = np.concatenate(found)
    return merged[np.argsort(merged["id"], kind="stable")]


def _compare(before: np.ndarray, after: np.ndarray) -> Contrast:
    _, here, there = np.intersect1d(before["id"], after["id"], assume_unique=True, return_indices=True)
    old, new = before[here], after[there]
    edited = old["embedding"] != new["embedding"]
    restated = ~edited & ((old["content"] != new["content"]) | (old["metadata"] != new["metadata"]))
    return Contrast(np.delete(after, there), np.delete(before, here), new[edited], new[restated])
