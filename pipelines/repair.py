"""A store in, its damaged units out: whatever a commit record vouches for is read, and a record that vouches for damage is withdrawn.

The next run, or re-index of the whole corpus, makes anew what they held and publishes a version of sound files. Nothing else is
touched. A record that goes or changes meanwhile is another run's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from actors.catalogue.verifying import verify_file
from actors.storage.commits import CommitRecord, read_commits, withdraw
from actors.storage.objects import Store, open_store
from configs.schema import Config
from pipelines.cluster import connected

_UNITS = 64  # units that one task reads


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was read, and what was found."""

    units: int
    files: int
    size: int
    """Bytes."""
    withdrawn: tuple[str, ...]
    """Keys of the records that are no more."""
    faults: tuple[str, ...]
    """A sentence for each damaged or missing file."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """One unit's folder and record, and what is wrong with its files."""

    folder: str
    record: CommitRecord
    faults: tuple[str, ...]


def repair(config: Config) -> Repaired:
    """Read every committed file of the store and withdraw the commit records of units with a damaged or missing one."""
    store = open_store(config.store, config.s3)
    keys = [item.key for item in store.list("") if "/commits/" in item.key]
    with connected(config.ray):
        check = ray.remote(_check).options(num_cpus=0.5, max_retries=config.ray.retries)
        parts: list[list[_Checked]] = ray.get([check.remote(store, keys[i : i + _UNITS]) for i in range(0, len(keys), _UNITS)])
    checked = [unit for part in parts for unit in part]
    bad = [unit for unit in checked if unit.faults and withdraw(store, unit.folder, unit.record)]
    files = [file for unit in checked for file in unit.record.files.values()]
    withdrawn = tuple(f"{unit.folder}/commits/{unit.record.unit}.json" for unit in bad)
    faults = tuple(fault for unit in bad for fault in unit.faults)
    return Repaired(len(checked), len(files), sum(file.size for file in files), withdrawn, faults)


def _check(store: Store, keys: Sequence[str]) -> list[_Checked]:
    return [checked for key in keys for checked in _check_unit(store, key)]


def _check_unit(store: Store, key: str) -> list[_Checked]:
    folder = key.rpartition("/commits/")[0]
    try:
        (record,) = read_commits(store, folder, [Path(key).stem])
    except FileNotFoundError:
        return []  # gc, or another repair, took it since it was listed
    return [_Checked(folder, record, tuple(fault for file in record.files.values() for fault in verify_file(store, file)))]
