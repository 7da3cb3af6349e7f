"""Commit records: the only sign that a unit of work is done.

A stage's folder holds `data/<unit>-<attempt>...` (unique names, never overwritten), `attempts/<unit>-<attempt>...json`
(written when a worker begins, so that a record that kills its worker can be found) and `commits/<unit>.json` (written
last, put-if-absent: the first attempt wins and names its files). Readers trust commits alone. A record whose files turned out
damaged is moved to `withdrawn/<unit>-<attempt>.json`: the unit is then computed again, and what the record tells is still known.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.storage.fingerprints import canonical_json
from actors.storage.objects import Store, sha256_file

_WITHDRAWN = "withdrawn"
_READERS = 32  # parallel small reads; S3 answers one in about 20 ms


@dataclass(frozen=True, slots=True)
class DataFile:
    """A stored file that a record vouches for."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What one finished unit says of itself. `counts` are summed into reports: rows, tokens, rejected, seconds ..."""

    unit: str
    attempt: str
    files: dict[str, DataFile]
    counts: dict[str, float]
    run: str
    started: float
    finished: float
    details: dict[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The record as JSON."""
        return canonical_json(asdict(self)).encode()

    @staticmethod
    def decode(data: bytes) -> "CommitRecord":
        """A record from its JSON."""
        plain = json.loads(data)
        return CommitRecord(**{**plain, "files": {name: DataFile(**entry) for name, entry in plain["files"].items()}})


def begin(store: Store, folder: str, unit: str, run: str, attempt: str, by: str) -> None:
    """Note that a worker of a class starts to compute a unit, before anything in it can kill it. Each call is noted: Ray may repeat one."""
    note = {"unit": unit, "attempt": attempt, "by": by, "run": run, "started": time.time()}
    store.put(f"{folder}/attempts/{unit}-{attempt}.{secrets.token_hex(4)}.json", canonical_json(note).encode())


def attempts(store: Store, folder: str) -> list[tuple[str, str]]:
    """(unit, attempt) of every attempt ever begun in a folder, as often as it was."""
    names = (Path(item.key).stem.rpartition("-") for item in store.list(f"{folder}/attempts/"))
    return [(unit, rest.partition(".")[0]) for unit, _, rest in names]


def put_data(store: Store, folder: str, name: str, data: bytes) -> DataFile:
    """Store a unit's data file under a unique name (`<unit>-<attempt>.<kind>`)."""
    key = f"{folder}/data/{name}"
    store.put(key, data)
    return DataFile(key, len(data), hashlib.sha256(data).hexdigest())


def upload_data(store: Store, folder: str, name: str, path: Path) -> DataFile:
    """As put_data, from a local file, which is gone afterwards."""
    key = f"{folder}/data/{name}"
    entry = DataFile(key, path.stat().st_size, sha256_file(path))
    store.upload(path, key)
    return entry


def commit(store: Store, folder: str, record: CommitRecord) -> CommitRecord:
    """Declare a unit done. Returns the record that counts: ours, or that of the attempt that came first."""
    stamped = replace(record, finished=time.time())
    key = f"{folder}/commits/{record.unit}.json"
    return stamped if store.put_if_absent(key, stamped.encode()) else CommitRecord.decode(store.get(key))


def withdraw(store: Store, folder: str, record: CommitRecord) -> bool:
    """Take a record back, so that its unit is computed again. False when another attempt has been committed since it was read."""
    key = f"{folder}/commits/{record.unit}.json"
    store.put(f"{folder}/{_WITHDRAWN}/{record.unit}-{record.attempt}.json", record.encode())
    try:
        same = CommitRecord.decode(store.get(key)).attempt == record.attempt
    except FileNotFoundError:
        return False
    if same:
        store.delete(key)
    return same


def read_withdrawn(store: Store, folder: str) -> dict[str, CommitRecord]:
    """The last record that was withdrawn of each unit that has one."""
    return {record.unit: record for record in all_withdrawn(store, folder)}


def all_withdrawn(store: Store, folder: str) -> list[CommitRecord]:
    """Every record that was ever withdrawn, the oldest first."""
    found = sorted(store.list(f"{folder}/{_WITHDRAWN}/"), key=lambda item: item.modified)
    return [CommitRecord.decode(store.get(item.key)) for item in found]


def committed_units(store: Store, folder: str) -> set[str]:
    """Names of the units that are done, by one listing."""
    return {Path(item.key).stem for item in store.list(f"{folder}/commits/")}


def read_commits(store: Store, folder: str, units: Iterable[str]) -> list[CommitRecord]:
    """The records of the given units, in their order. A missing one raises FileNotFoundError."""
    keys = [f"{folder}/commits/{unit}.json" for unit in units]
    with ThreadPoolExecutor(_READERS) as pool:
        return [CommitRecord.decode(data) for data in pool.map(store.get, keys)]
