"""Id hashes of all units in, the rows whose id came before out. Bounded memory: hashes are sorted bucket by bucket.

Of documents that were cut the document's id counts: all passages of a repeated one go. A hash is 128 bits of blake2b: among
10 billion ids two different ones collide with a chance of 1.5e-19.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.corpus.schema import document_ids
from actors.storage.commits import DataFile
from actors.storage.objects import Store
from actors.storage.verified import read_verified

ID_ROW = np.dtype([("high", ">u8"), ("low", ">u8"), ("unit", "<i4"), ("row", "<i4")])


def read_hashes(store: Store, units: Sequence[tuple[int, DataFile]], buckets: int) -> list[np.ndarray]:
    """The id hashes of some units, as ID_ROW arrays, one per bucket (by the hash's top bits)."""
    parts = []
    for ordinal, entry in units:
        table = pq.read_table(read_verified(store, entry))
        column = table["document_hash" if "document_hash" in table.column_names else "id_hash"]
        rows = np.empty(len(column), ID_ROW)
        flat = b"".join(chunk.buffers()[1][chunk.offset * 16 : (chunk.offset + len(chunk)) * 16].to_pybytes() for chunk in column.chunks)
        halves = np.frombuffer(flat, ">u8").reshape(-1, 2)
        rows["high"], rows["low"], rows["unit"], rows["row"] = halves[:, 0], halves[:, 1], ordinal, np.arange(len(column))
        parts.append(rows)
    rows = np.concatenate(parts) if parts else np.empty(0, ID_ROW)
    bucket = (rows["high"].astype(np.uint64) >> np.uint64(48)).astype(np.int64) * buckets >> 16
    return [rows[bucket == b] for b in range(buckets)]


def find_repeats(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Of one bucket's rows, those whose id came in a unit before theirs: int64 [n, 4] of (unit, row, first unit, first row).

    Within a unit ids were compared when it was read; there, rows of one id are the passages of one document.
    """
    rows = np.concatenate(list(parts))
    rows = rows[np.lexsort((rows["row"], rows["unit"], rows["low"], rows["high"]))]
    repeated = np.zeros(len(rows), bool)
    repeated[1:] = (rows["high"][1:] == rows["high"][:-1]) & (rows["low"][1:] == rows["low"][:-1])
    first = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(rows))))
    repeated &= rows["unit"] != rows["unit"][first]
    first, found = first[repeated], rows[repeated]
    return np.stack([found["unit"], found["row"], rows["unit"][first], rows["row"][first]], axis=1).astype(np.int64)


def locate(store: Store, entry: DataFile, rows: Sequence[int]) -> list[tuple[str, str, int]]:
    """(id of the record, source file, source row) of some rows of a unit's data file."""
    file = pq.ParquetFile(read_verified(store, entry))
    names = [name for name in ("id", "document_id", "source", "source_row") if name in file.schema_arrow.names]
    table = file.read(columns=names).take(pa.array(rows, pa.int64()))
    return list(zip(document_ids(table).to_pylist(), table["source"].to_pylist(), table["source_row"].to_pylist(), strict=True))
