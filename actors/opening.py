"""A version's segment entries in, opened and verified segments and passages out, on whatever node asks."""

import hashlib
import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.index.inverted import InvertedLists, SparseIndex, inverted_files
from actors.index.lexical import FILES as LEXICAL_FILES
from actors.index.lexical import CollectionStatistics, open_lexical
from actors.index.passages import PassageFile
from actors.index.segment import Segment
from actors.index.writing import INDEX_FILE, VECTORS_FILE
from actors.indexer import PASSAGES, SPARSE, TOKENS
from actors.retrieval import Retrieval, Retriever
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store, private_folder
from actors.storage.verified import read_verified

RETRIEVER_FILES = {"dense": (), "sparse": inverted_files(SPARSE), "bm25": LEXICAL_FILES}
"""What a segment must hold for each retriever, beside the index and the passages that all of them need."""


def open_statistics(store: Store, retrieval: Retrieval) -> CollectionStatistics | None:
    """The term statistics of the version, where its retrievers need them."""
    return None if retrieval.statistics is None else CollectionStatistics.open(read_verified(store, retrieval.statistics))


def open_retrievers(
    store: Store, entry: SegmentEntry, retrieval: Retrieval, statistics: CollectionStatistics | None, ordinal: int, use_gpu: bool = False
) -> dict[str, Retriever]:
    """A segment ready to search, by retriever; its hits bear `ordinal`. Raises DamagedFile when a file is not what the version names."""
    kinds, bm25 = retrieval.config.retrievers, retrieval.config.bm25
    names = {INDEX_FILE, PASSAGES, VECTORS_FILE, *(name for kind in kinds for name in RETRIEVER_FILES[kind])}
    folder = linked_folder(store, entry, names)
    segment = Segment.open(folder, retrieval.plan, ordinal, use_gpu=use_gpu and "dense" in kinds)
    opened: dict[str, Retriever] = {"dense": segment}
    if "sparse" in kinds:
        opened["sparse"] = SparseIndex(InvertedLists.open(folder, SPARSE), segment)
    if "bm25" in kinds and statistics is not None:
        opened["bm25"] = open_lexical(folder, segment, statistics, bm25.k1, bm25.b)
    return opened


def linked_folder(store: Store, entry: SegmentEntry, names: Collection[str]) -> Path:
    """A folder where those of the segment's files, verified, bear their plain names."""
    files = {name: read_verified(store, file) for name, file in entry.files.items() if name in names}
    identity = hashlib.sha256(repr(sorted((n, str(p)) for n, p in files.items())).encode()).hexdigest()[:32]
    folder = private_folder(Path(tempfile.gettempdir(), f"raytrieve-{os.getuid()}")) / "segments" / identity
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, path in files.items():
        if not (folder / name).is_symlink():
            try:
                os.symlink(path, folder / name)
            except FileExistsError:  # another worker of this node was first, with the same target
                continue
    return folder


class PassageSource:
    """Passages of a version by (segment, row), memory-mapped. Crosses processes closed and opens files as they are asked for."""

    def __init__(self, store: Store, segments: Sequence[SegmentEntry]) -> None:
        self._store, self._segments = store, tuple(segments)
        self._open: dict[tuple[int, str], PassageFile] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return PassageSource, (self._store, self._segments)

    @property
    def has_token_vectors(self) -> bool:
        """Whether every segment keeps its token vectors."""
        return all(TOKENS in entry.files for entry in self._segments)

    def take(self, segments: Sequence[int], rows: Sequence[int], columns: list[str]) -> pa.Table:
        """The given rows in the order asked, from whatever segments (ordinals in the version)."""
        by_segment: dict[int, list[int]] = {}
        for position, segment in enumerate(segments):
            by_segment.setdefault(segment, []).append(position)
        parts, order = [], []
        for segment, positions in sorted(by_segment.items()):
            parts.append(self._file(segment, PASSAGES).take(np.array([rows[p] for p in positions], np.int64), columns))
            order.extend(positions)
        back = [0] * len(order)
        for here, position in enumerate(order):
            back[position] = here
        return pa.concat_tables(parts).take(pa.array(back, pa.int64())) if len(parts) > 1 else parts[0]

    def token_vectors(self, segments: Sequence[int], rows: Sequence[int], dimension: int) -> list[np.ndarray]:
        """Stored token vectors float16 [tokens, dimension] of each row, as views of the memory-mapped files."""
        out: list[np.ndarray] = [np.zeros((0, dimension), np.float16)] * len(rows)
        numbers, wanted = np.asarray(segments), np.asarray(rows)
        for segment in np.unique(numbers):
            positions = np.flatnonzero(numbers == segment)
            cells = self._file(int(segment), TOKENS).cells(wanted[positions], "token_vectors")
            for position, cell in zip(positions, cells, strict=True):
                out[position] = np.frombuffer(cell, np.float16).reshape(-1, dimension)
        return out

    def known(self, segment: int, ids: set[str], deleted: Sequence[int] = (), name: str = "id") -> set[str]:
        """Those of the ids that a segment holds in the column `name`, in other rows than the deleted ones."""
        wanted, start = pa.array(sorted(ids), pa.string()), 0
        found: set[str] = set()
        for column in self._file(segment, PASSAGES).column(name):
            live = ~np.isin(np.arange(start, start + len(column)), deleted)
            found.update(column.filter(pc.and_(pc.is_in(column, value_set=wanted), pa.array(live))).to_pylist())
            start += len(column)
        return found

    def _file(self, segment: int, name: str) -> PassageFile:
        if (segment, name) not in self._open:
            self._open[segment, name] = PassageFile(read_verified(self._store, self._segments[segment].files[name]))
        return self._open[segment, name]
