"""How a work unit travels between operators: one row that holds a JSON header and whole Arrow tables.

Ray Data splits and merges rows freely, never inside one; a unit that is one row stays whole. Tables are Arrow IPC
streams in large_binary cells, read back without a copy.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

HEADER = "header"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A unit on its way: what is known of it (JSON values only) and its tables by name."""

    header: dict[str, Any]
    tables: dict[str, pa.Table] = field(default_factory=dict)

    def pack(self) -> pa.Table:
        """A one-row table for Ray."""
        columns: dict[str, pa.Array] = {HEADER: pa.array([json.dumps(self.header)])}
        for name, table in self.tables.items():
            columns[name] = _cell(_encode(table))
        return pa.table(columns)

    @staticmethod
    def unpack(batch: pa.Table) -> "Parcel":
        """The parcel in a one-row batch. Raises ValueError on any other number of rows."""
        if batch.num_rows != 1:
            raise ValueError(f"a parcel is one row, not {batch.num_rows}")
        tables = {name: _decode(batch.column(name)[0].as_buffer()) for name in batch.column_names if name != HEADER}
        return Parcel(json.loads(batch.column(HEADER)[0].as_py()), tables)

    def replace(self, header: dict[str, Any] | None = None, **tables: pa.Table) -> "Parcel":
        """A parcel with header fields and tables added or exchanged."""
        return Parcel({**self.header, **(header or {})}, {**self.tables, **tables})


def _cell(buffer: pa.Buffer) -> pa.Array:
    offsets = pa.array([0, buffer.size], pa.int64()).buffers()[1]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, buffer])


def _encode(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _decode(buffer: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(buffer) as reader:
        return reader.read_all()
