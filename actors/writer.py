"""Finished parcels in, receipts out: stores a unit's tables as Parquet and then its commit record, last.

In: a parcel with the table to keep. Out: a parcel without tables whose header is the receipt of the commit that counts.
"""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.catalogue.hashing import hash_column, hash_texts
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import CommitRecord, DataFile, commit, upload_data

_PLAIN = {"vector.list.element", "token_vectors", "sparse_weights.list.element"}  # noise to a compressor: stored as they are


class Writer:
    """Writes one table of every parcel into its stage's folder and commits the unit. Safe to repeat: attempts have own names."""

    def __init__(self, place: Workplace, table: str, hash_ids: bool = False) -> None:
        self._place, self._table, self._hash_ids = place, table, hash_ids

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        record, ours = self.commit(parcel)
        return Parcel({"unit": record.unit, "counts": record.counts, "ours": ours}).pack()

    def commit(self, parcel: Parcel) -> tuple[CommitRecord, bool]:
        """Store and commit one parcel. Returns the record that counts and whether it is this attempt's."""
        header, started = parcel.header, time.perf_counter()
        stem = f"{header['unit']}-{header['attempt']}"
        files = {name: DataFile(**entry) for name, entry in header["files"].items()}
        files["data"] = self._store(f"{stem}.parquet", parcel.tables[self._table])
        if self._hash_ids:
            files["ids"] = self._store(f"{stem}.ids.parquet", hashed_rows(parcel.tables[self._table]))
        if "retrieved" in parcel.tables:  # the rankings of single retrievers, beside the fused one
            files["retrieved"] = self._store(f"{stem}.retrieved.parquet", parcel.tables["retrieved"])
        counts = {**header["counts"], "write_seconds": time.perf_counter() - started}
        details: dict[str, Any] = {name: header[name] for name in ("reasons", "sources") if name in header}
        record = CommitRecord(header["unit"], header["attempt"], files, counts, self._place.run, header["started"], 0.0, details)
        winner = commit(self._place.store, self._place.folder, record)
        return winner, self._place.tally(winner, record.attempt)

    def _store(self, name: str, table: pa.Table) -> DataFile:
        local = Path(self._place.store.scratch(), name)
        try:
            compressed = {column: "none" if column in _PLAIN else "zstd" for column in _leaf_names(table.schema)}
            pq.write_table(table, local, compression=compressed, use_dictionary=["source"] if "source" in table.column_names else False)
            return upload_data(self._place.store, self._place.folder, name, local)
        finally:
            local.unlink(missing_ok=True)


def hashed_rows(table: pa.Table) -> pa.Table:
    """128-bit hashes of ids and of what is embedded, row-aligned: what duplicates and re-used texts are found by."""
    columns = {"id_hash": table["id"], "embedding_hash": table["text"]}
    if "document_id" in table.column_names:
        columns["document_hash"] = table["document_id"]
    return pa.table({name: hash_column(hash_texts(column.to_pylist())) for name, column in columns.items()})


def _leaf_names(schema: pa.Schema) -> list[str]:
    return [f"{field.name}.list.element" if pa.types.is_nested(field.type) else field.name for field in schema]
