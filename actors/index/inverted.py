"""Rows of (term, weight) in; the exact top k of their inner products with queries, over one segment, out. Knows no text and no model.

A segment keeps its weights as inverted lists, the rows of a sparse term x passage matrix, in plain .npy files that are memory-mapped:
a search reads the lists of its queries' terms and nothing else. Scores are the same bits in whatever segment a passage lies: products
of two float32 weights are exact in float64, and each score sums them in ascending order of the terms.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from actors.index.hits import Candidates, Hits, best_hits
from actors.index.segment import Segment, map_array

_BLOCK = 4_000_000
"""List entries that one matrix product reads: bounds its memory to about 100 MB whatever the number of queries."""

_PARTS = ("terms", "starts", "rows", "weights")


@dataclass(frozen=True, slots=True)
class TermRows:
    """n sparse vectors, one after the other: row i holds terms[starts[i]:starts[i + 1]] and their weights, each term once."""

    starts: np.ndarray
    """int64 [n + 1]."""
    terms: np.ndarray
    """int64 [m]: numbers of terms, such as token ids."""
    weights: np.ndarray
    """float32 [m], or unsigned counts."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def from_lists(cls, terms: pa.ChunkedArray, weights: pa.ChunkedArray) -> "TermRows":
        """From list<int32> and list<float32> columns of equal lengths, without nulls. Raises ValueError on others and on NaN."""
        ids, values = (column.combine_chunks() for column in (terms, weights))
        lengths = ids.value_lengths().to_numpy(zero_copy_only=False)
        if not np.array_equal(lengths, values.value_lengths().to_numpy(zero_copy_only=False)):
            raise ValueError("the terms and the weights of a sparse row differ in number")
        flat = values.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        if not np.isfinite(flat).all():
            row = int(np.searchsorted(starts, np.argmin(np.isfinite(flat)), side="right")) - 1
            raise ValueError(f"sparse row {row} holds NaN or infinity")
        return cls(starts, ids.flatten().to_numpy(zero_copy_only=False).astype(np.int64), flat)


class InvertedWriter:
    """Gathers the rows of a segment and writes their inverted lists. Memory: about 16 bytes for each weight."""

    def __init__(self) -> None:
        self._chunks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._lengths: list[np.ndarray] = []

    def add(self, rows: TermRows) -> None:
        """Append rows."""
        distinct, local = np.unique(rows.terms, return_inverse=True)
        self._chunks.append((distinct, local.astype(np.int32), rows.weights))
        self._lengths.append(np.diff(rows.starts))

    def finish(self, folder: Path, stem: str) -> None:
        """Write <stem>.terms.npy, .starts.npy, .rows.npy and .weights.npy."""
        terms = np.unique(np.concatenate([distinct for distinct, _, _ in self._chunks]))
        columns = np.concatenate([np.searchsorted(terms, distinct).astype(np.int32)[local] for distinct, local, _ in self._chunks])
        weights = np.concatenate([weights for _, _, weights in self._chunks])
        self._chunks.clear()
        starts = np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))])
        lists = csr_array((weights, columns, starts), shape=(len(starts) - 1, len(terms))).tocsc()
        small = np.min_scalar_type(weights.max(initial=0)) if weights.dtype.kind == "u" else np.dtype(np.float32)
        arrays = (terms, lists.indptr.astype(np.int64), lists.indices.astype(np.int32), lists.data.astype(small))
        for part, array in zip(_PARTS, arrays, strict=True):
            np.save(folder / f"{stem}.{part}.npy", array, allow_pickle=False)


def inverted_files(stem: str) -> tuple[str, ...]:
    """Names of the files of one set of inverted lists."""
    return tuple(f"{stem}.{part}.npy" for part in _PARTS)


@dataclass(frozen=True, slots=True)
class InvertedLists:
    """Open inverted lists; the arrays are memory-mapped."""

    terms: np.ndarray
    """int64 [t], ascending, each with at least one row."""
    starts: np.ndarray
    """int64 [t + 1]."""
    rows: np.ndarray
    """int32 [m], ascending within a list."""
    weights: np.ndarray
    """float32 or unsigned [m]."""

    @classmethod
    def open(cls, folder: Path, stem: str) -> "InvertedLists":
        """Map the files. Raises ValueError on damaged ones or some that do not fit together."""
        terms, starts, rows, weights = (map_array(folder / name) for name in inverted_files(stem))
        if not (len(starts) == len(terms) + 1 and starts[-1] == len(rows) == len(weights)):
            raise ValueError(f"{folder}: the {stem} files do not fit together")
        return cls(terms, starts, rows, weights)

    def read(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The lists at `places` one after the other: their sizes, rows and weights."""
        bounds = list(zip(self.starts[places].tolist(), self.starts[places + 1].tolist(), strict=True))
        sizes = np.array([stop - start for start, stop in bounds], np.int64)
        rows = [self.rows[start:stop] for start, stop in bounds]
        return sizes, np.concatenate(rows), np.concatenate([self.weights[start:stop] for start, stop in bounds])


def places_in(terms: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64 [n]: where each of `wanted` (int64) stands in the ascending `terms`, -1 where it does not."""
    places = np.searchsorted(terms, wanted)
    known = places < len(terms)
    known[known] = terms[places[known]] == wanted[known]
    return np.where(known, places, -1)


Weigh = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Places and sizes of lists, their rows and stored weights -> the float32 weights that count."""


def stored_weights(places: np.ndarray, sizes: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weights as they are stored."""
    return weights


class SparseIndex:
    """Exact search over the inverted lists of a segment."""

    def __init__(self, lists: InvertedLists, segment: Segment, weigh: Weigh = stored_weights) -> None:
        """`segment` gives the ids of rows and its number; `weigh` makes the weights of what a search reads."""
        self._lists, self._segment, self._weigh = lists, segment, weigh

    def search(self, queries: TermRows, k: int, deleted: np.ndarray | None = None) -> Hits:
        """The best k passages of positive score of every query, as [n, k] hits; `deleted` rows (int64) are left out."""
        dead = np.zeros(self._segment.rows, bool)
        dead[deleted if deleted is not None else []] = True
        found = [part for start, scores in self._scores(queries) for part in _best(start, scores, k, dead)]
        query, scores, rows = (np.concatenate(column) for column in zip(*found, strict=True)) if found else (np.zeros(0, np.int64),) * 3
        ids = np.array(self._segment.ids(rows), dtype=object)
        segment, reach = np.full(len(rows), self._segment.number, np.int32), np.zeros(len(rows), np.int8)
        return best_hits(len(queries), k, Candidates(query, scores.astype(np.float32), rows, ids, segment, reach))

    def _scores(self, queries: TermRows) -> Iterator[tuple[int, csr_array]]:
        """Scores float64 [some queries, rows] with the number of the first, block by block."""
        places = places_in(self._lists.terms, queries.terms)
        known = places >= 0
        sizes = np.where(known, self._lists.starts[places + 1] - self._lists.starts[places], 0)
        work = np.concatenate([[0], np.cumsum(sizes)])[queries.starts]
        blocks = work[:-1] // _BLOCK
        for block in np.unique(blocks):
            first, stop = np.searchsorted(blocks, [block, block + 1])
            begin, end = queries.starts[first], queries.starts[stop]
            inside = known[begin:end]
            wanted, columns = np.unique(places[begin:end][inside], return_inverse=True)
            if not len(wanted):
                continue
            starts = np.concatenate([[0], np.cumsum(inside)])[queries.starts[first : stop + 1] - begin]
            weights = queries.weights[begin:end][inside].astype(np.float64)
            asked = csr_array((weights, columns, starts), shape=(stop - first, len(wanted)))
            asked.sort_indices()  # the product sums in stored order: ascending terms, in every segment
            yield int(first), asked @ self._matrix(wanted)

    def _matrix(self, places: np.ndarray) -> csr_array:
        sizes, rows, weights = self._lists.read(places)
        values = self._weigh(places, sizes, rows, weights).astype(np.float64)
        return csr_array((values, rows, np.concatenate([[0], np.cumsum(sizes)])), shape=(len(places), self._segment.rows))


def _best(first: int, scores: csr_array, k: int, dead: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each query the best k live rows and all that tie with the last of them: query, score and row."""
    for query in range(scores.shape[0]):
        part = slice(scores.indptr[query], scores.indptr[query + 1])
        values, rows = scores.data[part].astype(np.float32), scores.indices[part].astype(np.int64)
        keep = (values > 0) & ~dead[rows]
        if keep.sum() > k:
            keep &= values >= -np.partition(-values[keep], k - 1)[k - 1]
        yield np.full(int(keep.sum()), first + query), values[keep], rows[keep]
