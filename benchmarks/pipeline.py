"""`python -m benchmarks pipeline`: the embed stage under Ray beside the same engine fed from memory, and other libraries' encode alone.

The stage goes from a Parquet file to committed vectors, and its time has in it the start of its actors and the loading of the model; the
engine and the other libraries are loaded and have their texts in memory. Ray itself runs already. What the stage does once its first
unit is committed is told apart: that is how a long run goes on.
"""

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.models import load_encoder
from actors.models.text_tokenizer import TextTokenizer
from actors.pieces import vectors_of
from actors.storage.commits import CommitRecord
from benchmarks import peers
from benchmarks.checkpoints import Checkpoint, prepare
from benchmarks.parity import NotTheSame, admit, check_vectors
from benchmarks.results import Case, publish
from benchmarks.texts import scifact_passages
from benchmarks.timing import OURS, Contestant, Timing, measure, spread
from configs.load import build_config
from configs.schema import Config, RayConfig
from pipelines.cluster import connected
from pipelines.embed import describe_embedding
from pipelines.job import open_job
from pipelines.whole_corpus import embed_corpus

_PEERS = {
    "sentence-transformers": ("sentence_transformers", peers.open_sentence_transformer),
    "FlagEmbedding FlagModel": ("FlagEmbedding", peers.open_flag_model),
}
_UNITS = 5
_LEAST_COSINE = 0.98  # in any precision


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this comparison."""
    parser.add_argument("--shapes", default="minilm", help="shapes, or folders of checkpoints, by commas")
    parser.add_argument("--texts", type=int, default=2000, help="passages of SciFact, at most 5,183")
    parser.add_argument("--unit-rows", type=int, default=250, help="passages of one work unit")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "int8"), help="of our engine")


def run(options: argparse.Namespace) -> Path:
    """Compare and publish; returns the path of the JSON. Raises NotTheSame when committed vectors are not the engine's."""
    cases, left_out = [], {}
    with tempfile.TemporaryDirectory() as temporary, connected(RayConfig()):
        for shape in options.shapes.split(","):
            checkpoint = prepare(shape, Path(temporary))
            cases.append(_case(checkpoint, Path(temporary), options, left_out))
    return publish("pipeline", cases, left_out, options.out)


def _case(checkpoint: Checkpoint, temporary: Path, options: argparse.Namespace, left_out: dict[str, str]) -> Case:
    texts = scifact_passages(options.texts)
    tokens = float(TextTokenizer(checkpoint.folder).passages(texts).lengths.sum())
    encoder = load_encoder(checkpoint.folder, precision=options.precision)
    named = "bf16" if str(encoder.dtype) == "torch.bfloat16" else "fp32"
    precision = "int8" if options.precision == "int8" else named
    stage = _Stage(_settings(checkpoint, temporary, texts, precision, options.unit_rows))
    works = {f"{OURS} {precision}, from memory": lambda: encoder.encode_corpus(texts).dense, f"{OURS} {precision}, under Ray": stage}
    for peer, (module, opener) in _PEERS.items():
        if reason := peers.missing(module):
            left_out[peer] = reason
        else:
            works[f"{peer} encode alone"] = partial(opener(checkpoint), texts, 0)
    first = next(iter(works))

    def check(name: str, vectors: np.ndarray, reference: np.ndarray) -> str:
        agreement = check_vectors(name, vectors, reference, precision)
        if agreement["min_cosine"] < _LEAST_COSINE:
            raise NotTheSame(f"{name}: a vector has cosine {agreement['min_cosine']:.4f} with ours, less than {_LEAST_COSINE}")
        return "" if name == first else f"off by {agreement['max_error']:.0e} at most, cosine {agreement['min_cosine']:.4f}"

    title = f"{checkpoint.name}, scifact, {len(texts)} texts"
    admitted, notes = admit([Contestant(name, work, tokens, "tokens") for name, work in works.items()], check, title, left_out)
    stage.runs.clear()
    timings = measure(admitted, options.repeats)
    return Case(title, timings, f"{OURS} {precision}, under Ray", {"tokens": int(tokens)} | _facts(stage.runs, timings[0]), notes)


def _settings(checkpoint: Checkpoint, temporary: Path, texts: Sequence[str], precision: str, unit_rows: int) -> dict[str, Any]:
    corpus = temporary / f"{checkpoint.name}.parquet"
    pq.write_table(pa.table({"_id": [str(number) for number in range(len(texts))], "text": list(texts)}), corpus)
    model = {"model": str(checkpoint.folder), "precision": precision, "unit_rows": unit_rows, "store_dtype": "fp32"}
    return {"store": {"uri": str(temporary / f"{checkpoint.name}-store")}, "corpus": {"path": str(corpus)}, "embed": model}


@dataclass(slots=True)
class _Run:
    """One execution of the stage: its commit records."""

    records: list[CommitRecord]

    def steady_rate(self) -> float:
        """Tokens per second between the first commit and the last."""
        ends = sorted((record.finished, record.counts["tokens"]) for record in self.records)
        return sum(tokens for _, tokens in ends[1:]) / (ends[-1][0] - ends[0][0])

    def busy(self) -> float:
        """Share of the time from the first commit to the last that the model computed."""
        ordered = sorted(self.records, key=lambda record: record.finished)
        return sum(record.counts["embed_seconds"] for record in ordered[1:]) / (ordered[-1].finished - ordered[0].finished)


class _Stage:
    """Runs the stage into a new store at every call; the vectors come back in the order of the texts."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings, self._numbers = settings, itertools.count()
        self.runs: list[_Run] = []

    def __call__(self) -> np.ndarray:
        config = self._config()
        with open_job(config) as job:
            records = embed_corpus(job, describe_embedding(job))
            self.runs.append(_Run(records))
            tables = [pq.read_table(pa.BufferReader(job.store.get(record.files["data"].key)), columns=["vector"]) for record in records]
        return np.concatenate([vectors_of(table) for table in tables])

    def _config(self) -> Config:
        store = {"uri": f"{self._settings['store']['uri']}-{next(self._numbers)}"}
        return build_config({**self._settings, "store": store}, "benchmarks.pipeline")


def _facts(runs: Sequence[_Run], engine: Timing) -> dict[str, Any]:
    """Of runs of several units, the part after the first commit: its rate over the engine's, and how busy the model was in it."""
    if any(len(run.records) < _UNITS for run in runs):
        return {"after the first commit": f"fewer than {_UNITS} units are no steady state: lower --unit-rows"}
    over = spread([run.steady_rate() * seconds / engine.amount for run, seconds in zip(runs, engine.seconds, strict=True)])
    busy = spread([run.busy() for run in runs])
    return {"after the first commit, over the engine from memory": over, "model busy after the first commit": busy}
