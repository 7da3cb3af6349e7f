"""A store in, what nothing names any more out: attempts that lost, and whatever only versions have that are not kept.

Kept are the newest versions, each that was the newest within the grace period, and each that somebody reads: a search finishes.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from actors.catalogue.partitions import CATALOGUES
from actors.storage.commits import CommitRecord, read_commits
from actors.storage.leases import LEASES
from actors.storage.manifests import Manifest, read_version
from actors.storage.objects import ObjectInfo, Store, new_attempt, open_store
from actors.storage.pins import PIN_S, PINS, pinned_versions
from actors.term_counter import STATISTICS, statistics_unit
from configs.errors import UserError
from configs.schema import Config

_AT_ONCE = 500  # deletions between two looks at who reads what
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(text: str) -> float:
    """Seconds of 90s, 30m, 48h, 7d; a bare number is hours. Raises UserError on anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not match:
        raise UserError(f"{text} is not a duration: write 90s, 30m, 48h or 7d.")
    return float(match.group(1)) * _UNITS[match.group(2) or "h"]


def collect(config: Config, keep: int, grace_s: float, delete: bool) -> list[ObjectInfo]:
    """Find garbage older than the grace period and, when told, delete it. Commit records go before the files they name.

    A reader that comes meanwhile and pins an old version keeps what is not deleted yet, and a part of a version answers nobody: that
    reader looks for all of its files first. One that looked within the same few hundred deletions fails, with a sentence.
    """
    store, gone = open_store(config.store, config.s3), list[ObjectInfo]()
    while True:
        now = _store_time(store)
        limit, kept = now - grace_s, _kept_versions(store, keep, pinned_versions(store, now), now - grace_s)
        numbers = {manifest.version for manifest in kept}
        found = sorted(
            (item for item in _garbage(store, kept, limit) if item.modified < limit), key=lambda item: "/commits/" not in item.key
        )
        if not delete:
            return found
        for at in range(0, len(found), _AT_ONCE):
            if not pinned_versions(store, now) <= numbers:
                break
            some = found[at : at + _AT_ONCE]
            for item in some:
                store.delete(item.key)
            gone += some
        else:
            return gone


def _store_time(store: Store) -> float:
    """Now, by the clock that dates the store's objects: this machine's may be days ahead of it."""
    key = f"{LEASES}/clock-{new_attempt()}"
    store.put(key, b"")
    (item,) = [item for item in store.list(f"{LEASES}/") if item.key == key]
    store.delete(key)
    return item.modified


def _garbage(store: Store, kept: Sequence[Manifest], limit: float) -> Iterator[ObjectInfo]:
    needed = {
        "segments": {entry.segment for manifest in kept for entry in manifest.segments},
        "quantizers": {manifest.index["template"]["key"] for manifest in kept},
        CATALOGUES: {manifest.identity for manifest in kept},
        STATISTICS: {statistics_unit(manifest) for manifest in kept},
    }
    of_versions = {file.key for manifest in kept for entry in manifest.segments for file in entry.files.values()}
    of_versions |= needed["quantizers"]  # a repair may have withdrawn their records
    sources = {manifest.sources.key for manifest in kept if manifest.sources}
    yield from (item for item in store.list("sources/") if item.key not in sources)
    yield from store.list(f"{LEASES}/")
    yield from (item for item in store.list(f"{PINS}/") if item.modified < limit - PIN_S)
    for folder in sorted(_stage_folders(store)):
        commits = {Path(item.key).stem: item for item in store.list(f"{folder}/commits/")}
        records = read_commits(store, folder, commits)
        # By the age of the record, not of its files: a record that stays never loses one.
        old = [record for record in records if commits[record.unit].modified < limit]
        gone = {record.unit for record in old if folder in needed and not _names(record) & needed[folder]}
        named = of_versions | {file.key for record in records if record.unit not in gone for file in record.files.values()}
        for item in store.list(f"{folder}/data/"):
            if item.key not in named:
                yield item
        yield from (item for unit, item in commits.items() if unit in gone)


def _kept_versions(store: Store, keep: int, pinned: Collection[int], limit: float) -> list[Manifest]:
    """The newest `keep`, those that were the newest at any time since `limit`, and those that are read."""
    published = {int(Path(item.key).stem): item.modified for item in store.list("versions/") if Path(item.key).stem.isdecimal()}
    numbers = sorted(published)
    recent = [number for number, following in pairwise(numbers) if published[following] >= limit]
    return [read_version(store, number) for number in sorted({*numbers[-keep:], *recent, *(published.keys() & set(pinned))})]


def _names(record: CommitRecord) -> set[str]:
    """What a version calls a unit by: its name, or its template's file."""
    return {record.unit, *(file.key for name, file in record.files.items() if name == "template")}


def _stage_folders(store: Store) -> set[str]:
    return {item.key.rpartition("/data/")[0] for item in store.list("") if "/data/" in item.key}
