"""A store in, what nothing names any more out: attempts that lost, and segments and templates no kept version has."""

import time
from collections.abc import Iterator
from pathlib import Path

from actors.storage.commits import CommitRecord, read_commits
from actors.storage.manifests import read_version, version_numbers
from actors.storage.objects import ObjectInfo, Store, open_store
from configs.schema import Config


def collect(config: Config, keep: int, grace_s: float, delete: bool) -> list[ObjectInfo]:
    """Find garbage older than the grace period and, when told, delete it. Commit records go before the files they name."""
    store = open_store(config.store, config.s3)
    limit = time.time() - grace_s
    found = [item for item in _garbage(store, keep, limit) if item.modified < limit]
    if delete:
        for item in sorted(found, key=lambda item: "/commits/" not in item.key):
            store.delete(item.key)
    return found


def _garbage(store: Store, keep: int, limit: float) -> Iterator[ObjectInfo]:
    kept = [read_version(store, number) for number in version_numbers(store)[-keep:]] if keep else []
    segments = {entry.segment for manifest in kept for entry in manifest.segments}
    templates = {manifest.index["template"]["key"] for manifest in kept}
    for folder in sorted(_stage_folders(store)):
        commits = {Path(item.key).stem: item for item in store.list(f"{folder}/commits/")}
        records = read_commits(store, folder, commits)
        # By the age of the record, not of its files: a record that stays never loses one.
        old = [record for record in records if commits[record.unit].modified < limit]
        gone = {record.unit for record in old if _is_dead(folder, record, segments, templates)}
        named = {file.key for record in records if record.unit not in gone for file in record.files.values()}
        for item in store.list(f"{folder}/data/"):
            if item.key not in named:
                yield item
        yield from (item for unit, item in commits.items() if unit in gone)


def _is_dead(folder: str, record: CommitRecord, segments: set[str], templates: set[str]) -> bool:
    if folder == "segments":
        return record.unit not in segments
    if folder == "quantizers":
        return record.files["template"].key not in templates
    return False


def _stage_folders(store: Store) -> set[str]:
    return {item.key.rpartition("/data/")[0] for item in store.list("") if "/data/" in item.key}
