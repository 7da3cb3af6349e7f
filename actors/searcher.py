"""Queries in, candidates out: resident searchers, and the operator that asks them all, merges and fuses.

`Searcher` holds segments in memory and knows nothing of who calls it. `Search` is given a callable that asks every
searcher; its parcels gain the columns candidate_ids, candidate_scores, candidate_segments and candidate_rows, and, where
several retrievers were fused, for each of them candidate_<retriever> (its own score of each candidate, null where it did
not find it) and <retriever>_ids and <retriever>_scores (its own top_k).
"""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.index.devices import gpu_available
from actors.index.hits import empty_hits
from actors.opening import open_retrievers, open_statistics
from actors.parcels import Parcel
from actors.pieces import SPARSE_COLUMNS
from actors.retrieval import AskAll, Asker, Found, Questions, Retrieval, Retriever, merge_found, ranked
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store
from configs.schema import SearchConfig

COLUMNS = {"ids": "candidate_ids", "scores": "candidate_scores", "segments": "candidate_segments", "rows": "candidate_rows"}
_ASKED = {"vector", *SPARSE_COLUMNS}  # what the retrievers have used up


class Searcher:
    """Some segments of a version, resident. `segments` maps their ordinal in the version to their entry.

    They are opened by the first call, not by the constructor: of an actor that fails while it is made Ray tells nothing but its death.
    """

    def __init__(
        self,
        store: Store,
        segments: Mapping[int, SegmentEntry],
        retrieval: Retrieval,
        deletions: Mapping[str, Sequence[int]],
        threads: int,
        gpu: bool = False,
    ) -> None:
        faiss.omp_set_num_threads(max(1, threads))
        self._store, self._segments, self._retrieval, self._gpu = store, dict(sorted(segments.items())), retrieval, gpu
        self._deleted = {o: np.array(sorted(deletions[e.segment]), np.int64) for o, e in segments.items() if deletions.get(e.segment)}

    @cached_property
    def _retrievers(self) -> dict[int, dict[str, Retriever]]:
        statistics, gpu = open_statistics(self._store, self._retrieval), self._gpu and gpu_available()
        return {
            ordinal: open_retrievers(self._store, entry, self._retrieval, statistics, ordinal, gpu)
            for ordinal, entry in self._segments.items()
        }

    def search(self, questions: Questions, k: int) -> Found:
        """Each retriever's best k of these segments for the queries of a unit, ordered by (score desc, id)."""
        parts = [
            {kind: retrievers[kind].search(asked, k, self._deleted.get(ordinal)) for kind, asked in questions.items()}
            for ordinal, retrievers in self._retrievers.items()
        ]
        return merge_found(parts, k)

    def open(self) -> int:
        """Open the segments before the first question comes; how many they are.

        Raises DamagedFile when a file is not what the version names.
        """
        return len(self._retrievers)


class Search:
    """Finds the top k of every query of a unit."""

    def __init__(self, ask_all: AskAll, config: SearchConfig) -> None:
        self._ask_all, self._config, self._asker = ask_all, config, Asker(config)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        started = time.perf_counter()
        table = parcel.tables["passages"]
        found = self._find(parcel.header["unit"], table)
        kept = table.drop_columns([name for name in table.column_names if name in _ASKED])
        for name, column in candidate_columns(found, self._config).items():
            kept = kept.append_column(name, column)
        counts = {**parcel.header["counts"], "search_seconds": time.perf_counter() - started}
        return parcel.replace({"counts": counts}, passages=kept).pack()

    def _find(self, unit: str, table: pa.Table) -> Found:
        if not table.num_rows:
            return {kind: empty_hits(0, self._config.depth) for kind in self._config.retrievers}
        return merge_found(self._ask_all(unit, partial(self._asker, table), self._config.depth), self._config.depth)


def candidate_columns(found: Found, config: SearchConfig) -> dict[str, pa.ChunkedArray]:
    """The columns of the module's docstring, for the queries of one unit."""
    fused = ranked(found, config)
    hits = fused.hits.to_table()
    columns = {column: hits[name] for name, column in COLUMNS.items()}
    for kind, scores in fused.parts.items():
        own = pa.array(scores[fused.hits.rows >= 0], from_pandas=True)  # NaN becomes null
        offsets = hits["ids"].combine_chunks().offsets
        columns[f"candidate_{kind}"] = pa.chunked_array([pa.ListArray.from_arrays(offsets, own)])
        part = found[kind].to_table()
        columns |= {f"{kind}_{name}": pc.list_slice(part[name], 0, config.top_k) for name in ("ids", "scores")}
    return columns
