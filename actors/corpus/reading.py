"""Work units in, checked passages out, one unit at a time. Holds one open file and one unit in memory, never more."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from actors.corpus.checking import UnitChecker
from actors.corpus.delimited import DelimitedReader
from actors.corpus.jsonl import JsonlReader
from actors.corpus.listing import SourceFile
from actors.corpus.mapping import ColumnMapping, resolve_mapping
from actors.corpus.parquet import ParquetReader
from actors.corpus.planning import Slice, WorkUnit, pass_over
from actors.corpus.prefetching import Prefetcher
from actors.corpus.records import BrokenFile, Row
from actors.corpus.schema import Passages
from actors.corpus.streams import Source
from actors.storage.access import explained
from configs.schema import InputConfig, S3Config


class Reader(Protocol):
    """What every format offers."""

    @property
    def position(self) -> int:
        """Number of the next row."""

    def rows(self, start: int, count: int, byte_start: int) -> Iterator[Row]:
        """Records start .. start+count-1, blank lines left out. Raises BrokenFile."""

    def close(self) -> None:
        """Closes the file."""


def read_units(
    units: Sequence[WorkUnit], spec: InputConfig, s3: S3Config, role: str = "corpus", apart: bool = False
) -> Iterator[tuple[WorkUnit, Passages]]:
    """Reads and checks the units in order, yielding each with its passages; `apart`, with its documents and their titles.

    A file that consecutive units share is opened once and read on. Raises UserError on a mapping that does not fit a file,
    on refused access, and on a broken file unless spec.broken_files is "reject"; storage failures propagate.
    """
    shelf = _OpenFile(spec, Prefetcher((part.file for unit in units for part in unit.slices), s3), role)
    try:
        for unit in units:
            checker = UnitChecker(spec.title_separator, apart)
            for part in unit.slices:
                with explained(part.file.uri, outages=False):
                    _read_slice(part, shelf, checker)
            yield unit, checker.finish()
    finally:
        shelf.close()
        shelf.prefetcher.close()


def _read_slice(part: Slice, shelf: "_OpenFile", checker: UnitChecker) -> None:
    uri = part.file.uri
    try:
        for row in shelf.reader(part).rows(part.start, part.rows, part.byte_start):
            checker.add(uri, row)
    except BrokenFile as broken:
        shelf.close()
        pass_over(uri, broken, shelf.spec.broken_files, shelf.role)
        first = max(broken.row, part.start)
        lost = part.start + part.rows - first
        amount = f"{lost} rows" if broken.rest_known else f"at least {lost} rows"
        checker.give_up(uri, first, f"file breaks at row {broken.row} ({amount} given up): {broken.why}")


class _OpenFile:
    """The one file that is open."""

    def __init__(self, spec: InputConfig, prefetcher: Prefetcher, role: str) -> None:
        self.spec, self.role, self.prefetcher = spec, role, prefetcher
        self._file: SourceFile | None = None
        self._reader: Reader | None = None

    def reader(self, part: Slice) -> Reader:
        """A reader that can reach the slice: the open one if it stands before it, else a new one."""
        reader = self._reader
        if reader is not None and self._file == part.file and (reader.position <= part.start or not part.sequential):
            return reader
        self.close()
        self._reader = self._open(part.file)
        self._file = part.file
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self._file = None

    def _open(self, file: SourceFile) -> Reader:
        source = self.prefetcher.open(file)
        mapping = resolve_mapping(self.spec, file, self.role)
        kinds: dict[str, Callable[[Source, SourceFile, ColumnMapping], Reader]] = {
            "parquet": ParquetReader,
            "jsonl": JsonlReader,
            "csv": DelimitedReader,
            "tsv": DelimitedReader,
        }
        try:
            return kinds[file.format](source, file, mapping)
        except BaseException:
            source.close()
            raise
