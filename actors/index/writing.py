"""Chunks of vectors and passages in; the files of one segment in a local folder out, with sizes and digests. Uploads nothing.

Memory is the FAISS index and one chunk: passages and vectors go to disk as they come.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import faiss
import numpy as np
import pyarrow as pa

from actors.index.checking import check_vectors
from actors.index.kinds import IndexPlan
from actors.index.lists import add_vectors
from actors.index.training import read_template

INDEX_FILE = "index.faiss"
PASSAGES_FILE = "passages.arrow"
VECTORS_FILE = "vectors.npy"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a segment."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """What a finished segment consists of."""

    files: tuple[FileEntry, ...]
    rows: int


class SegmentWriter:
    """Writes passages.arrow, index.faiss and, unless the plan is exact, vectors.npy. Used as a context manager it closes its files."""

    def __init__(
        self, folder: Path, template: bytes, plan: IndexPlan, vector_dtype: Literal["fp16", "fp32"] = "fp16", *, normalized: bool = True
    ) -> None:
        """Starts the files in `folder` (made if need be). `normalized` says that vectors of a length other than 1 are a mistake."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._plan, self._normalized = folder, plan, normalized
        self._dtype = np.dtype({"fp16": np.float16, "fp32": np.float32}[vector_dtype])
        self._index = read_template(template)
        self._rows = 0
        self._passages: pa.ipc.RecordBatchFileWriter | None = None
        self._schema: pa.Schema | None = None
        self._vectors = None if plan.exact else (folder / VECTORS_FILE).open("wb")
        self._header_bytes = self._write_header()

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def add(self, vectors: np.ndarray, passages: pa.Table) -> None:
        """Append vectors fp16 or fp32 [n, d] and their n passages (a string column `id` and any others, the same in every chunk).

        What is indexed are the stored values: with fp16 storage, the vectors rounded to fp16. Raises ValueError on bad vectors
        or on passages that do not fit; nothing is appended then.
        """
        with np.errstate(over="ignore"):  # What overflows becomes infinity, which the check refuses by row.
            stored = vectors.astype(self._dtype, copy=False)
        check_vectors(stored, self._plan.dimension, self._normalized, f"segment {self._folder.name}, chunk at row {self._rows}")
        if len(stored) != passages.num_rows:
            raise ValueError(f"segment {self._folder.name}: {len(stored)} vectors come with {passages.num_rows} passages")
        self._check_passages(passages)
        if not len(stored):
            return
        self._append_passages(passages)
        if self._vectors is not None:
            self._vectors.write(np.ascontiguousarray(stored).tobytes())
        add_vectors(self._index, np.ascontiguousarray(stored, dtype=np.float32))
        self._rows += len(stored)

    def finish(self) -> SegmentFiles:
        """Complete the files and name them with size and sha256. Raises ValueError when nothing was added or FAISS lost a row."""
        if not self._rows:
            raise ValueError(f"segment {self._folder.name} has no rows")
        if self._index.ntotal != self._rows:
            raise ValueError(f"segment {self._folder.name}: FAISS holds {self._index.ntotal} of {self._rows} vectors")
        self._write_header()
        self.close()
        faiss.write_index(self._index, str(self._folder / INDEX_FILE))
        names = [PASSAGES_FILE, INDEX_FILE] + ([] if self._plan.exact else [VECTORS_FILE])
        return SegmentFiles(tuple(_entry(self._folder / name) for name in names), self._rows)

    def close(self) -> None:
        """Close the files, finished or not; harmless when repeated."""
        if self._passages is not None:
            self._passages.close()
            self._passages = None
        if self._vectors is not None:
            self._vectors.close()

    def _write_header(self) -> int:
        """Write the header of vectors.npy for the rows so far; numpy leaves room in it for the row count to grow."""
        if self._vectors is None:
            return 0
        self._vectors.seek(0)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._rows, self._plan.dimension)}
        np.lib.format.write_array_header_1_0(self._vectors, header)
        end = self._vectors.tell()
        if self._rows and end != self._header_bytes:
            raise ValueError(f"the header of {VECTORS_FILE} grew from {self._header_bytes} to {end} bytes")
        return end

    def _check_passages(self, passages: pa.Table) -> None:
        schema = pa.schema([pa.field(field.name, field.type) for field in passages.schema])
        if self._schema is None:
            if "id" not in schema.names or not (
                pa.types.is_string(schema.field("id").type) or pa.types.is_large_string(schema.field("id").type)
            ):
                raise ValueError(f"segment {self._folder.name}: passages need a string column id, but have {schema.names}")
            self._schema = schema
        if schema != self._schema:
            raise ValueError(f"segment {self._folder.name}: a chunk has the columns {schema}, the first had {self._schema}")
        if passages["id"].null_count:
            raise ValueError(f"segment {self._folder.name}, chunk at row {self._rows}: an id is null")

    def _append_passages(self, passages: pa.Table) -> None:
        if self._passages is None:
            self._passages = pa.ipc.new_file(str(self._folder / PASSAGES_FILE), self._schema)
        self._passages.write_table(pa.table(passages.columns, schema=self._schema).combine_chunks())


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(path.name, path.stat().st_size, digest)
