"""Pieces of vector files in, one committed segment out: FAISS index, passages and, where kept, token vectors."""

import tempfile
import time
from pathlib import Path
from typing import Literal

import pyarrow as pa

from actors.index.kinds import IndexPlan
from actors.index.recall import measure_recall
from actors.index.segment import Segment
from actors.index.writing import SegmentWriter
from actors.parcels import Parcel
from actors.pieces import Piece, read_piece, vectors_of
from actors.reader import Workplace
from actors.storage.commits import CommitRecord, DataFile, begin, commit, upload_data
from actors.storage.objects import new_attempt
from actors.storage.verified import read_verified
from configs.schema import IndexConfig

PASSAGES, TOKENS = "passages.arrow", "token_vectors.arrow"


class Indexer:
    """Builds a segment in a scratch folder, measures its recall, and commits it. Memory: the index and one batch."""

    def __init__(self, place: Workplace, plan: IndexPlan, config: IndexConfig, dtype: Literal["fp16", "fp32"], normalized: bool) -> None:
        self._place, self._plan, self._config, self._dtype, self._normalized = place, plan, config, dtype, normalized

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        unit, attempt, started, store = header["units"][0], new_attempt(), time.time(), self._place.store
        begin(store, self._place.folder, unit, self._place.run, attempt)
        pieces = [Piece.parse(plain) for plain in header["pieces"]]
        template = read_verified(store, DataFile(**header["template"])).read_bytes()
        with tempfile.TemporaryDirectory(prefix="segment-", dir=store.scratch()) as name:
            folder = Path(name)
            rows = self._write(folder, template, pieces)
            report = measure_recall(Segment.open(folder, self._plan), self._config.recall_queries, seed=self._config.seed)
            files = {
                path.name: upload_data(store, self._place.folder, f"{unit}-{attempt}.{path.name}", path)
                for path in sorted(folder.iterdir())
            }
        counts = {"rows": rows, "bytes": sum(f.size for f in files.values()), "index_seconds": time.time() - started}
        details = {"kind": self._plan.kind, "recall": report.recall, "recall_k": report.k_used, "recall_queries": report.queries}
        record = CommitRecord(unit, attempt, files, counts, self._place.run, started, 0.0, details)
        winner = commit(store, self._place.folder, record)
        return Parcel({"unit": unit, "counts": winner.counts, "ours": winner.attempt == attempt}).pack()

    def _write(self, folder: Path, template: bytes, pieces: list[Piece]) -> int:
        tokens = _TokenFile(folder / TOKENS)
        with SegmentWriter(folder, template, self._plan, self._dtype, normalized=self._normalized) as writer:
            for piece in pieces:
                for table in read_piece(self._place.store, piece):
                    writer.add(vectors_of(table), tokens.take(table.drop_columns(["vector"])))
            tokens.close()
            return writer.finish().rows


class _TokenFile:
    """The token vectors' column goes into a file of its own, opened only when there is one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def take(self, table: pa.Table) -> pa.Table:
        if "token_vectors" not in table.column_names:
            return table
        tokens = table.select(["token_vectors"])
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._path, tokens.schema)
        self._writer.write_table(tokens)
        return table.drop_columns(["token_vectors"])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
