"""Source files in, work units out. A unit's id depends on what it reads and how, never on the order in which files arrive."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal

from actors.corpus.delimited import count_records
from actors.corpus.jsonl import count_lines
from actors.corpus.listing import SourceFile
from actors.corpus.parquet import open_parquet, row_group_starts
from actors.corpus.prefetching import Prefetcher
from actors.corpus.records import BrokenFile, StaleFile
from actors.corpus.streams import Source, open_source
from actors.storage.access import explained
from configs.errors import UserError
from configs.schema import InputConfig, S3Config

_BIG_GROUP = 8
"""A Parquet row group of more than this many units is read in one pass: each unit alone would decode it from its start."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """How many records a file has and where to enter it."""

    file: SourceFile
    rows: int
    """Records; for JSON Lines physical lines, blank ones counted."""
    offsets: tuple[int, ...]
    """Uncompressed JSON Lines: byte offset of rows 0, stride, 2 stride ...; else empty."""
    stride: int
    row_groups: tuple[int, ...] = ()
    """Parquet: number of the first row of every row group; else empty."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows start .. start+rows-1 of one file."""

    file: SourceFile
    start: int
    rows: int
    byte_start: int
    """Byte offset of the first row; -1 if unknown."""
    row_group: int = -1
    """The large Parquet row group in which the slice starts; -1 for none."""

    @property
    def sequential(self) -> bool:
        """Whether the file has to be read from its beginning to reach this slice."""
        unknown_place = self.file.format == "jsonl" and self.start > 0 and self.byte_start < 0
        return self.file.format in ("csv", "tsv") or bool(self.file.compression) or unknown_place


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """The grain of progress: some slices, read and committed together."""

    unit_id: str
    """24 hex digits."""
    slices: tuple[Slice, ...]

    @property
    def rows(self) -> int:
        """Rows planned, blank lines counted."""
        return sum(part.rows for part in self.slices)

    def to_json(self) -> str:
        """The unit as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "WorkUnit":
        """The unit of `to_json`'s text."""
        data = json.loads(text)
        slices = tuple(Slice(**{**part, "file": SourceFile(**part["file"])}) for part in data["slices"])
        return WorkUnit(data["unit_id"], slices)


def count_all(
    files: Sequence[SourceFile], s3: S3Config, stride: int, broken_files: Literal["stop", "reject"] = "stop", role: str = "corpus"
) -> list[FileRows]:
    """count_rows of many files."""
    prefetcher = Prefetcher((file for file in files if file.format != "parquet"), s3)
    try:
        return [count_rows(file, s3, stride, broken_files, role, prefetcher.open) for file in files]
    finally:
        prefetcher.close()


def count_rows(
    file: SourceFile,
    s3: S3Config,
    stride: int,
    broken_files: Literal["stop", "reject"] = "stop",
    role: str = "corpus",
    opener: Callable[[SourceFile], Source] | None = None,
) -> FileRows:
    """Counts a file's records: Parquet by its footer, all else in one streamed pass.

    A broken file raises UserError naming it and the row; with broken_files="reject" its rows up to the break count, plus
    one that stands for the rest, so that reading meets the break and reports it.
    """
    offsets: list[int] = []
    with explained(file.uri):
        try:
            source = opener(file) if opener else open_source(file, s3)
            try:
                return _count(file, source, stride, offsets)
            finally:
                source.close()
        except BrokenFile as broken:
            pass_over(file.uri, broken, broken_files, role)
            return FileRows(file, broken.row + 1, tuple(offsets), stride)


def pass_over(uri: str, broken: BrokenFile, broken_files: Literal["stop", "reject"], role: str) -> None:
    """Raise UserError, which names the file and the row, unless the config passes over broken files.

    A file that was replaced or removed since it was listed always stops: a re-index would take its passages for deleted.
    """
    if isinstance(broken, StaleFile):
        raise UserError(f"{uri}: {broken.why}: {broken.remedy}.") from broken
    if broken_files == "stop":
        raise UserError(f"{uri} breaks at row {broken.row}: {broken.why}: {broken.remedy}, or set {role}.broken_files: reject") from broken


def mapping_salt(spec: InputConfig) -> str:
    """Canonical JSON of what turns the same bytes into other passages: part of every unit's id."""
    chosen = spec.model_dump(mode="json", include={"columns", "title_separator", "format", "broken_files"})
    return json.dumps(chosen, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def plan_units(files: Sequence[FileRows], unit_rows: int, salt: str) -> list[WorkUnit]:
    """Units of at most `unit_rows` rows, in the order of the files: big files cut, small ones packed together.

    Cuts lie at multiples of `unit_rows` in the file, so a file's full slices keep their ids whatever its neighbours are.
    """
    units: list[WorkUnit] = []
    pack: list[Slice] = []
    packed = 0
    for part in (part for file in files for part in _cut(file, unit_rows)):
        if packed + part.rows > unit_rows:
            units.append(_unit(pack, salt))
            pack, packed = [], 0
        pack.append(part)
        packed += part.rows
    if pack:
        units.append(_unit(pack, salt))
    return units


def group_for_reading(units: Sequence[WorkUnit]) -> list[tuple[WorkUnit, ...]]:
    """Consecutive units that share a file which has to be read in one pass, together; every other unit alone."""
    groups: list[list[WorkUnit]] = []
    for unit in units:
        if groups and _read_on(groups[-1][-1].slices[-1], unit.slices[0]):
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return [tuple(group) for group in groups]


def _count(file: SourceFile, source: Source, stride: int, offsets: list[int]) -> FileRows:
    if file.format == "parquet":
        parquet = open_parquet(source)
        return FileRows(file, parquet.metadata.num_rows, (), stride, tuple(row_group_starts(parquet)))
    if file.format != "jsonl":
        return FileRows(file, count_records(source, file), (), stride)
    lines = 0
    for lines, offset in count_lines(source, file, stride):
        if not file.compression and lines % stride == 0 and len(offsets) == lines // stride:
            offsets.append(offset)
    return FileRows(file, lines, tuple(offsets), stride)


def _cut(counted: FileRows, unit_rows: int) -> Iterator[Slice]:
    for start in range(0, counted.rows, unit_rows):
        rows = min(unit_rows, counted.rows - start)
        place, rest = divmod(start, counted.stride)
        byte_start = counted.offsets[place] if rest == 0 and place < len(counted.offsets) else -1
        yield Slice(counted.file, start, rows, byte_start, _big_group(counted, start, unit_rows))


def _big_group(counted: FileRows, start: int, unit_rows: int) -> int:
    if not counted.row_groups:
        return -1
    group = bisect_right(counted.row_groups, start) - 1
    end = (*counted.row_groups, counted.rows)[group + 1]
    return group if end - counted.row_groups[group] > _BIG_GROUP * unit_rows else -1


def _unit(slices: Sequence[Slice], salt: str) -> WorkUnit:
    reads = [[part.file.uri, part.file.etag, part.start, part.rows, part.file.beir] for part in slices]
    canonical = json.dumps([salt, reads], ensure_ascii=True, separators=(",", ":"))
    return WorkUnit(sha256(canonical.encode()).hexdigest()[:24], tuple(slices))


def _read_on(last: Slice, following: Slice) -> bool:
    if last.file.uri != following.file.uri:
        return False
    return following.sequential or (following.row_group >= 0 and following.row_group == last.row_group)
