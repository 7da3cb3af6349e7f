"""The segments of a version in, the term statistics that BM25 needs of all of them out: one committed file."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.index.lexical import CollectionStatistics
from actors.opening import RETRIEVER_FILES, linked_folder
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.receipts import receipt_of_done
from actors.storage.commits import CommitRecord, begin, commit, upload_data
from actors.storage.fingerprints import fingerprint
from actors.storage.manifests import Manifest
from actors.storage.objects import new_attempt

STATISTICS = "statistics"
"""The stage's folder."""


def statistics_unit(manifest: Manifest) -> str:
    """The name of a version's term statistics: they hang on its segments and deletions alone."""
    return fingerprint([[entry.segment for entry in manifest.segments], manifest.deletions])


class TermCounter:
    """Merges the counts of all segments, deleted passages left out. Memory: the vocabulary of the version."""

    def __init__(self, place: Workplace, manifest: Manifest) -> None:
        self._place, self._manifest = place, manifest

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        unit, attempt, started, store = Parcel.unpack(batch).header["units"][0], new_attempt(), time.time(), self._place.store
        if (done := receipt_of_done(self._place, unit)) is not None:
            return done
        begin(store, self._place.folder, unit, self._place.run, attempt, "TermCounter")
        statistics = CollectionStatistics.merge(self._parts())
        with tempfile.TemporaryDirectory(dir=store.scratch()) as folder:
            local = Path(folder, "statistics.arrow")
            statistics.save(local)
            file = upload_data(store, self._place.folder, f"{unit}-{attempt}.arrow", local)
        counts: dict[str, float] = {"rows": statistics.passages, "terms": len(statistics.terms)}
        record = CommitRecord(unit, attempt, {"statistics": file}, counts, self._place.run, started, 0.0)
        winner = commit(store, self._place.folder, record)
        return Parcel({"unit": unit, "counts": winner.counts, "ours": self._place.tally(winner, attempt)}).pack()

    def _parts(self) -> Iterator[CollectionStatistics]:
        for entry in self._manifest.segments:
            folder = linked_folder(self._place.store, entry, RETRIEVER_FILES["bm25"])
            yield CollectionStatistics.of_segment(folder, np.array(sorted(self._manifest.deletions.get(entry.segment, [])), np.int64))
