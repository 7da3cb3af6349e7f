"""Catalogue rows in, a committed catalogue out, and slices of it back: Arrow files by hash partition, sorted by id, memory-mapped.

The unit is the identity of a version (`Manifest.identity`), so a version's places for files and segments are those of its manifest.
"""

import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from actors.catalogue.hashing import HASH, hash_column, hashes_of, partition_of
from actors.catalogue.rows import PENDING, ROW
from actors.storage.commits import CommitRecord, DataFile, commit, put_data, read_commits
from actors.storage.manifests import Manifest
from actors.storage.objects import Store, new_attempt
from actors.storage.verified import read_verified

CATALOGUES = "catalogues"
"""The folder of the store."""


def write_partition(store: Store, unit: str, number: int, rows: np.ndarray) -> DataFile:
    """Store one partition of a catalogue. It counts once `commit_catalogue` names it."""
    rows = rows[np.argsort(rows["id"], kind="stable")]
    columns = {name: hash_column(rows[name]) if ROW[name] == HASH else pa.array(rows[name]) for name in ROW.names or ()}
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    return put_data(store, CATALOGUES, f"{unit}-{new_attempt()}.{number:05d}.arrow", sink.getvalue().to_pybytes())


def commit_catalogue(store: Store, unit: str, run: str, files: Sequence[DataFile], rows: int) -> CommitRecord:
    """Declare a catalogue complete. Returns the record that counts: equal versions have equal catalogues."""
    named = {f"{number:05d}": file for number, file in enumerate(files)}
    return commit(store, CATALOGUES, CommitRecord(unit, new_attempt(), named, {"rows": rows}, run, time.time(), 0.0))


def find_catalogue(store: Store, manifest: Manifest) -> CommitRecord | None:
    """The catalogue of a version, or none when it was never written."""
    try:
        return read_commits(store, CATALOGUES, [manifest.identity])[0]
    except FileNotFoundError:
        return None


def load_rows(store: Store, catalogue: CommitRecord, number: int, count: int) -> np.ndarray:
    """ROW rows of partition `number` of `count`, whatever number of partitions the catalogue was written in."""
    files = [catalogue.files[name] for name in sorted(catalogue.files)]
    first, last = number * len(files) // count, max(number * len(files) // count + 1, (number + 1) * len(files) // count)
    rows = np.concatenate([_read_rows(store, file) for file in files[first:last]])
    return rows if count <= len(files) else rows[partition_of(rows["id"], count) == number]


def settle_rows(rows: np.ndarray, located: np.ndarray, renumbered: np.ndarray) -> np.ndarray:
    """A partition's rows of the new version: old segment numbers become new ones, and what is in new segments gets its place there.

    `located`: LOCATED rows of all new segments that fall into the partition. `renumbered`: int32, new number of each old
    segment, PENDING for those that are built anew. A pending passage that is in no segment was rejected when it was embedded: its row goes.
    """
    rows = rows.copy()
    held = rows["segment"] >= 0
    rows["segment"][held] = renumbered[rows["segment"][held]]
    pending = np.flatnonzero(rows["segment"] == PENDING)
    located = located[np.argsort(located["id"], kind="stable")]
    places = np.searchsorted(located["id"], rows["id"][pending])
    found = places < len(located)
    found[found] = located["id"][places[found]] == rows["id"][pending[found]]
    for field in ("segment", "row"):
        rows[field][pending[found]] = located[field][places[found]]
    return np.delete(rows, pending[~found])


def _read_rows(store: Store, file: DataFile) -> np.ndarray:
    table = pa.ipc.open_file(pa.memory_map(str(read_verified(store, file)))).read_all()
    rows = np.empty(table.num_rows, ROW)
    for name in ROW.names or ():
        rows[name] = hashes_of(table[name]) if ROW[name] == HASH else table[name].to_numpy()
    return rows
