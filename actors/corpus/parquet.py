"""Parquet in, records out: only the row groups and columns that are needed. Runs no code that a file names.

pyarrow rebuilds registered extension types while it opens a file, from bytes the file supplies; one of Ray's did so by
unpickling. So the stored Arrow schema is hidden from pyarrow, and looked at here with its extensions disarmed.
"""

import base64
import io
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.corpus.listing import SourceFile
from actors.corpus.mapping import ColumnMapping
from actors.corpus.records import BrokenFile, Row, Unreadable
from actors.corpus.streams import BREAKS, Source, broken
from configs.errors import UserError

BATCH_ROWS = 1024
_COLUMN_BUFFER = 4 << 20
_SCHEMA_KEY, _HIDDEN_KEY = b"ARROW:schema", b"ARROX:schema"
_EXTENSION_KEY, _DISARMED_KEY = b"ARROW:extension:name", b"ARROX:extension:name"


class ParquetReader:
    """Reads row ranges of one Parquet file. Raises BrokenFile where it breaks, UserError on a wrong column or type."""

    def __init__(self, source: Source, file: SourceFile, mapping: ColumnMapping) -> None:
        self.position = 0
        self._source = source
        self._mapping = mapping
        self._file = open_parquet(source)
        self._starts = row_group_starts(self._file)
        self._columns = list(dict.fromkeys(name for _, name in mapping.settings()))
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None
        _check_types(self._file, mapping)

    def rows(self, start: int, count: int, byte_start: int) -> Iterator[Row]:
        """Records start .. start+count-1. Reading on from the last call decodes nothing twice."""
        if start != self.position or self._rest is None:
            self._seek(start)
        while count > 0:
            batch = self._next_batch().slice(0, count)
            number = self.position
            self._keep(batch.num_rows)
            count -= batch.num_rows
            yield from self._decoded(number, batch)

    def close(self) -> None:
        """See the class."""
        self._source.close()

    def _seek(self, start: int) -> None:
        group = bisect_right(self._starts, start) - 1
        self.position = self._starts[group] if self._starts else 0
        self._rest = None
        self._batches = self._read_groups(max(group, 0))
        while self.position < start:
            self._keep(min(self._next_batch().num_rows, start - self.position))

    def _read_groups(self, first: int) -> Iterator[pa.RecordBatch]:
        for group in range(first, self._file.num_row_groups):
            yield from self._file.iter_batches(BATCH_ROWS, row_groups=[group], columns=self._columns, use_threads=False)

    def _next_batch(self) -> pa.RecordBatch:
        while self._rest is None or self._rest.num_rows == 0:
            try:
                self._rest = next(self._batches)
            except StopIteration:
                raise BrokenFile(self.position, "it ends there, but more rows were planned") from None
            except BREAKS as error:
                raise broken(self._source, self.position, error, rest_known=True) from error
        return self._rest

    def _keep(self, taken: int) -> None:
        assert self._rest is not None
        self._rest = self._rest.slice(taken)
        self.position += taken

    def _decoded(self, number: int, batch: pa.RecordBatch) -> Iterator[Row]:
        values = {name: _python_values(batch.column(name)) for name in self._columns}
        mapping = self._mapping
        for index in range(batch.num_rows):
            title = values[mapping.title][index] if mapping.title is not None else None
            metadata = {name: values[name][index] for name in mapping.metadata}
            yield Row(number + index, values[mapping.id][index], title, values[mapping.text][index], metadata)


def open_parquet(source: Source) -> pq.ParquetFile:
    """The file with no extension type alive in it. Raises BrokenFile on a damaged footer."""
    try:
        return pq.ParquetFile(
            _GuardedFooter(source),
            buffer_size=_COLUMN_BUFFER,
            pre_buffer=False,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
            coerce_int96_timestamp_unit="us",
        )
    except BREAKS as error:
        raise broken(source, 0, error) from error


def row_group_starts(file: pq.ParquetFile) -> list[int]:
    """Number of the first row of every row group."""
    starts, total = [], 0
    for group in range(file.num_row_groups):
        starts.append(total)
        total += file.metadata.row_group(group).num_rows
    return starts


class _GuardedFooter(io.RawIOBase):
    """A Parquet file whose footer is served with the key of the stored Arrow schema renamed, byte for byte as long."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        size = source.seek(0, io.SEEK_END)
        source.seek(max(size - 8, 0))
        length = int.from_bytes(source.read(8)[:4], "little") + 8
        self._start = max(size - length, 0)
        source.seek(self._start)
        self._footer = source.read(size - self._start).replace(_SCHEMA_KEY, _HIDDEN_KEY) if length <= size else b""
        source.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def read(self, size: int | None = -1) -> bytes:
        begin = self._source.tell()
        data = self._source.read(size)
        over = begin + len(data) - self._start
        if over <= 0 or not self._footer:
            return data
        if begin >= self._start:
            return self._footer[begin - self._start : over]
        return data[:-over] + self._footer[:over]


def _check_types(file: pq.ParquetFile, mapping: ColumnMapping) -> None:
    schema = file.schema_arrow
    mapping.require(schema.names)
    stored = _stored_schema(file)
    for field, name in mapping.settings():
        extension = _extension_name(stored.field(name)) if name in stored.names else None
        if extension:
            raise UserError(
                f"{mapping.uri} holds the extension type '{extension}' in column '{name}', which is not read: "
                f"store it as a plain type, or set {mapping.role}.columns.{field} to another column."
            )
        if field != "metadata" and not _fits(field, schema.field(name).type):
            raise mapping.wrong_type(field, str(schema.field(name).type), schema.names)


def _stored_schema(file: pq.ParquetFile) -> pa.Schema:
    """The Arrow schema that the writer left in the file; extensions appear as metadata of fields, not as types."""
    encoded = (file.metadata.metadata or {}).get(_HIDDEN_KEY)
    if encoded is None:
        return pa.schema([])
    try:
        disarmed = base64.b64decode(encoded).replace(_EXTENSION_KEY, _DISARMED_KEY)
        return pa.ipc.read_schema(pa.py_buffer(disarmed))
    except (ValueError, pa.ArrowInvalid, OSError) as error:
        raise BrokenFile(0, f"its stored Arrow schema is damaged ({type(error).__name__})") from error


def _extension_name(field: pa.Field) -> str | None:
    """Name of the extension type of a field or of any field inside it."""
    own = (field.metadata or {}).get(_DISARMED_KEY)
    if own is not None:
        return str(own.decode("utf-8", "replace"))
    inner = (_extension_name(field.type.field(index)) for index in range(field.type.num_fields))
    return next((name for name in inner if name), None)


def _fits(field: str, type_: pa.DataType) -> bool:
    plain = type_.value_type if pa.types.is_dictionary(type_) else type_
    text = pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_null(plain)
    return text or (field == "id" and pa.types.is_integer(plain))


def _python_values(column: pa.Array) -> list[Any]:
    """Python values; an Unreadable where a string's bytes are not UTF-8 or a date is none of Python's."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's own datetime has no nanoseconds.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        return [_python_value(value) for value in column]


def _python_value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return Unreadable.NOT_UTF8
    except (ValueError, OverflowError):
        return Unreadable.NO_VALUE
