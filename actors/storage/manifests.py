"""Versions of the index: immutable manifests, numbered, each put-if-absent. The newest is the highest number."""

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.storage.commits import DataFile
from actors.storage.fingerprints import canonical_json, fingerprint
from actors.storage.objects import Store
from configs.errors import UserError


class Superseded(UserError):
    """Another run published the version that this one wanted to publish."""


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment as a version names it: its record's facts and its files."""

    segment: str
    rows: int
    files: dict[str, DataFile]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version: segments in order, deleted rows per segment, and what made them."""

    version: int
    embedding: dict[str, Any]
    index: dict[str, Any]
    segments: tuple[SegmentEntry, ...]
    deletions: dict[str, list[int]]
    parent: int
    run: str
    created: float
    nonce: str
    action: str = "index"
    """What made it: index (the whole corpus at once) or reindex (from its parent); a rollback keeps that of the version it equals."""
    sources: DataFile | None = None
    """The input files it was made from (see actors.catalogue.sources); none in versions that do not remember them."""
    quality: dict[str, float] = field(default_factory=dict)
    """What the quality gate measured before it was published."""

    @property
    def identity(self) -> str:
        """Identity of what the version holds, of the files that hold it and of the input it stands for: equal ones need no new version.

        A segment that was built again has other files, and a version that names the old ones would not see them.
        """
        files = sorted(file.key for entry in self.segments for file in entry.files.values())
        return fingerprint([self.content, self.sources.sha256 if self.sources else None, files, self.index["template"]["key"]])

    @property
    def content(self) -> str:
        """Identity of what the version holds, whatever its number: equal content answers every query alike."""
        return fingerprint([self.embedding["fingerprint"], self.index["plan"], [s.segment for s in self.segments], self.deletions])

    @property
    def rows(self) -> int:
        """Live passages."""
        return sum(s.rows for s in self.segments) - sum(map(len, self.deletions.values()))

    def encode(self) -> bytes:
        """The manifest as JSON."""
        return canonical_json(asdict(self)).encode()

    @staticmethod
    def decode(data: bytes) -> "Manifest":
        """A manifest from its JSON."""
        plain = json.loads(data)
        segments = tuple(SegmentEntry(**{**s, "files": {n: DataFile(**f) for n, f in s["files"].items()}}) for s in plain["segments"])
        sources = DataFile(**plain["sources"]) if plain.get("sources") else None
        return Manifest(**{**plain, "segments": segments, "sources": sources})


def version_numbers(store: Store) -> list[int]:
    """All published numbers, ascending. Whatever else lies there (folder markers, notes) is passed over."""
    names = (Path(item.key) for item in store.list("versions/"))
    return sorted(int(name.stem) for name in names if name.suffix == ".json" and name.stem.isdecimal())


def read_version(store: Store, number: int) -> Manifest:
    """One version. Raises UserError when there is none of that number."""
    try:
        return Manifest.decode(store.get(_key(number)))
    except FileNotFoundError:
        known = version_numbers(store)
        raise UserError(f"{store.uri} has no version {number}; it has {known or 'none yet: run `raytrieve index` first'}.") from None


def newest_version(store: Store) -> Manifest | None:
    """The version of the highest number, or none."""
    numbers = version_numbers(store)
    return read_version(store, numbers[-1]) if numbers else None


def newest_number(store: Store) -> int:
    """The highest number, 0 when there is none."""
    return max(version_numbers(store), default=0)


def publish(store: Store, draft: Manifest, base: int | None = None) -> Manifest:
    """Make a draft the next version, unless the newest one already holds the same.

    `base` is the version that the draft starts from or whose input it has seen; none takes the newest. Raises Superseded
    when another run published in between: nothing is overwritten, and running again starts from there.
    """
    newest = newest_version(store)
    if newest is not None and newest.identity == draft.identity:
        return newest
    parent = base if base is not None else newest.version if newest else 0
    stamped = replace(draft, version=parent + 1, parent=parent, created=time.time(), nonce=secrets.token_hex(8))
    if store.put_if_absent(_key(stamped.version), stamped.encode()):
        return stamped
    winner = read_version(store, stamped.version)
    if winner.identity == draft.identity:
        return winner
    raise Superseded(
        f"Another run ({winner.run}) published version {winner.version} first: run again, and this run's work is taken up from there."
    )


def require_files(store: Store, version: Manifest) -> None:
    """Raise UserError when files that a version names are gone: gc keeps those of its newest versions only."""
    named = {file.key for entry in version.segments for file in entry.files.values()} | {version.index["template"]["key"]}
    gone = named - {item.key for folder in ("segments/data/", "quantizers/data/") for item in store.list(folder)}
    if gone:
        raise UserError(
            f"Version {version.version} can no longer be used: {len(gone)} of its {len(named)} files were removed from {store.uri}, "
            f"by gc or by hand (such as {min(gone)}). Take another version: `raytrieve versions list` shows them."
            if version.version
            else f"The new version was not published: {len(gone)} of its {len(named)} files were removed from {store.uri} meanwhile, by gc "
            f"or by hand (such as {min(gone)}). Run again: they are made anew."
        )


def _key(number: int) -> str:
    return f"versions/{number:08d}.json"
