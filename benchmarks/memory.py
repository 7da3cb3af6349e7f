"""Peak memory of a whole run on 10 N passages over that on N: `python -m benchmarks.memory`. Exit status 1: more than 1.10.

SciFact, and SciFact ten times over with new ids, through the whole job with the tiny test checkpoints (memory does not
depend on how good a model is). Memory is the proportional set size (PSS) of the driver and everything below it, Ray's
own processes and the object store included, sampled twice a second. The index itself grows with the corpus, as it must;
what it adds is taken out of the ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.machine import describe
from benchmarks.results import RESULTS

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
MOST = 1.10  # the ratio past which memory depends on the corpus
_PASSAGES = 5183  # of SciFact


def main(arguments: Sequence[str]) -> int:
    """Run both sizes, print one JSON object and write it as memory.json; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("times", type=int, nargs="?", default=10, help="how many times N the larger corpus is")
    parser.add_argument("--passages", type=int, default=_PASSAGES, help="N, SciFact's 5,183 or fewer for a trial")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON (default: benchmarks/results)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        small, large = (measure(Path(name), times, options.passages) for times in (1, options.times))
    figures = compare(small, large)
    document = json.dumps({"command": " ".join(["python -m benchmarks.memory", *arguments]), "machine": describe(), **figures}, indent=1)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "memory.json").write_text(document + "\n")
    print(document)
    wrong = complaint(figures)
    if wrong:
        print(wrong, file=sys.stderr)
    return int(bool(wrong))


def compare(small: Mapping[str, float], large: Mapping[str, float]) -> dict[str, Any]:
    """Both, and the ratio of their peaks with and without what the index grew by."""
    ratio = (large["peak_mb"] - (large["index_mb"] - small["index_mb"])) / small["peak_mb"]
    return {"N": small, "many N": large, "ratio": round(ratio, 3), "raw_ratio": round(large["peak_mb"] / small["peak_mb"], 3)}


def complaint(figures: Mapping[str, Any]) -> str:
    """What is wrong with the figures; empty when nothing is."""
    if figures["ratio"] <= MOST:
        return ""
    small, large = figures["N"]["passages"], figures["many N"]["passages"]
    return (
        f"{large:,} passages took {figures['ratio']:.3f} times the peak memory of {small:,}, the growth of the index left out, "
        f"and {MOST:.2f} is the most: something beside the index grows with the corpus."
    )


def measure(folder: Path, times: int, passages: int) -> dict[str, float]:
    """Passages, peak PSS in MB, bytes of the index in MB and seconds of one run."""
    job = folder / f"x{times}"
    config = write_job(job, times, passages)
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "run", str(config)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak = Peak(process.pid)
    _, errors = process.communicate()
    peak.stop()
    if process.returncode:
        raise RuntimeError(errors.decode())
    index = sum(path.stat().st_size for path in (job / "store").rglob("segments/data/*index.faiss"))
    return {
        "passages": passages * times,
        "peak_mb": round(peak.kilobytes / 1e3),
        "index_mb": round(index / 1e6),
        "seconds": round(time.monotonic() - started),
    }


def write_job(folder: Path, times: int, passages: int) -> Path:
    """Its first passages repeated with new ids, and a config of small units, so that both sizes reach a steady state."""
    folder.mkdir()
    table = pq.read_table(DATA / "scifact" / "corpus.parquet").slice(0, passages)
    ids = table["_id"].to_pylist()
    parts = [table.set_column(0, "_id", pa.array([f"{i}-{n}" for i in ids])) for n in range(times)]
    pq.write_table(pa.concat_tables(parts), folder / "corpus.parquet", row_group_size=1024)
    checkpoints = DATA / "parity" / "ckpt"
    columns = {"title": "title"}
    settings = {
        "store": {"uri": str(folder / "store")},
        "corpus": {"path": str(folder / "corpus.parquet"), "columns": columns},
        "embed": {"model": str(checkpoints / "tiny-bge-en"), "precision": "fp32", "max_length": 64, "unit_rows": 256},
        "index": {"kind": "flat", "segment_rows": 10_000},
        "queries": {"path": str(DATA / "scifact" / "queries.parquet"), "unit_rows": 16},
        "rerank": {"model": str(checkpoints / "tiny-bge-reranker"), "precision": "fp32", "max_length": 64, "depth": 20},
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


class Peak:
    """Samples the memory of a process tree until stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self.kilobytes, self._running = pid, 0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more samples."""
        self._running = False
        self._thread.join()

    def _watch(self) -> None:
        while self._running:
            self.kilobytes = max(self.kilobytes, sum(_pss(pid) for pid in _tree(self._pid)))
            time.sleep(0.5)


def _tree(root: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
                continue
    tree, size = {root}, 0
    while len(tree) != size:
        size = len(tree)
        tree |= {pid for pid, parent in parents.items() if parent in tree}
    return tree


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
