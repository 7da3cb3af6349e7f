"""Query vectors in, candidates out: resident searchers, and the operator that asks them all and merges.

`Searcher` holds segments in memory and knows nothing of who calls it. `Search` is given a callable that asks every
searcher; its parcels gain the columns candidate_ids, candidate_scores, candidate_segments and candidate_rows.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import faiss
import numpy as np
import pyarrow as pa

from actors.index.devices import gpu_available
from actors.index.hits import Hits, empty_hits, merge_hits
from actors.index.kinds import IndexPlan
from actors.opening import open_segment
from actors.parcels import Parcel
from actors.pieces import vectors_of
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store

AskAll = Callable[[str, np.ndarray, int], Sequence[Hits]]
COLUMNS = {"ids": "candidate_ids", "scores": "candidate_scores", "segments": "candidate_segments", "rows": "candidate_rows"}


class Searcher:
    """Some segments of a version, resident. `segments` maps their ordinal in the version to their entry."""

    def __init__(
        self,
        store: Store,
        segments: Mapping[int, SegmentEntry],
        plan: IndexPlan,
        deletions: Mapping[str, Sequence[int]],
        threads: int,
        gpu: bool = False,
    ) -> None:
        faiss.omp_set_num_threads(max(1, threads))
        self._open = {
            ordinal: open_segment(store, entry, plan, ordinal, gpu and gpu_available()) for ordinal, entry in sorted(segments.items())
        }
        self._deleted = {o: np.array(sorted(deletions[e.segment]), np.int64) for o, e in segments.items() if deletions.get(e.segment)}

    def search(self, vectors: np.ndarray, k: int) -> Hits:
        """The best k of these segments for float32 vectors [n, d], ordered by (score desc, id)."""
        found = [segment.search(vectors, k, self._deleted.get(ordinal)) for ordinal, segment in self._open.items()]
        return merge_hits(found, k)

    def ready(self) -> int:
        """Rows held; answers once the segments are open."""
        return sum(segment.rows for segment in self._open.values())


class Search:
    """Finds the top k of every query of a unit."""

    def __init__(self, ask_all: AskAll, k: int) -> None:
        self._ask_all, self._k = ask_all, k

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        started = time.perf_counter()
        table = parcel.tables["passages"]
        vectors = vectors_of(table).astype(np.float32) if "vector" in table.column_names else np.zeros((table.num_rows, 0), np.float32)
        found = list(self._ask_all(parcel.header["unit"], vectors, self._k)) if table.num_rows else [empty_hits(0, self._k)]
        hits = merge_hits(found, self._k).to_table()
        kept = table.drop_columns(["vector"]) if "vector" in table.column_names else table
        for name, column in COLUMNS.items():
            kept = kept.append_column(column, hits[name])
        counts = {**parcel.header["counts"], "search_seconds": time.perf_counter() - started}
        return parcel.replace({"counts": counts}, passages=kept).pack()
