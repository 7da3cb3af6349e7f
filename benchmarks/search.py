"""`python -m benchmarks search`: a flat segment of ours beside faiss IndexFlatIP over the same stored vectors.

Ours is the whole search that a run makes: rows proposed, re-scored exactly and put in order with their ids, where FAISS gives row numbers.
Vectors are random and of length 1.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa

from actors.index.kinds import resolve_plan
from actors.index.products import Bf16Products, Int8Products, fastest_products
from actors.index.segment import Segment
from actors.index.training import train_template
from actors.index.writing import SegmentWriter
from benchmarks.machine import bare_matmuls, matmul_shares
from benchmarks.parity import admit, check_hits
from benchmarks.results import Case, publish
from benchmarks.timing import OURS, Contestant, measure
from configs.schema import IndexConfig

_CHUNK = 50_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this comparison."""
    parser.add_argument("--dimensions", default="384,1024", help="of the vectors, by commas")
    parser.add_argument("--rows", type=int, default=200_000, help="vectors of the index")
    parser.add_argument("--queries", type=int, default=1000, help="queries of one call")
    parser.add_argument("--k", type=int, default=100, help="neighbours")


def run(options: argparse.Namespace) -> Path:
    """Compare and publish; returns the path of the JSON. Raises NotTheSame when our search misses a row that IndexFlatIP finds."""
    cases, left_out = [], {}
    for dimension in map(int, options.dimensions.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            segment = _segment(Path(temporary, "segment"), options.rows, dimension)
            cases.append(_case(segment, _unit_vectors(options.queries, dimension, 1), options.k, options.repeats, left_out))
    return publish("search", cases, left_out, options.out)


def _case(segment: Segment, queries: np.ndarray, k: int, repeats: int, left_out: dict[str, str]) -> Case:
    dimension = queries.shape[1]
    index = faiss.IndexFlatIP(dimension)
    index.add(segment.vectors)

    def check(_: str, rows: np.ndarray, reference: np.ndarray) -> str:
        return f"recall@{k} {check_hits(rows, reference, queries, segment.vectors)['recall']:.3f}"

    for _ in range(2):  # a segment takes its fastest way once enough was asked of it
        segment.search(queries, k)
    precision = {Bf16Products: "bf16", Int8Products: "int8"}.get(fastest_products(), "fp32")
    works = {
        "faiss IndexFlatIP": lambda: index.search(queries, k)[1],
        "faiss IndexFlatIP, by BLAS": partial(_by_blas, index, queries, k),
        f"{OURS} {precision}": lambda: segment.search(queries, k).rows,
    }
    title = f"{segment.rows:,} vectors of {dimension}, {len(queries):,} queries, top {k}"
    admitted, notes = admit([Contestant(name, work, len(queries), "queries") for name, work in works.items()], check, title, left_out)
    timings = measure([*admitted, *bare_matmuls(dimension, 4096)], repeats)
    teraflops = 2 * len(queries) * segment.rows * dimension / 1e12
    return Case(title, timings, f"{OURS} {precision}", {"TFLOP": round(teraflops, 4)} | matmul_shares(timings, teraflops), notes)


def _by_blas(index: faiss.IndexFlatIP, queries: np.ndarray, k: int) -> np.ndarray:
    """The same by matrix products, which faiss 1.15 takes from queries x dimension = 128,000 on unless told otherwise."""
    before, faiss.cvar.distance_compute_blas_threshold = faiss.cvar.distance_compute_blas_threshold, 1
    try:
        rows: np.ndarray = index.search(queries, k)[1]
        return rows
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


def _segment(folder: Path, rows: int, dimension: int) -> Segment:
    """A flat segment of random vectors, as the index stage writes it."""
    plan = resolve_plan(IndexConfig(kind="flat"), rows, dimension)
    with SegmentWriter(folder, train_template(plan, np.zeros((0, dimension), np.float32), 0), plan) as writer:
        for start in range(0, rows, _CHUNK):
            numbers = range(start, min(rows, start + _CHUNK))
            ids = pa.array([f"passage-{number}" for number in numbers])
            writer.add(_unit_vectors(len(numbers), dimension, 2 + start), pa.table({"id": ids, "text": ids}))
        writer.finish()
    return Segment.open(folder, plan)


def _unit_vectors(rows: int, dimension: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
