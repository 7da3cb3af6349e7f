"""Small whole jobs for tests: a corpus of made sentences with judgements, and configs over the tiny checkpoints."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from actors.loading import EncoderSpec
from actors.storage.manifests import newest_version
from actors.storage.objects import Store, open_store
from configs.load import build_config
from configs.schema import Config, S3Config

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "tests" / "data" / "parity" / "ckpt"
WORDS = (
    "panda giant bear species endemic china large search index retrieval vector sparse dense embedding rerank score model train token pair "
    "top hundred corpus document text match word given protein female eat summit define capital france paris city populous berlin germany "
    "london england wrote romeo juliet shakespeare william highest point mountain level query passage answer"
).split()


def sentence(rng: random.Random, low: int = 4, high: int = 40) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def make_corpus(folder: Path, passages: int = 600, queries: int = 24, seed: int = 0) -> None:
    """corpus.parquet, queries.jsonl and qrels.tsv; every query is words of the passage that answers it."""
    rng = random.Random(seed)
    texts = [sentence(rng) for _ in range(passages)]
    columns = {"_id": [f"p{i:05d}" for i in range(passages)], "text": texts, "year": [1900 + i % 100 for i in range(passages)]}
    pq.write_table(pa.table(columns), folder / "corpus.parquet", row_group_size=100)
    answers = rng.sample(range(passages), queries)
    with open(folder / "queries.jsonl", "w") as out:
        for number, answer in enumerate(answers):
            out.write(json.dumps({"_id": f"q{number}", "text": " ".join(texts[answer].split()[:6])}) + "\n")
    rows = "".join(f"q{number}\tp{answer:05d}\t1\n" for number, answer in enumerate(answers))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)


def tiny_settings(inputs: Path | str, store: Path | str, **sections: Any) -> dict[str, Any]:
    """Plain config data: many small units and two stages of tiny models. `sections` are merged over it."""
    settings: dict[str, Any] = {
        "name": "tiny",
        "store": {"uri": str(store)},
        "corpus": {"path": f"{inputs}/corpus.parquet", "columns": {"metadata": ["year"]}},
        "embed": {"model": str(CHECKPOINTS / "tiny-bge-en"), "precision": "fp32", "unit_rows": 60, "tokenizers": 2},
        "index": {"kind": "flat", "segment_rows": 250},
        "queries": {"path": f"{inputs}/queries.jsonl", "qrels": f"{inputs}/qrels.tsv", "unit_rows": 4},
        "search": {"top_k": 20},
        "rerank": {"model": str(CHECKPOINTS / "tiny-bge-reranker"), "precision": "fp32", "max_length": 128},
        "ray": {"local_cpus": 8, "object_store_gb": 0.2},
    }
    for name, values in sections.items():
        settings[name] = {**settings.get(name, {}), **values} if isinstance(values, dict) else values
    return settings


def tiny_config(inputs: Path | str, store: Path | str, **sections: Any) -> Config:
    return build_config(tiny_settings(inputs, store, **sections), "test")


def write_config(path: Path, settings: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(settings))
    return path


def raytrieve(*arguments: str, env: dict[str, str] | None = None, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(command(*arguments), cwd=ROOT, env=environment(env), capture_output=True, text=True, timeout=timeout)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipelines", *arguments]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_ADDRESS"))}
    return {**kept, "HF_HUB_OFFLINE": "0", **(extra or {})}


def read_rankings(config: Config) -> list[dict[str, Any]]:
    """All committed ranking rows of the config's run, by query and rank, read as another tool would."""
    from pipelines.job import run_name

    store = open_store(config.store, config.s3)
    rows: list[dict[str, Any]] = []
    for item in store.list(f"runs/{run_name(config)}/rankings/commits/"):
        record = json.loads(store.get(item.key))
        rows += pq.read_table(pa.BufferReader(store.get(record["files"]["data"]["key"]))).to_pylist()
    return sorted(rows, key=lambda row: (row["query_id"], row["rank"]))


def tokens_of(config: Config, texts: list[str]) -> int:
    """What embedding each text once takes."""
    return int(EncoderSpec(config.embed, "fp32", S3Config()).tokenizer().passages(texts).lengths.sum())


def indexed_ids(config: Config) -> list[str]:
    """Ids of all passages in the newest version, without the deleted ones."""
    return [row["id"] for row in _indexed_rows(open_store(config.store, config.s3))]


def indexed_texts(store: Store) -> dict[str, str]:
    """Id -> text of the newest version, without the deleted ones, read as another tool would."""
    rows = _indexed_rows(store)
    found = {row["id"]: row["text"] for row in rows}
    assert len(found) == len(rows)
    return found


def _indexed_rows(store: Store) -> list[dict[str, Any]]:
    manifest = newest_version(store)
    assert manifest is not None
    rows: list[dict[str, Any]] = []
    for segment in manifest.segments:
        table = pa.ipc.open_file(pa.BufferReader(store.get(segment.files["passages.arrow"].key))).read_all().select(["id", "text"])
        gone = set(manifest.deletions.get(segment.segment, []))
        rows += [row for number, row in enumerate(table.to_pylist()) if number not in gone]
    assert len(rows) == manifest.rows
    return rows
