"""Candidates of queries in any order in; the best k of each, in one total order, out. Knows nothing of FAISS or files.

The order: lower reach first when choosing (see `Hits.reach`), then score descending, then id ascending. It is total, so
merging parts in any grouping gives the same hits as one search over everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class Hits:
    """The best passages of n queries, each row ordered by (score descending, id ascending), padded at its end."""

    scores: np.ndarray
    """float32 [n, k]; padding -inf."""
    rows: np.ndarray
    """int64 [n, k]: row within the segment; padding -1."""
    ids: np.ndarray
    """object (str) [n, k]; padding ""."""
    segment: np.ndarray
    """int32 [n, k]: number of the segment; padding -1."""
    reach: np.ndarray
    """int8 [n, k]: 0 when found in the first nprobe lists, else how often they were doubled. A hit of higher reach only fills
    places that all segments together leave empty: a small segment that looked further must not outdo a large one that need not."""

    @property
    def counts(self) -> np.ndarray:
        """int64 [n]: hits of each query."""
        return (self.rows >= 0).sum(axis=1)

    def to_table(self) -> pa.Table:
        """One row per query with list columns ids, scores, rows, segments, reach; padding is left out."""
        found = self.rows >= 0
        offsets = pa.array(np.concatenate([[0], np.cumsum(found.sum(axis=1))]), pa.int32())
        columns = {
            "ids": pa.array(self.ids[found].tolist(), pa.string()),
            "scores": pa.array(self.scores[found]),
            "rows": pa.array(self.rows[found]),
            "segments": pa.array(self.segment[found]),
            "reach": pa.array(self.reach[found]),
        }
        return pa.table({name: pa.ListArray.from_arrays(offsets, values) for name, values in columns.items()})

    @classmethod
    def from_table(cls, table: pa.Table, k: int | None = None) -> "Hits":
        """The inverse of `to_table`; k is the width (none takes the longest row). Raises ValueError when a row is longer than k."""
        counts = np.asarray(pc.list_value_length(table["ids"]), dtype=np.int64)
        longest = int(counts.max(initial=0))
        width = longest if k is None else k
        if longest > width:
            raise ValueError(f"a query holds {longest} hits, more than the {width} asked for")
        found = np.arange(width) < counts[:, None]
        hits = empty_hits(len(counts), width)
        for name, target in _COLUMNS.items():
            getattr(hits, target)[found] = pc.list_flatten(table[name]).to_numpy()
        return hits


_COLUMNS = {"ids": "ids", "scores": "scores", "rows": "rows", "segments": "segment", "reach": "reach"}


@dataclass(frozen=True, slots=True)
class Candidates:
    """m candidates of any queries, in any order; all arrays [m]."""

    query: np.ndarray
    """int64: position of the query in its batch."""
    scores: np.ndarray
    rows: np.ndarray
    ids: np.ndarray
    segment: np.ndarray
    reach: np.ndarray


def empty_hits(queries: int, k: int) -> Hits:
    """Nothing but padding, [queries, k]."""
    shape = (queries, k)
    return Hits(
        np.full(shape, -np.inf, np.float32),
        np.full(shape, -1, np.int64),
        np.full(shape, "", object),
        np.full(shape, -1, np.int32),
        np.zeros(shape, np.int8),
    )


def best_hits(queries: int, k: int, candidates: Candidates) -> Hits:
    """The best k of every query. Raises ValueError when an id comes twice for a query."""
    hits = empty_hits(queries, k)
    coded = pa.array(candidates.ids.tolist(), pa.string()).dictionary_encode()  # most ids answer several queries: each is compared once
    _refuse_twins(candidates, np.asarray(coded.indices, np.int64))
    falling = -candidates.scores
    mixed = len(candidates.reach) and np.ptp(candidates.reach) > 0
    ranks = _ranks(coded, _tied(candidates.query, falling))
    order = np.lexsort((ranks, falling, candidates.reach, candidates.query) if mixed else (ranks, falling, candidates.query))
    order = order[_places(candidates.query[order]) < k]
    if mixed:
        order = order[np.lexsort((ranks[order], falling[order], candidates.query[order]))]
    query = candidates.query[order]
    place = (query, _places(query))
    for name in _COLUMNS.values():
        getattr(hits, name)[place] = getattr(candidates, name)[order]
    return hits


def merge_hits(parts: Sequence[Hits], k: int) -> Hits:
    """The best k hits per query over all parts, whose rows are the same queries in the same order.

    The same result for any order or grouping of the parts. Raises ValueError on no parts, on parts of different query
    counts, and when an id comes twice for a query (then two segments overlap).
    """
    if len({len(part.scores) for part in parts}) != 1:
        raise ValueError(f"parts of one or more equal query counts can be merged, not {[len(part.scores) for part in parts]}")
    found = [part.rows >= 0 for part in parts]
    columns = {
        name: np.concatenate([getattr(part, name)[mask] for part, mask in zip(parts, found, strict=True)]) for name in _COLUMNS.values()
    }
    query = np.concatenate([np.nonzero(mask)[0] for mask in found])
    return best_hits(len(parts[0].scores), k, Candidates(query=query, **columns))


def _tied(queries: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """bool [m]: another candidate of the same query has the same score."""
    order = np.lexsort((scores, queries))
    before, after = order[:-1], order[1:]
    same = (queries[before] == queries[after]) & (scores[before] == scores[after])
    tied = np.zeros(len(queries), bool)
    tied[before[same]] = tied[after[same]] = True
    return tied


def _ranks(coded: pa.DictionaryArray, tied: np.ndarray) -> np.ndarray:
    """int64 [m]: place of each id among the distinct ids that are in a tie, ascending by code point; 0 of others, which need none."""
    codes = np.asarray(coded.indices, np.int64)
    wanted = np.unique(codes[tied])
    places = np.zeros(len(coded.dictionary), np.int64)
    places[wanted] = np.asarray(pc.rank(coded.dictionary.take(pa.array(wanted)), sort_keys="ascending", tiebreaker="dense"), np.int64)
    return places[codes]


def _places(queries: np.ndarray) -> np.ndarray:
    """Position of each entry within its run of equal, ascending query numbers."""
    return np.arange(len(queries)) - np.searchsorted(queries, queries, side="left")


def _refuse_twins(candidates: Candidates, codes: np.ndarray) -> None:
    """Raise ValueError where a query has two candidates of one id. `codes`: a number for each id, int64 [m]."""
    pairs = np.sort(candidates.query * (int(codes.max(initial=0)) + 1) + codes)
    twins = pairs[1:][pairs[1:] == pairs[:-1]]
    if len(twins):
        query, code = divmod(int(twins[0]), int(codes.max()) + 1)
        raise ValueError(
            f"id {candidates.ids[codes == code][0]!r} comes twice for query {query}: two segments overlap or an id is not unique"
        )
