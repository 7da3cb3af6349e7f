"""CSV and TSV in, records out. A row is a record after the header: quoted fields may span lines, empty lines keep a number.

TSV differs by its delimiter alone; both know quotes. What a strict parser refuses is a rejected row, never a guess; a quote that
is not closed breaks the file.
"""

import csv
import io
from collections.abc import Iterator

from actors.corpus.listing import SourceFile
from actors.corpus.mapping import ColumnMapping
from actors.corpus.records import BrokenFile, Row, Unreadable
from actors.corpus.streams import BREAKS, Source, broken, decompressed

FIELD_LIMIT = 1 << 26
"""Characters of one field at most (64 Mi); past it the row is rejected, so an open quote cannot swallow all memory."""


class DelimitedRecords:
    """The header and the records of one CSV or TSV file, each record once, in order."""

    def __init__(self, source: Source, file: SourceFile) -> None:
        # The limit is global in the csv module, and its default of 128 Ki characters is shorter than many documents.
        csv.field_size_limit(FIELD_LIMIT)
        self.position = -1
        self._source = source
        # Undecodable bytes are kept as lone surrogates, so that they cost one row and not the file.
        text = io.TextIOWrapper(decompressed(source, file.compression), encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._reader = csv.reader(text, delimiter="\t" if file.format == "tsv" else ",", strict=True)
        header = self.next_record()
        if isinstance(header, str):
            raise BrokenFile(0, f"its header is {header}")
        self.header = header or []

    def next_record(self) -> list[str] | str | None:
        """The next record's fields ([] for an empty line), the reason why it cannot be parsed, or None at the end."""
        try:
            record: list[str] | str = next(self._reader)
        except StopIteration:
            return None
        except csv.Error as error:
            if str(error) == "unexpected end of data":  # all lines up to the end stand in the one field: not one bad row
                raise BrokenFile(max(self.position, 0), "a quote is opened in that record and never closed", rest_known=False) from error
            record = f"not CSV: {error}"
        except BREAKS as error:
            raise broken(self._source, max(self.position, 0), error) from error
        self.position += 1
        return record


class DelimitedReader:
    """Reads row ranges of one CSV or TSV file, forwards. Raises BrokenFile where it breaks, UserError on a wrong header."""

    def __init__(self, source: Source, file: SourceFile, mapping: ColumnMapping) -> None:
        self._source = source
        self._records = DelimitedRecords(source, file)
        self._mapping = mapping
        header = self._records.header
        mapping.require(header)
        self._places = {name: header.index(name) for _, name in mapping.settings()}

    @property
    def position(self) -> int:
        """See the class."""
        return self._records.position

    def rows(self, start: int, count: int, byte_start: int) -> Iterator[Row]:
        """Records start .. start+count-1; `byte_start` means nothing here, since quotes may span lines."""
        while self.position < start:
            self._next()
        for number in range(start, start + count):
            record = self._next()
            if record:
                yield self._row(number, record)

    def close(self) -> None:
        """See the class."""
        self._source.close()

    def _next(self) -> list[str] | str:
        record = self._records.next_record()
        if record is None:
            raise BrokenFile(self.position, "it ends there, but more rows were planned")
        return record

    def _row(self, number: int, record: list[str] | str) -> Row:
        if isinstance(record, str):
            return Row(number, problem=record)
        if len(record) != len(self._records.header):
            return Row(number, problem="wrong number of fields")
        values = {name: _value(record[place]) for name, place in self._places.items()}
        mapping = self._mapping
        title = values[mapping.title] if mapping.title is not None else None
        return Row(number, values[mapping.id], title, values[mapping.text], {name: values[name] for name in mapping.metadata})


def count_records(source: Source, file: SourceFile) -> int:
    """Records after the header, streamed. Raises BrokenFile with the number of whole records before the break."""
    records = DelimitedRecords(source, file)
    while records.next_record() is not None:
        pass
    return max(records.position, 0)


def _value(field: str) -> str | Unreadable:
    return field if field.isascii() or field.encode("utf-8", "ignore").decode() == field else Unreadable.NOT_UTF8
