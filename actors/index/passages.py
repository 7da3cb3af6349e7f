"""An Arrow IPC file on disk in; rows of it by number out. The file stays on disk: only the rows asked for are copied."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa


class PassageFile:
    """The memory-mapped passages of a segment, row-aligned with its vectors."""

    def __init__(self, path: Path) -> None:
        """Maps `path`. Raises ValueError when the file is cut off or no Arrow IPC file."""
        try:
            self._map = pa.memory_map(str(path), "r")
            self._reader = pa.ipc.open_file(self._map)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        # Uncompressed batches are views of the map: holding them costs no memory but their headers.
        self._batches = [self._reader.get_batch(number) for number in range(self._reader.num_record_batches)]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def schema(self) -> pa.Schema:
        """Columns and their types."""
        return self._reader.schema

    def take(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """The `columns` of `rows` (int [m], repeats allowed), in the order asked. Raises IndexError on a row that is not there."""
        rows = np.asarray(rows, dtype=np.int64)
        schema = pa.schema([self.schema.field(name) for name in columns])
        if not len(rows):
            return schema.empty_table()
        if rows.min() < 0 or rows.max() >= len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} are asked of {len(self)} passages")
        order = np.argsort(rows, kind="stable")
        pieces = self._ascending(rows[order], columns)
        back = np.empty(len(rows), dtype=np.int64)
        back[order] = np.arange(len(rows))
        return pa.Table.from_batches(pieces, schema).combine_chunks().take(pa.array(back))

    def column(self, name: str) -> Iterator[pa.Array]:
        """A whole column, batch by batch, without a copy."""
        return (batch.column(name) for batch in self._batches)

    def cells(self, rows: np.ndarray, column: str) -> list[pa.Buffer]:
        """The bytes of a binary column's cells in the order asked, as views of the file."""
        rows = np.asarray(rows, dtype=np.int64)
        numbers = np.searchsorted(self._ends, rows, side="right")
        firsts = self._ends - [batch.num_rows for batch in self._batches]
        return [
            self._batches[number].column(column)[int(row - firsts[number])].as_buffer() for number, row in zip(numbers, rows, strict=True)
        ]

    def _ascending(self, rows: np.ndarray, columns: list[str]) -> list[pa.RecordBatch]:
        numbers = np.searchsorted(self._ends, rows, side="right")
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        pieces = []
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
            batch = self._batches[numbers[start]]
            first = self._ends[numbers[start]] - batch.num_rows
            pieces.append(batch.select(columns).take(pa.array(rows[start:end] - first)))
        return pieces
