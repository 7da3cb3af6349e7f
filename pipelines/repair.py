"""A store in, its damaged units out: whatever a commit record vouches for is read, and a record that vouches for damage is withdrawn.

The next run computes those units again, under the names they had, and publishes a version of sound files. Nothing else is touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

from actors.catalogue.verifying import verify_file
from actors.storage.commits import read_commits
from actors.storage.objects import Store, open_store
from configs.schema import Config
from pipelines.cluster import connected

_UNITS = 64  # units that one task reads


@dataclass(frozen=True, slots=True)
class Checked:
    """What was read of some units, and what was found: the keys of the records that vouch for damage, and a sentence for each fault."""

    units: int
    files: int
    size: int
    """Bytes."""
    records: tuple[str, ...]
    faults: tuple[str, ...]


def repair(config: Config) -> Checked:
    """Read every committed file of the store and withdraw the commit records of units with a damaged or missing one."""
    store = open_store(config.store, config.s3)
    keys = [item.key for item in store.list("") if "/commits/" in item.key]
    with connected(config.ray):
        check = ray.remote(_check).options(num_cpus=0.5, max_retries=config.ray.retries)
        parts: list[Checked] = ray.get([check.remote(store, keys[i : i + _UNITS]) for i in range(0, len(keys), _UNITS)])
    found = _together(parts)
    for key in found.records:
        store.delete(key)
    return found


def _check(store: Store, keys: Sequence[str]) -> Checked:
    return _together([_check_unit(store, key) for key in keys])


def _check_unit(store: Store, key: str) -> Checked:
    (record,) = read_commits(store, key.rpartition("/commits/")[0], [Path(key).stem])
    faults = tuple(fault for file in record.files.values() for fault in verify_file(store, file))
    return Checked(1, len(record.files), sum(file.size for file in record.files.values()), (key,) if faults else (), faults)


def _together(parts: Sequence[Checked]) -> Checked:
    return Checked(
        sum(part.units for part in parts),
        sum(part.files for part in parts),
        sum(part.size for part in parts),
        tuple(record for part in parts for record in part.records),
        tuple(fault for part in parts for fault in part.faults),
    )
