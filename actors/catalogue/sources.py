"""Input files in, what a version remembers of them out: URI, ETag and size, so that an unchanged file need not be read again.

A version names one small object with all its files. Two versions with the same files and mapping name the same object.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import zstandard

from actors.corpus.listing import SourceFile
from actors.corpus.planning import WorkUnit
from actors.storage.commits import DataFile
from actors.storage.objects import Store
from actors.storage.verified import read_verified

Source = tuple[str, str, int, bool]
"""URI, ETag, size in bytes, and whether it is part of a BEIR folder."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a version in corpus order (by URI), and the mapping that made passages of them."""

    mapping: str
    files: tuple[Source, ...]

    def positions(self) -> dict[str, int]:
        """URI -> place in corpus order: the file that comes first owns an id that several have."""
        return {file[0]: place for place, file in enumerate(self.files)}

    def encode(self) -> bytes:
        """Compressed JSON, the same bytes for the same files."""
        return zstandard.compress(json.dumps([self.mapping, self.files], separators=(",", ":")).encode())

    @staticmethod
    def decode(data: bytes) -> "Sources":
        """The inverse of `encode`."""
        mapping, files = json.loads(zstandard.decompress(data))
        return Sources(mapping, tuple((uri, etag, size, beir) for uri, etag, size, beir in files))


def source_of(file: SourceFile) -> Source:
    """What is remembered of a file."""
    return file.uri, file.etag, file.size, file.beir


def sources_of(units: Iterable[WorkUnit]) -> list[Source]:
    """The files that units read, each once."""
    return list(dict.fromkeys(source_of(part.file) for unit in units for part in unit.slices))


def changed_files(known: Sources, mapping: str, files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that have to be read: new ones, those of another ETag or size, and all of them under another mapping."""
    same = set(known.files) if known.mapping == mapping else set()
    return [file for file in files if source_of(file) not in same]


def sources_after(known: Sources, mapping: str, files: Sequence[SourceFile], upsert: bool) -> Sources:
    """The files of the version to be: those of a snapshot, or the known ones and those that are upserted into them."""
    if not upsert:
        return Sources(mapping, tuple(map(source_of, files)))
    fits = mapping == known.mapping or not known.files
    fresh = {file.uri: source_of(file) if fits else (file.uri, "", file.size, file.beir) for file in files}
    both = {**{source[0]: source for source in known.files}, **fresh}
    return Sources(known.mapping or mapping, tuple(both[uri] for uri in sorted(both)))


def moved_places(known: Sources, after: Sources, read: Collection[str]) -> list[int]:
    """For each known file its place in the new listing; -1 for what is gone, changed or `read` (URIs) now; and -1 once more at the end."""
    same, places = set(after.files), after.positions()
    return [places[source[0]] if source in same and source[0] not in read else -1 for source in known.files] + [-1]


def save_sources(store: Store, sources: Sources) -> DataFile:
    """Store the object under the name of its content."""
    data = sources.encode()
    digest = hashlib.sha256(data).hexdigest()
    file = DataFile(f"sources/{digest[:24]}.json.zst", len(data), digest)
    store.put(file.key, data)
    return file


def load_sources(store: Store, file: DataFile | None) -> Sources:
    """The files of a version; none where it remembers none, so that all are read."""
    return Sources("", ()) if file is None else Sources.decode(read_verified(store, file).read_bytes())
