"""Texts of a segment in, exact BM25 search over them out, with scores that count the whole version and not the segment alone.

A segment stores what does not depend on others: how often each passage holds each term, and the passages' lengths. What does, the
number of passages, their mean length and each term's document frequency, is merged over all segments of a version, deleted passages
left out, into `CollectionStatistics`. Hence the same scores, bit for bit, for any cut into segments and as if deleted passages had
never been.

The score is Lucene's: sum over the query's terms of log(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * (1 - b + b * length / mean)).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.index.analysis import Analyzer
from actors.index.inverted import InvertedLists, InvertedWriter, SparseIndex, inverted_files, places_in
from actors.index.segment import Segment, map_array

STEM = "bm25"
LENGTHS = "bm25.lengths.npy"
FILES = (*inverted_files(STEM), LENGTHS)
"""What BM25 adds to a segment."""

_PENDING = 50_000_000  # terms held before segments are merged


class LexicalWriter:
    """Counts the terms of a segment's passages and writes them."""

    def __init__(self, language: str) -> None:
        self._analyzer, self._lists, self._lengths = Analyzer(language), InvertedWriter(), list[np.ndarray]()

    def add(self, texts: Sequence[str]) -> None:
        """Append passages."""
        rows = self._analyzer.count(texts)
        self._lists.add(rows)
        ends = np.concatenate([[0], np.cumsum(rows.weights, dtype=np.int64)])[rows.starts]
        self._lengths.append(np.diff(ends))

    def finish(self, folder: Path) -> None:
        """Write the files."""
        self._lists.finish(folder, STEM)
        np.save(folder / LENGTHS, np.concatenate(self._lengths).astype(np.int32), allow_pickle=False)


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """What BM25 has to know of a whole collection."""

    terms: np.ndarray
    """int64 [t], ascending."""
    frequencies: np.ndarray
    """int64 [t]: passages that hold the term."""
    passages: int
    tokens: int
    """Words of all passages, stop words left out."""

    @classmethod
    def of_segment(cls, folder: Path, deleted: np.ndarray | None = None) -> "CollectionStatistics":
        """Those of the live passages of one segment; `deleted`: int64 rows."""
        lists, lengths = InvertedLists.open(folder, STEM), map_array(folder / LENGTHS)
        if deleted is None or not len(deleted):
            return cls(np.array(lists.terms), np.diff(lists.starts), len(lengths), int(lengths.sum(dtype=np.int64)))
        live = np.ones(len(lengths), bool)
        live[deleted] = False
        held = np.concatenate([[0], np.cumsum(live[lists.rows])])
        frequencies = np.diff(held[lists.starts])
        kept = frequencies > 0
        return cls(lists.terms[kept], frequencies[kept], int(live.sum()), int(lengths[live].sum(dtype=np.int64)))

    @classmethod
    def merge(cls, parts: Iterable["CollectionStatistics"]) -> "CollectionStatistics":
        """Those of all parts together. Memory: the vocabulary and a bounded number of parts."""
        held: list[CollectionStatistics] = []
        for part in parts:
            held.append(part)
            if len(held) > 1 and sum(len(one.terms) for one in held) > _PENDING:
                held = [_sum(held)]
        return _sum(held)

    def save(self, path: Path) -> None:
        """Write an Arrow IPC file."""
        facts = {"passages": str(self.passages), "tokens": str(self.tokens)}
        table = pa.table({"term": self.terms, "frequency": self.frequencies}).replace_schema_metadata(facts)
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table)

    @classmethod
    def open(cls, path: Path) -> "CollectionStatistics":
        """Map what `save` wrote. Raises ValueError on a damaged file."""
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        terms, frequencies = (table[name].to_numpy() for name in ("term", "frequency"))
        facts = table.schema.metadata
        return cls(terms, frequencies, int(facts[b"passages"]), int(facts[b"tokens"]))

    def idf(self, terms: np.ndarray) -> np.ndarray:
        """float64 [n]: the inverse document frequencies of terms (int64)."""
        places = places_in(self.terms, terms)
        frequencies = np.append(self.frequencies, 0)[places]  # a place of -1 finds the 0 at the end
        # One logarithm for each distinct frequency: by the C library, whose result does not depend on the place in an array.
        distinct, where = np.unique(frequencies, return_inverse=True)
        return np.array([math.log1p((self.passages - df + 0.5) / (df + 0.5)) for df in distinct.tolist()], np.float64)[where]


def _sum(parts: Sequence[CollectionStatistics]) -> CollectionStatistics:
    terms, places = np.unique(np.concatenate([part.terms for part in parts]), return_inverse=True)
    frequencies = np.zeros(len(terms), np.int64)
    np.add.at(frequencies, places, np.concatenate([part.frequencies for part in parts]))
    return CollectionStatistics(terms, frequencies, sum(part.passages for part in parts), sum(part.tokens for part in parts))


@dataclass(frozen=True, slots=True)
class Bm25:
    """Weights of a segment's counts, from statistics of the whole collection."""

    idf: np.ndarray
    """float64 [lists]."""
    norms: np.ndarray
    """float64 [rows]: k1 * (1 - b + b * length / mean length)."""

    def __call__(self, places: np.ndarray, sizes: np.ndarray, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """float32: how much each entry of the lists at `places` counts."""
        weights: np.ndarray = np.repeat(self.idf[places], sizes) * (counts / (counts + self.norms[rows]))
        return weights.astype(np.float32)


def open_lexical(folder: Path, segment: Segment, statistics: CollectionStatistics, k1: float, b: float) -> SparseIndex:
    """BM25 search over a segment; queries are the counted terms of `Analyzer`. Raises ValueError on files that do not fit the segment."""
    lists, lengths = InvertedLists.open(folder, STEM), map_array(folder / LENGTHS)
    if len(lengths) != segment.rows:
        raise ValueError(f"{folder} does not fit together: {segment.rows} passages, {len(lengths)} of them with terms")
    mean = statistics.tokens / max(1, statistics.passages)
    norms = k1 * (1 - b + b * np.asarray(lengths, np.float64) / (mean or 1.0))
    return SparseIndex(lists, segment, Bm25(statistics.idf(lists.terms), norms))
