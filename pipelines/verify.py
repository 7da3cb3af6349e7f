"""A version in, everything that is wrong with it out: every file re-read, every row counted, every passage as the catalogue has it."""

from dataclasses import dataclass

import numpy as np
import ray

from actors.catalogue.hashing import partition_count, split_rows
from actors.catalogue.partitions import find_catalogue, load_rows
from actors.catalogue.rows import ROW
from actors.catalogue.verifying import compare_rows, verify_file, verify_segment
from actors.index.kinds import IndexPlan
from actors.opening import PassageSource
from actors.storage.commits import CommitRecord, DataFile, committed_units, read_commits
from actors.storage.manifests import Manifest, SegmentEntry, newest_version, read_version
from actors.storage.objects import Store, open_store
from actors.storage.pins import pinned
from actors.term_counter import STATISTICS, statistics_unit
from configs.errors import UserError
from configs.schema import Config
from pipelines.cataloguing import as_list
from pipelines.cluster import connected


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read of a version, and its faults, a sentence each."""

    version: int
    passages: int
    files: int
    size: int
    """Bytes."""
    faults: tuple[str, ...]


def verify(config: Config, number: int | None = None) -> Verified:
    """Read a version (the newest by default) from end to end."""
    store = open_store(config.store, config.s3)
    version = newest_version(store) if number is None else read_version(store, number)
    if version is None:
        raise UserError(f"{store.uri} has no version yet: run `raytrieve index` with this config first.")
    catalogue = find_catalogue(store, version)
    with pinned(store, version.version), connected(config.ray):
        return _verify(store, version, catalogue, config.ray.retries)


def _verify(store: Store, version: Manifest, catalogue: CommitRecord | None, retries: int) -> Verified:
    options = {"num_cpus": 0.5, "max_retries": retries}
    beside = [DataFile(**version.index["template"]), *([version.sources] if version.sources else [])]
    beside += catalogue.files.values() if catalogue else []
    beside += _statistics(store, version)
    file_task = ray.remote(verify_file).options(**options)
    faults = [fault for found in ray.get([file_task.remote(store, file) for file in beside]) for fault in found]
    parts = partition_count(version.rows)
    segment_task = ray.remote(_segment).options(num_returns=parts + 1, **options)
    results = [as_list(segment_task.remote(store, version, number, parts)) for number in range(len(version.segments))]
    found = ray.get([result[-1] for result in results])
    faults += [fault for one, _ in found for fault in one]
    if not faults:  # whatever is missing or damaged would show as missing ids too
        live = sum(rows for _, rows in found)
        faults += [] if live == version.rows else [f"{live} passages are in the segments, the version says {version.rows}."]
        rows_task = ray.remote(_rows).options(**options)
        checks = [rows_task.remote(store, version, catalogue, part, parts, *(result[part] for result in results)) for part in range(parts)]
        faults += [fault for found in ray.get(checks) for fault in found]
    named = [*beside, *(file for entry in version.segments for file in entry.files.values())]
    return Verified(version.version, version.rows, len(named), sum(file.size for file in named), tuple(faults))


def _statistics(store: Store, version: Manifest) -> list[DataFile]:
    """BM25's, where some search has made them."""
    unit = statistics_unit(version)
    made = unit in committed_units(store, STATISTICS)
    return list(read_commits(store, STATISTICS, [unit])[0].files.values()) if made else []


def _segment(store: Store, version: Manifest, number: int, parts: int) -> tuple[object, ...]:
    entry: SegmentEntry = version.segments[number]
    deleted, plan = version.deletions.get(entry.segment, []), IndexPlan(**version.index["plan"])
    found = verify_segment(store, entry, number, deleted, plan, version.embedding["normalize"])
    return *split_rows(found.rows, parts), (found.faults, len(found.rows))


def _rows(store: Store, version: Manifest, catalogue: CommitRecord | None, part: int, parts: int, *found: np.ndarray) -> list[str]:
    source = PassageSource(store, version.segments)

    def name(row: np.void) -> str:
        return str(source.take([int(row["segment"])], [int(row["row"])], ["id"])["id"][0])

    catalogued = load_rows(store, catalogue, part, parts) if catalogue else None
    return compare_rows(np.concatenate([np.zeros(0, ROW), *found]), catalogued, name)
