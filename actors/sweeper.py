"""One segment and all query vectors in, that segment's candidates out: how an index larger than memory is searched.

Each segment is opened once and asked all queries; its partial results are one Parquet file with a row group per query
unit and a column of hits for each retriever. `SweptHits` gives them back unit by unit to the same `Search`
operator that resident searchers feed.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from actors.index.hits import Hits
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.receipts import receipt_of_done
from actors.retrieval import Asker, Found, Retrieval
from actors.searcher import Searcher
from actors.storage.commits import CommitRecord, DataFile, begin, commit, upload_data
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store, new_attempt
from actors.storage.verified import read_verified


class Sweeper:
    """Searches one segment for every committed query unit."""

    def __init__(self, place: Workplace, queries: Sequence[DataFile], retrieval: Retrieval, threads: int) -> None:
        self._place, self._queries, self._retrieval, self._threads = place, queries, retrieval, threads
        self._asker = Asker(retrieval.config)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        unit, attempt, started, store = header["units"][0], new_attempt(), time.time(), self._place.store
        if (done := receipt_of_done(self._place, unit)) is not None:
            return done
        begin(store, self._place.folder, unit, self._place.run, attempt, "Sweeper")
        plain = header["segment"]
        entry = SegmentEntry(**{**plain, "files": {name: DataFile(**file) for name, file in plain["files"].items()}})
        searcher = Searcher(store, {header["ordinal"]: entry}, self._retrieval, header["deletions"], self._threads)
        local = Path(store.scratch(), f"{unit}-{attempt}.parquet")
        try:
            rows = self._write(searcher, local)
            file = upload_data(store, self._place.folder, local.name, local)
        finally:
            local.unlink(missing_ok=True)
        counts = {"rows": rows, "search_seconds": time.time() - started}
        record = commit(store, self._place.folder, CommitRecord(unit, attempt, {"data": file}, counts, self._place.run, started, 0.0))
        return Parcel({"unit": unit, "counts": record.counts, "ours": self._place.tally(record, attempt)}).pack()

    def _write(self, searcher: Searcher, local: Path) -> int:
        writer, rows = None, 0
        for file in self._queries:
            questions = self._asker(pq.read_table(read_verified(self._place.store, file), columns=self._asker.columns))
            found = searcher.search(questions, self._retrieval.config.depth)
            hits = pa.table({kind: part.to_table().to_struct_array() for kind, part in found.items()})
            writer = writer or pq.ParquetWriter(local, hits.schema)
            writer.write_table(hits, row_group_size=max(1, hits.num_rows))
            rows += hits.num_rows
        if writer is not None:
            writer.close()
        return rows


class SweptHits:
    """Partial results by unit: `units` names the query units in the order that every segment's file holds them."""

    def __init__(self, store: Store, partials: Sequence[DataFile], units: Mapping[str, int]) -> None:
        self._store, self._partials, self._units = store, tuple(partials), dict(units)

    def __call__(self, unit: str, questions: object, k: int) -> list[Found]:
        """What each segment has for the unit's queries. `questions` and `k` were used up by the sweep."""
        if unit not in self._units:  # a unit without queries was not swept
            return []
        groups = [pq.ParquetFile(read_verified(self._store, file)).read_row_group(self._units[unit]) for file in self._partials]
        return [{kind: Hits.from_table(pa.Table.from_struct_array(group[kind])) for kind in group.column_names} for group in groups]
