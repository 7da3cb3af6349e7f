"""A finished segment's folder and queries in; hits with exact scores, and passages by row, out. The caller fetched and verified the files.

FAISS proposes, the stored vectors decide: every candidate is re-scored from them, and the fetch is widened until what was
left out can not matter. Hence a result depends on the vectors, the shared template and the query, not on the cut into segments.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from actors.index.checking import check_vectors
from actors.index.devices import GPU_FETCH_LIMIT, GpuIndex, to_gpu
from actors.index.fetching import Deletions, Reach, WholeReach, first_reach
from actors.index.hits import Candidates, Hits, best_hits, empty_hits
from actors.index.kinds import IndexPlan
from actors.index.lists import split_transform, stored_vectors
from actors.index.passages import PassageFile
from actors.index.rescoring import rescore_rows
from actors.index.scanning import FlatScan
from actors.index.writing import INDEX_FILE, PASSAGES_FILE, VECTORS_FILE

TIE = 1e-6
"""Scores nearer than this (relative, above 1) count as tied when a fetch is judged complete."""

_BLOCK = 1024
_ROUNDS = 3

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Positions of queries, scores and rows of candidates, all [m]."""


class Segment:
    """An open, immutable part of an index. Files are memory-mapped: actors on one node share their pages."""

    def __init__(
        self, index: faiss.Index, vectors: np.ndarray, passages: PassageFile, plan: IndexPlan, number: int, gpu: GpuIndex | None
    ) -> None:
        self._index, self.vectors, self.passages, self.plan, self.number, self._gpu = index, vectors, passages, plan, number, gpu
        self._scan = FlatScan(vectors) if isinstance(index, faiss.IndexFlat) else None

    @classmethod
    def open(cls, folder: Path, plan: IndexPlan, number: int = 0, *, use_gpu: bool = False) -> "Segment":
        """Open the files of `folder`. `number` is what its hits bear as segment.

        Raises ValueError on a damaged file or files that do not belong together. A flipped bit is not seen here: check the sha256 before.
        """
        index = _read_index(folder / INDEX_FILE)
        if index.d != plan.dimension:
            raise ValueError(f"{folder / INDEX_FILE} has dimension {index.d}, but the plan says {plan.dimension}")
        passages = PassageFile(folder / PASSAGES_FILE)
        vectors = stored_vectors(index) if isinstance(index, faiss.IndexFlat) else map_array(folder / VECTORS_FILE)
        held = _vectors_held(index)
        if not held == len(passages) == len(vectors) or vectors.shape[1:] != (index.d,):
            raise ValueError(f"{folder} does not fit together: {held} rows in the index, vectors {vectors.shape}, {len(passages)} passages")
        return cls(index, vectors, passages, plan, number, to_gpu(index, plan.nprobe) if use_gpu else None)

    @property
    def rows(self) -> int:
        """Vectors and passages, deleted ones included."""
        return len(self.passages)

    def ids(self, rows: np.ndarray) -> list[str]:
        """The ids of `rows` (int64 [m]), in that order."""
        return self.passages.take(rows, ["id"])["id"].to_pylist()

    def search(self, queries: np.ndarray, k: int, deleted: np.ndarray | None = None) -> Hits:
        """The best min(k, live rows) passages of queries fp32 [n, d], as [n, k] hits; `deleted` rows (int64, sorted) are left out.

        Deletions happen inside the fetch, so that k places stay full. Raises ValueError on a bad query.
        """
        check_vectors(queries, self.plan.dimension, False, "queries")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        deletions = Deletions.of(self.rows, deleted)
        want = min(k, self.rows - len(deletions.rows))
        if not len(queries) or want < 1:
            return empty_hits(len(queries), k)
        parts: list[tuple[int, Found]] = []
        for start in range(0, len(queries), _BLOCK):
            found = self._search_block(queries[start : start + _BLOCK], want, deletions)
            parts += [(reach, (query + start, scores, rows)) for reach, (query, scores, rows) in found]
        return best_hits(len(queries), k, self._candidates(parts))

    def _search_block(self, queries: np.ndarray, want: int, deletions: Deletions) -> Iterator[tuple[int, Found]]:
        """Candidates with the reach they were found in, until each query has `want` or all lists were visited."""
        places = np.arange(len(queries))
        if self._gpu is not None and deletions.selector is None:
            found, places = self._gpu_fetch(self._gpu, queries, want)
            yield 0, found
        number, reach = 0, first_reach(self._index, self.plan, queries[places], self._scan) if len(places) else None
        counts = np.zeros(len(queries), np.int64)
        while reach is not None:
            for query, scores, rows in self._complete(queries[places], reach, want, deletions):
                counts += np.bincount(places[query], minlength=len(queries))
                yield number, (places[query], scores, rows)
            short = np.flatnonzero(counts[places] < want)
            places = places[short]
            number, reach = number + 1, reach.narrow(short).wider() if len(short) else None

    def _complete(self, queries: np.ndarray, reach: Reach, want: int, deletions: Deletions) -> Iterator[Found]:
        """Per query the best `want` within reach and all that tie with the last of them, from fetches that double until it is settled."""
        places, live = np.arange(len(queries)), self.rows - len(deletions.rows)
        count = min(live, self.plan.first_fetch(want))
        for doubling in range(live.bit_length() + 1):
            proposed, rows = reach.fetch(count, deletions)
            scores = rescore_rows(queries[places], rows, self.vectors)
            done = _settled(proposed, scores, rows, want, reach.pads_mean_all)
            if count >= live or (doubling >= _ROUNDS and not self.plan.close_codes):
                done[:] = True
            query, best, row = _best(rows[done], scores[done], want)
            yield places[done][query], best, row
            open_places = np.flatnonzero(~done)
            if not len(open_places):
                return
            places, reach, count = places[open_places], reach.narrow(open_places), min(2 * count, live)

    def _gpu_fetch(self, gpu: GpuIndex, queries: np.ndarray, want: int) -> tuple[Found, np.ndarray]:
        """What one GPU fetch settles, and the positions of the queries it leaves open."""
        count = min(self.rows, self.plan.first_fetch(want), GPU_FETCH_LIMIT)
        if self.plan.nprobe > GPU_FETCH_LIMIT or count < want:
            return (np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)), np.arange(len(queries))
        proposed, rows = WholeReach(gpu.index, queries).fetch(count, Deletions.of(self.rows, None))
        scores = rescore_rows(queries, rows, self.vectors)
        done = _settled(proposed, scores, rows, want, False) | ((rows >= 0).all(axis=1) & (count >= self.rows))
        query, best, row = _best(rows[done], scores[done], want)
        return (np.flatnonzero(done)[query], best, row), np.flatnonzero(~done)

    def _candidates(self, parts: list[tuple[int, Found]]) -> Candidates:
        query, scores, rows = (np.concatenate(column) for column in zip(*(found for _, found in parts), strict=True))
        reach = np.concatenate([np.full(len(found[0]), number, np.int8) for number, found in parts])
        ids = np.array(self.ids(rows), dtype=object)
        return Candidates(query, scores, rows, ids, np.full(len(rows), self.number, np.int32), reach)


def _settled(proposed: np.ndarray, scores: np.ndarray, rows: np.ndarray, want: int, pads_mean_all: bool) -> np.ndarray:
    """bool [n]: no row outside the fetch can belong to the best `want`, nor tie with the last of them.

    How far FAISS' scores are off is measured on the fetched rows themselves: what was left out may be off by twice the worst of them.
    """
    found = rows >= 0
    all_found = (~found).any(axis=1) & pads_mean_all
    last = proposed[:, -1]
    worst = np.max(np.abs(np.where(found, proposed - np.where(found, scores, 0), 0)), axis=1, initial=0)
    least = -np.partition(-scores, want - 1, axis=1)[:, want - 1]
    enough = np.isfinite(least) & found.all(axis=1)
    settled: np.ndarray = all_found | (enough & (least > last + 2 * worst + TIE * np.maximum(1, np.abs(last))))
    return settled


def _best(rows: np.ndarray, scores: np.ndarray, want: int) -> Found:
    """The best `want` of each line with all that tie with the last of them; lines stand for queries."""
    if not rows.size:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    last = min(want, scores.shape[1]) - 1
    least = -np.partition(-scores, last, axis=1)[:, last]
    line, place = np.nonzero((rows >= 0) & (scores >= least[:, None]))
    return line, scores[line, place], rows[line, place]


def _read_index(path: Path) -> faiss.Index:
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _vectors_held(index: faiss.Index) -> int:
    """Rows that FAISS can return; with lists, what the lists really hold."""
    _, inner = split_transform(index)
    lists: Any = inner.invlists if isinstance(inner, faiss.IndexIVF) else None
    return inner.ntotal if lists is None else lists.compute_ntotal()


def map_array(path: Path) -> np.ndarray:
    """A .npy file, memory-mapped. Raises ValueError when it is damaged."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
