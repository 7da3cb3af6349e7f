"""What all searchers share: which retrievers are asked, and what each is asked of a table of queries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from actors.index.analysis import Analyzer
from actors.index.fusion import Fused, fuse
from actors.index.hits import Hits, merge_hits
from actors.index.inverted import TermRows
from actors.index.kinds import IndexPlan
from actors.pieces import SPARSE_COLUMNS, sparse_of, vectors_of
from actors.storage.commits import DataFile
from configs.schema import SearchConfig

COLUMNS = {"dense": ("vector",), "sparse": SPARSE_COLUMNS, "bm25": ("text",)}
"""What each retriever is asked: columns of the queries' table."""

Questions = Mapping[str, np.ndarray | TermRows]
"""By retriever, the queries of a unit as it takes them."""

Found = dict[str, Hits]
"""By retriever, its best of every query."""

AskAll = Callable[[str, Callable[[], Questions], int], Sequence[Found]]
"""A unit's name, its questions (made when called: a sweep has asked them before) and how deep -> what each part of the version found."""


class Retriever(Protocol):
    """Search over one segment."""

    def search(self, queries: Any, k: int, deleted: np.ndarray | None = None) -> Hits:
        """The best k of the segment for each query, [n, k]; `deleted` rows (int64) are left out inside the search."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How the segments of a version are searched."""

    plan: IndexPlan
    config: SearchConfig
    statistics: DataFile | None = None
    """Of the terms of the whole version, for BM25."""


class Asker:
    """Makes each retriever's questions of a table of queries. Keeps what is costly to make anew for every table."""

    def __init__(self, config: SearchConfig) -> None:
        self._kinds = config.retrievers
        self._analyzer = Analyzer(config.bm25.language) if "bm25" in config.retrievers else None

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        return [column for kind in self._kinds for column in COLUMNS[kind]]

    def __call__(self, table: pa.Table) -> Questions:
        """The questions, in the order of the retrievers. An encoder without lexical weights can not have got here."""
        return {kind: self._question(kind, table) for kind in self._kinds}

    def _question(self, kind: str, table: pa.Table) -> np.ndarray | TermRows:
        if kind == "dense":
            return vectors_of(table).astype(np.float32, copy=False)
        if self._analyzer is not None and kind == "bm25":
            return self._analyzer.count(table["text"].to_pylist())
        return sparse_of(table)


def merge_found(parts: Sequence[Found], k: int) -> Found:
    """The best k of each retriever over one or more parts of a version."""
    return {kind: merge_hits([part[kind] for part in parts], k) for kind in parts[0]}


def ranked(found: Found, config: SearchConfig) -> Fused:
    """One ranking of the top_k, from one retriever as it is or from several by fusion."""
    if len(found) > 1:
        return fuse(found, config.weights.model_dump(), config.fusion, config.top_k)
    return Fused(next(iter(found.values())), {})
