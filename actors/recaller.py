"""Passages in, those whose text was embedded before set aside with their old vectors; and, at the end, both together again.

In: table `passages`, and the header's `recall`: committed units of vectors that hold some of the texts. Out: `passages` with
the rows that have to be embedded, and `known` with the others and every column that was computed for them.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.catalogue.hashing import hash_texts
from actors.catalogue.reuse import embedding_hashes
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import CommitRecord, read_commits
from actors.storage.verified import read_verified


class Recaller:
    """Looks texts up in the units the driver named. Memory: one unit of vectors at a time."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        table = parcel.tables["passages"]
        hashes, parts = hash_texts(table["text"].to_pylist()), []
        fresh = np.ones(len(hashes), bool)
        for record in read_commits(self._place.store, self._place.folder, parcel.header["recall"]):
            mine, theirs = self._matches(record, hashes, fresh)
            parts.append(self._recalled(record, table.take(pa.array(mine)), theirs))
            fresh[mine] = False
        known = pa.concat_tables(parts) if parts else table.slice(0, 0)
        return parcel.replace(
            {"counts": {**parcel.header["counts"], "recalled": known.num_rows}}, passages=table.filter(fresh), known=known
        ).pack()

    def _matches(self, record: CommitRecord, hashes: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ours that the unit has embedded, and its rows for them."""
        theirs = embedding_hashes(self._place.store, record)
        order = np.argsort(theirs, kind="stable")
        places = order[np.minimum(np.searchsorted(theirs[order], hashes), len(order) - 1)]
        mine = np.flatnonzero(fresh & (theirs[places] == hashes))
        return mine, places[mine]

    def _recalled(self, record: CommitRecord, passages: pa.Table, rows: np.ndarray) -> pa.Table:
        file = pq.ParquetFile(read_verified(self._place.store, record.files["data"]))
        computed = [name for name in file.schema_arrow.names if name not in passages.column_names]
        vectors = file.read(columns=computed).take(pa.array(rows))
        return pa.table([*passages.columns, *vectors.columns], schema=pa.schema([*passages.schema, *vectors.schema]))


class Rejoiner:
    """Puts the recalled passages beside the embedded ones."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        embedded, known = parcel.tables["passages"], parcel.tables["known"]
        if embedded.num_rows and "vector" not in embedded.column_names:
            raise ValueError(f"unit {parcel.header['unit']}: {embedded.num_rows} texts are not in the units that should have embedded them")
        if not known.num_rows:
            whole = embedded
        elif not embedded.num_rows:
            whole = known
        else:
            whole = pa.concat_tables([embedded, known.select(embedded.column_names).cast(embedded.schema)])
        return Parcel(parcel.header, {"passages": whole}).pack()
