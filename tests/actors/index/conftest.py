"""A small corpus full of exact duplicates, and a builder of segments from any partition of it."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from actors.index.kinds import IndexPlan, resolve_plan
from actors.index.segment import Segment
from actors.index.training import choose_sample_rows, train_template
from actors.index.writing import SegmentWriter
from configs.schema import IndexConfig


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """k-means of product quantisers is many tiny parallel loops, which crawl where cores are shared."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


@dataclass(frozen=True, slots=True)
class Corpus:
    """fp16 vectors of length 1, an id for each, and queries; some queries are passages."""

    vectors: np.ndarray
    ids: np.ndarray
    queries: np.ndarray

    def oracle(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores of the exact top-k by (score descending, id ascending), the slow way."""
        ids, scores = [], []
        for query in self.queries:
            score = (self.vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
            best = sorted(range(len(score)), key=lambda row: (-score[row], self.ids[row]))[:k]
            ids.append(self.ids[best])
            scores.append(score[best])
        return np.array(ids, dtype=object), np.array(scores)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """3,000 vectors of dimension 32: 300 distinct ones, ten copies each, shuffled, so that ties straddle every top-100."""
    rng = np.random.default_rng(7)
    vectors = np.repeat(rng.standard_normal((300, 32)), 10, axis=0)[rng.permutation(3000)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = rng.standard_normal((24, 32))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    queries[:6] = vectors[:6].astype(np.float16)
    ids = np.array([f"d{number}" for number in rng.permutation(3000)], dtype=object)
    return Corpus(vectors.astype(np.float16), ids, queries.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Generation:
    """A plan with its template."""

    plan: IndexPlan
    template: bytes


@pytest.fixture(scope="session")
def generation(corpus: Corpus) -> Callable[[IndexConfig], Generation]:
    """Resolves and trains a config on the corpus."""

    @functools.cache
    def make(config: IndexConfig) -> Generation:
        rows = len(corpus.vectors)
        plan = resolve_plan(config, rows, corpus.vectors.shape[1])
        return Generation(plan, train_template(plan, corpus.vectors[choose_sample_rows(rows, 2000, 0)], seed=3))

    return make


Build = Callable[[Generation, list[np.ndarray]], list[Segment]]


@pytest.fixture
def build(corpus: Corpus, tmp_path: Path) -> Build:
    """Segments of the given rows of the corpus, each written in three chunks."""

    def make(made: Generation, parts: list[np.ndarray]) -> list[Segment]:
        segments = []
        for number, rows in enumerate(parts):
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            with SegmentWriter(folder, made.template, made.plan, "fp16") as writer:
                for chunk in np.array_split(rows, 3):
                    ids = pa.array(corpus.ids[chunk].tolist(), pa.string())
                    writer.add(
                        corpus.vectors[chunk],
                        pa.table({"id": ids, "text": pa.array([f"text of {name}" for name in corpus.ids[chunk]], pa.string())}),
                    )
                writer.finish()
            segments.append(Segment.open(folder, made.plan, number))
        return segments

    return make
