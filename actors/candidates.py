"""Committed candidates in and out of a stream: write them on the way to the reranker, or start from them."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import pyarrow as pa
import pyarrow.parquet as pq

from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import CommitRecord, DataFile
from actors.storage.objects import new_attempt
from actors.storage.verified import read_verified
from actors.writer import Writer


class CandidateWriter:
    """Commits a unit's candidates under their own name and lets the parcel pass unchanged."""

    def __init__(self, place: Workplace, names: Mapping[str, str]) -> None:
        self._writer, self._names = Writer(place, "passages"), dict(names)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        self._writer.commit(replace(parcel, header={**parcel.header, "unit": self._names[parcel.header["unit"]]}))
        return batch


class CandidateReader:
    """Starts a stream from the candidates of a unit."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    @staticmethod
    def start(name: str, record: CommitRecord) -> Parcel:
        """The parcel that makes a reader produce a unit called `name` from a candidates record."""
        counts = {
            key: record.counts[key]
            for key in ("rows_read", "rows", "rejected", "tokens", "padded_tokens", "truncated")
            if key in record.counts
        }
        kept = {"files": {key: asdict(file) for key, file in record.files.items() if key == "rejects"}, "counts": counts, **record.details}
        return Parcel({"units": [name], "data": asdict(record.files["data"]), "kept": kept, "started": record.started})

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        table = pq.read_table(read_verified(self._place.store, DataFile(**header["data"])))
        if header.get("keep") is not None:
            table = table.slice(header["keep"][0], header["keep"][1] - header["keep"][0])
        made = {"unit": header["units"][0], "attempt": new_attempt(), "started": header["started"], **header["kept"]}
        return Parcel(made, {"passages": table}).pack()
