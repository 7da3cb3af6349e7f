"""Texts in, token ids out: the CPU operator that keeps tokenising away from the GPU actors.

In: table `passages` with `text`. Out: the same with `input_ids` (large_list<int32>, special tokens included).
"""

import time

import pyarrow as pa

from actors.loading import EncoderSpec
from actors.parcels import Parcel


class Tokenizer:
    """Tokenises passages or queries with a checkpoint's own tokenizer and instructions."""

    def __init__(self, spec: EncoderSpec, queries: bool) -> None:
        tokenizer = spec.tokenizer()
        self._encode = tokenizer.queries if queries else tokenizer.passages

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        started = time.perf_counter()
        table = parcel.tables["passages"]
        tokens = self._encode(table["text"].to_pylist())
        counts = {**parcel.header["counts"], "truncated": tokens.truncated, "tokenize_seconds": time.perf_counter() - started}
        return parcel.replace({"counts": counts}, passages=table.append_column("input_ids", tokens.to_arrow())).pack()
