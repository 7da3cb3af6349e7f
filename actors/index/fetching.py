"""Queries and a FAISS index in; candidates with FAISS' own, approximate scores out. Decides neither order nor completeness.

A reach is what one fetch looks at: the whole index, or the lists nearest to each query and then, doubling, those beyond.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import faiss
import numpy as np

from actors.index.kinds import IndexPlan
from actors.index.lists import apply_transforms, centroids_of, nearest_lists, split_transform
from actors.index.scanning import FlatScan

_STUBLESS: Any = faiss
"""FAISS where its type stubs lag behind what its Python classes take."""


@dataclass(frozen=True, slots=True)
class Deletions:
    """Rows that a search leaves out, in the two forms that fetches want."""

    rows: np.ndarray
    """int64, ascending, distinct."""
    selector: faiss.IDSelector | None
    """Selects all other rows; none when nothing is deleted."""

    @classmethod
    def of(cls, total: int, deleted: np.ndarray | None) -> "Deletions":
        """From row numbers below `total` in any order. Raises IndexError on others."""
        rows = np.zeros(0, np.int64) if deleted is None else np.unique(np.asarray(deleted, np.int64))
        if not len(rows):
            return cls(rows, None)
        if rows[0] < 0 or rows[-1] >= total:
            raise IndexError(f"deleted rows {rows[0]} to {rows[-1]} are not all among the {total} rows of the segment")
        live = np.ones(total, bool)
        live[rows] = False
        return cls(rows, _STUBLESS.IDSelectorBitmap(np.packbits(live, bitorder="little")))


class Reach(Protocol):
    """The part of an index that some queries look at."""

    @property
    def pads_mean_all(self) -> bool:
        """A fetch that comes back short has returned everything within reach."""

    def fetch(self, count: int, deletions: Deletions) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 and rows int64, both [n, count or more], best first by FAISS' score; rows are -1 where nothing is left."""

    def narrow(self, keep: np.ndarray) -> "Reach":
        """The same for some of the queries (positions int64)."""

    def wider(self) -> "Reach | None":
        """What lies beyond, twice as far; nothing of this reach is in it. None at the end."""


class ScanReach:
    """All vectors, one by one. What two rough looks leave open, the second at twice as many rows, the next settles in float32."""

    pads_mean_all = True

    def __init__(self, vectors: FlatScan, queries: np.ndarray, rough: int = 2) -> None:
        self._vectors, self._queries, self._rough = vectors, queries, rough

    def fetch(self, count: int, deletions: Deletions) -> tuple[np.ndarray, np.ndarray]:
        """As Reach.fetch."""
        return (self._vectors.propose if self._rough else self._vectors.exact)(self._queries, count, deletions.rows)

    def narrow(self, keep: np.ndarray) -> "ScanReach":
        """As Reach.narrow."""
        return ScanReach(self._vectors, self._queries[keep], max(0, self._rough - 1))

    def wider(self) -> None:
        """Nothing lies beyond."""
        return None


class WholeReach:
    """All of a compressed index or a graph, without inverted lists."""

    def __init__(self, index: faiss.Index, queries: np.ndarray) -> None:
        self._index, self._queries = index, queries

    @property
    def pads_mean_all(self) -> bool:
        """A graph search may come back short although it has not seen everything."""
        return not isinstance(self._index, faiss.IndexHNSW)

    def fetch(self, count: int, deletions: Deletions) -> tuple[np.ndarray, np.ndarray]:
        """As Reach.fetch."""
        if isinstance(self._index, faiss.IndexHNSW):
            params = _STUBLESS.SearchParametersHNSW(efSearch=max(count, 64), sel=deletions.selector)
            return self._index.search(self._queries, count, params=params)
        params = None if deletions.selector is None else _STUBLESS.SearchParameters(sel=deletions.selector)
        return self._index.search(self._queries, count, params=params)

    def narrow(self, keep: np.ndarray) -> "WholeReach":
        """As Reach.narrow."""
        return WholeReach(self._index, self._queries[keep])

    def wider(self) -> None:
        """Nothing lies beyond."""
        return None


class ListReach:
    """Some inverted lists per query."""

    pads_mean_all = True

    def __init__(
        self, ivf: faiss.IndexIVF, queries: np.ndarray, width: int, lists: np.ndarray, scores: np.ndarray, visited: np.ndarray
    ) -> None:
        """`lists` and their centroid `scores` [n, width], -1 where a list was looked at before; `visited` bool [n, nlist + 1] or [n, 0]."""
        self._ivf, self._queries, self._width, self._lists, self._scores, self._visited = ivf, queries, width, lists, scores, visited

    @classmethod
    def nearest(cls, ivf: faiss.IndexIVF, queries: np.ndarray, nprobe: int) -> "ListReach":
        """The nprobe lists nearest to each query."""
        lists, scores = nearest_lists(ivf, centroids_of(ivf), queries, nprobe)
        return cls(ivf, queries, nprobe, lists, scores, np.zeros((len(queries), 0), bool))

    def fetch(self, count: int, deletions: Deletions) -> tuple[np.ndarray, np.ndarray]:
        """As Reach.fetch."""
        shape = (len(self._queries), count)
        scores, rows = np.empty(shape, np.float32), np.empty(shape, np.int64)
        inputs = [np.ascontiguousarray(array) for array in (self._queries, self._lists, self._scores)]
        params = _STUBLESS.SearchParametersIVF(nprobe=self._lists.shape[1], sel=deletions.selector)
        queries, lists, centroid_scores, found_scores, found_rows = (faiss.swig_ptr(array) for array in (*inputs, scores, rows))
        ivf: Any = self._ivf  # The stubs leave the C form out, the only one that takes a selector.
        ivf.search_preassigned_c(shape[0], queries, count, lists, centroid_scores, found_scores, found_rows, False, params)
        return scores, rows

    def narrow(self, keep: np.ndarray) -> "ListReach":
        """As Reach.narrow."""
        return ListReach(self._ivf, self._queries[keep], self._width, self._lists[keep], self._scores[keep], self._visited[keep])

    def wider(self) -> "ListReach | None":
        """The lists from `width` to twice `width`; none when all were visited."""
        nlist = self._ivf.nlist
        if self._width >= nlist:
            return None
        width = min(2 * self._width, nlist)
        # One spare column stands for list -1, so that what was left out before needs no case of its own.
        visited = self._visited.copy() if self._visited.shape[1] else np.zeros((len(self._queries), nlist + 1), bool)
        np.put_along_axis(visited, self._lists, True, axis=1)
        visited[:, nlist] = True
        lists, scores = self._ranked(width)
        lists = np.where(np.take_along_axis(visited, lists, axis=1), -1, lists)
        return ListReach(self._ivf, self._queries, width, lists, scores, visited)

    def _ranked(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        centroids = centroids_of(self._ivf)
        if width < self._ivf.nlist:
            return nearest_lists(self._ivf, centroids, self._queries, width)
        return np.tile(np.arange(width), (len(self._queries), 1)), self._queries @ centroids.T


def first_reach(index: faiss.Index, plan: IndexPlan, queries: np.ndarray, scan: FlatScan | None) -> Reach:
    """Where the search of queries float32 [n, d] starts. `scan`: that of an index of plain vectors."""
    if scan is not None:
        return ScanReach(scan, queries)
    chain, inner = split_transform(index)
    inside = np.ascontiguousarray(apply_transforms(chain, queries), dtype=np.float32)
    if isinstance(inner, faiss.IndexIVF):
        return ListReach.nearest(inner, inside, plan.nprobe)
    return WholeReach(inner, inside)
