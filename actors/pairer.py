"""Candidates in, what the reranker needs out: the CPU operator that fetches text by row and tokenises it once.

In: table `passages` (the queries) with candidate columns. Out: the same plus table `unique`, one row for each distinct
passage of the unit (segment, row, metadata and, for a cross-encoder, `input_ids`), the list column `candidate_unique`
with positions in it, and `input_ids` of the queries. Each query and each distinct passage is tokenised once.
"""

import time

import numpy as np
import pyarrow as pa

from actors.loading import RerankerSpec
from actors.opening import PassageSource
from actors.parcels import Parcel


class Pairer:
    """Prepares units for a reranker, or for no reranker (`spec` none), when only metadata is fetched."""

    def __init__(self, source: PassageSource, spec: RerankerSpec | None, depth: int) -> None:
        self._source, self._depth = source, depth
        self._tokenizer = spec.tokenizer() if spec else None
        self._stored = spec is not None and spec.uses_stored_vectors

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        started = time.perf_counter()
        queries = parcel.tables["passages"]
        unique, positions = self._unique(queries)
        truncated = 0
        if self._tokenizer is not None:
            tokens = self._tokenizer.queries(queries["text"].to_pylist())
            queries = queries.append_column("input_ids", tokens.to_arrow())
            if not self._stored:
                reranked = _reached(queries, positions, self._depth, unique.num_rows)
                texts = [text if wanted else "" for text, wanted in zip(unique["text"].to_pylist(), reranked, strict=True)]
                encoded = self._tokenizer.passages(texts)
                truncated = encoded.truncated
                unique = unique.append_column("input_ids", encoded.to_arrow())
        queries = queries.append_column("candidate_unique", positions)
        work = {"pair_seconds": time.perf_counter() - started, "pairs_truncated": truncated}
        header = {"counts": {**parcel.header["counts"], **work}}
        return parcel.replace(header, passages=queries, unique=unique.drop_columns(["text"])).pack()

    def _unique(self, queries: pa.Table) -> tuple[pa.Table, pa.ListArray]:
        segments, rows = queries["candidate_segments"].combine_chunks(), queries["candidate_rows"].combine_chunks()
        keys = np.stack([segments.flatten().to_numpy(zero_copy_only=False), rows.flatten().to_numpy(zero_copy_only=False)], axis=1).astype(
            np.int64
        )
        distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
        if len(distinct):
            found = self._source.take(distinct[:, 0].tolist(), distinct[:, 1].tolist(), ["text", "metadata"])
        else:
            found = pa.table({"text": pa.array([], pa.string()), "metadata": pa.array([], pa.string())})
        found = found.append_column("segment", pa.array(distinct[:, 0], pa.int32())).append_column(
            "row", pa.array(distinct[:, 1], pa.int64())
        )
        lengths = np.concatenate([[0], np.cumsum(segments.value_lengths().to_numpy(zero_copy_only=False))]).astype(np.int32)
        return found, pa.ListArray.from_arrays(pa.array(lengths), pa.array(inverse.reshape(-1).astype(np.int32)))


def _reached(queries: pa.Table, positions: pa.ListArray, depth: int, size: int) -> np.ndarray:
    """Which distinct passages stand within the depth of some query: only those need tokens."""
    reached = np.zeros(size, bool)
    for candidates in positions.to_pylist():
        reached[candidates[:depth]] = True
    return reached
