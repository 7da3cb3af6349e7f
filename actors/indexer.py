"""Pieces of vector files in, one committed segment out: FAISS index, passages, and token vectors, lexical weights and BM25's counts
where there are any."""

import tempfile
import time
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from actors.index.drift import centroid_error
from actors.index.inverted import InvertedWriter
from actors.index.kinds import IndexPlan
from actors.index.lexical import LexicalWriter
from actors.index.recall import measure_recall
from actors.index.segment import Segment
from actors.index.writing import SegmentWriter
from actors.parcels import Parcel
from actors.pieces import SPARSE_COLUMNS, Piece, read_piece, sparse_of, vectors_of
from actors.reader import Workplace
from actors.receipts import receipt_of_done
from actors.storage.commits import CommitRecord, DataFile, begin, commit, upload_data
from actors.storage.objects import new_attempt
from actors.storage.verified import read_verified
from configs.schema import IndexConfig

PASSAGES, TOKENS, SPARSE = "passages.arrow", "token_vectors.arrow", "sparse"


class Indexer:
    """Builds a segment in a scratch folder, measures its recall, and commits it. Memory: the index and one batch."""

    def __init__(
        self,
        place: Workplace,
        plan: IndexPlan,
        config: IndexConfig,
        dtype: Literal["fp16", "fp32"],
        normalized: bool,
        language: str | None = None,
    ) -> None:
        """`language`: that of BM25's terms; none counts no terms."""
        self._place, self._plan, self._config, self._dtype, self._normalized = place, plan, config, dtype, normalized
        self._language = language

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        unit, attempt, started, store = header["units"][0], new_attempt(), time.time(), self._place.store
        if (done := receipt_of_done(self._place, unit)) is not None:
            return done
        begin(store, self._place.folder, unit, self._place.run, attempt, "Indexer")
        pieces = [Piece.parse(plain) for plain in header["pieces"]]
        template = read_verified(store, DataFile(**header["template"])).read_bytes()
        with tempfile.TemporaryDirectory(prefix="segment-", dir=store.scratch()) as name:
            folder = Path(name)
            rows = self._write(folder, template, pieces)
            segment = Segment.open(folder, self._plan)
            report = measure_recall(segment, self._config.recall_queries, seed=self._config.seed)
            error = centroid_error(template, segment.vectors, self._config.seed)
            files = {
                path.name: upload_data(store, self._place.folder, f"{unit}-{attempt}.{path.name}", path)
                for path in sorted(folder.iterdir())
            }
        counts = {"rows": rows, "bytes": sum(f.size for f in files.values()), "index_seconds": time.time() - started}
        details = {"kind": self._plan.kind, "recall": report.recall, "recall_k": report.k_used, "recall_queries": report.queries}
        details |= {"centroid_error": error, "pieces": header["pieces"]}
        if self._language is not None:
            details["language"] = self._language
        record = CommitRecord(unit, attempt, files, counts, self._place.run, started, 0.0, details)
        winner = commit(store, self._place.folder, record)
        return Parcel({"unit": unit, "counts": winner.counts, "ours": self._place.tally(winner, attempt)}).pack()

    def _write(self, folder: Path, template: bytes, pieces: list[Piece]) -> int:
        asides: list[_Aside] = [_TokenFile(folder / TOKENS), _SparseFiles(folder)]
        if self._language is not None:
            asides.append(_LexicalFiles(folder, self._language))
        with SegmentWriter(folder, template, self._plan, self._dtype, normalized=self._normalized) as writer:
            for piece in pieces:
                for table in read_piece(self._place.store, piece):
                    passages = table.drop_columns(["vector"])
                    for aside in asides:
                        passages = aside.take(passages)
                    writer.add(vectors_of(table), passages)
            for aside in asides:
                aside.close()
            return writer.finish().rows


class _Aside(Protocol):
    """What goes into files of its own, beside the FAISS index and the passages."""

    def take(self, table: pa.Table) -> pa.Table:
        """Append the table's rows. Returns it without the columns that are kept here alone."""

    def close(self) -> None:
        """Complete the files."""


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


class _SparseFiles:
    """Lexical weights, where the vectors have them, become inverted lists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: InvertedWriter | None = None

    def take(self, table: pa.Table) -> pa.Table:
        if not set(SPARSE_COLUMNS) <= set(table.column_names):
            return table
        self._writer = self._writer or InvertedWriter()
        self._writer.add(sparse_of(table))
        return table.drop_columns(list(SPARSE_COLUMNS))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.finish(self._folder, SPARSE)


class _LexicalFiles:
    """The terms of the texts are counted for BM25."""

    def __init__(self, folder: Path, language: str) -> None:
        self._folder, self._writer = folder, LexicalWriter(language)

    def take(self, table: pa.Table) -> pa.Table:
        self._writer.add(table["text"].to_pylist())
        return table

    def close(self) -> None:
        self._writer.finish(self._folder)
