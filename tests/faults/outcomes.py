"""The job that the fault tests harm, and what became of it: passages lost or doubled, units computed again, bytes that do not verify."""

import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from actors.storage.commits import committed_units, read_commits
from actors.storage.objects import Store, open_store
from actors.storage.verified import DamagedFile, read_verified
from configs.schema import Config
from pipelines.verify import verify
from tests.jobs import command, environment, indexed_ids, read_rankings
from tests.processes import end, kill, workers_of

PASSAGES, QUERIES, SEED = 600, 24, 20260101
SECTIONS: dict[str, Any] = {"embed": {"unit_rows": 20}, "index": {"segment_rows": 100}, "queries": {"unit_rows": 1}}
UNITS = {"vectors": 30, "segments": 6, "rankings": 24}
# Units that may be begun again when all of a job dies: one for each worker that a stage may have. Of vectors two read, two tokenise, one
# embeds, two write, and in a re-index two each look up what is stored and put it beside; of rankings two read, tokenise, search, pair and
# write, one embeds and one reranks, of which searching and reranking alone have nine and seven; one trains and two build segments.
IN_HAND = {"embed": 7, "reindex": 11, "train": 1, "index": 2, "search": 9, "rerank": 7, "rank": 12}
_started: list[subprocess.Popen] = []
IDS = [f"p{i:05d}" for i in range(PASSAGES)]


@dataclass(frozen=True)
class Outcome:
    """Of one job. `redone`: how often a worker took up a unit that one of its class had taken up before. `faults`: what is damaged."""

    lost: int
    doubled: int
    redone: int
    faults: tuple[str, ...]


def outcome(config: Config, ids: list[str] | None = None, faults: tuple[str, ...] | None = None) -> Outcome:
    """Read the whole store and count. `faults`: what `raytrieve verify` found, where the caller asked it."""
    wanted, found = set(ids or IDS), indexed_ids(config)
    store = open_store(config.store, config.s3)
    redone = sum(_begun_again(store, folder) for folder in folders(store))
    faults = (verify(config).faults if faults is None else faults) + damaged_files(store)
    return Outcome(len(wanted - set(found)), len(found) - len(set(found)), redone, faults)


def _begun_again(store: Store, folder: str) -> int:
    """Beginnings of the units of a folder beyond the first; of a unit that several classes work on, those of the one with the most."""
    notes = [json.loads(store.get(item.key)) for item in store.list(f"{folder}/attempts/")]
    most: dict[str, int] = {}
    for (unit, _), times in Counter((note["unit"], note["by"]) for note in notes).items():
        most[unit] = max(times, most.get(unit, 0))
    return sum(most.values()) - len(most)


def damaged_files(store: Store) -> tuple[str, ...]:
    """Every file that a commit record names, read again: sentences about those that are not as they were committed."""
    told = []
    records = [record for folder in folders(store, "commits") for record in read_commits(store, folder, committed_units(store, folder))]
    with tempfile.TemporaryDirectory() as cache:
        for file in (file for record in records for file in record.files.values()):
            try:
                read_verified(store, file, Path(cache))
            except DamagedFile as error:
                told.append(str(error))
    return tuple(told)


@dataclass(frozen=True)
class Change:
    """Rows of the job's corpus after ten deletions, some edits and twenty additions. `texts`: those that were not there before."""

    rows: list[dict]
    texts: list[str]

    @classmethod
    def of(cls, inputs: Path, edits: int = 60) -> "Change":
        rows = pq.read_table(inputs / "corpus.parquet").to_pylist()
        edited = [{**row, "text": f"revised {row['text']}"} for row in rows[100 : 100 + edits]]
        added = [{"_id": f"new{i}", "text": f"a panda of number {i}", "year": 2000} for i in range(20)]
        return cls([*rows[10:100], *edited, *rows[100 + edits :], *added], [row["text"] for row in (*edited, *added)])

    @property
    def ids(self) -> list[str]:
        return [row["_id"] for row in self.rows]


def tokens_embedded(store: Store) -> int:
    """As all commit records of vectors say."""
    found = [folder for folder in folders(store) if folder.startswith("vectors/")]
    records = [record for folder in found for record in read_commits(store, folder, committed_units(store, folder))]
    return sum(int(record.counts.get("tokens", 0)) for record in records)


def folders(store: Store, kind: str = "attempts") -> list[str]:
    """Those that hold records of a kind: where something was begun, or (`commits`) finished."""
    return sorted({item.key.rpartition(f"/{kind}/")[0] for item in store.list("") if f"/{kind}/" in item.key})


def check_rankings(config: Config, reference: list[dict]) -> None:
    """The rankings are those of the undisturbed run: the same ids in the same places, scores to 1e-6."""
    rows = read_rankings(config)
    keys = ("query_id", "passage_id", "rank", "retrieval_rank", "metadata")
    assert [[row[k] for k in keys] for row in rows] == [[row[k] for k in keys] for row in reference]
    for name in ("score", "retrieval_score", "rerank_score"):
        assert [row[name] for row in rows] == pytest.approx([row[name] for row in reference], abs=1e-6)


def check_none_done_again(config: Config) -> None:
    """No worker took up a unit after its commit. Times are the store's own: the clocks of workers may differ."""
    store, again = open_store(config.store, config.s3), []
    for folder in folders(store, "commits"):
        done = {Path(item.key).stem: item.modified for item in store.list(f"{folder}/commits/")}
        begun = [(Path(item.key).stem.rpartition("-")[0], item.modified) for item in store.list(f"{folder}/attempts/")]
        again += [f"{folder} {unit}" for unit, when in begun if unit in done and when > done[unit]]
    assert not again, f"units that were committed were computed again: {again}"


def committed(store: Path, kind: str) -> dict[str, float]:
    """Unit -> time of its commit record, for all stages whose folder ends so."""
    paths = [p for p in records(store, "commits") if kind in p.relative_to(store).parts]
    return {p.stem: p.stat().st_mtime for p in paths}


def in_hand(store: Path, kind: str) -> set[str]:
    """Units that were begun and are not committed, likewise."""
    begun = {p.stem.rpartition("-")[0] for p in records(store, "attempts") if kind in p.relative_to(store).parts}
    return begun - committed(store, kind).keys()


def records(store: Path, folder: str) -> list[Path]:
    """The JSON files of all folders of that name, in a store that others are writing."""
    walk = os.walk(store)  # passes over folders that vanish meanwhile
    return [Path(path, name) for path, _, names in walk if Path(path).name == folder for name in names if name.endswith(".json")]


def all_attempts(store: Path) -> list[tuple[str, str, float]]:
    """(unit, attempt, when it began) of a store on disk."""
    notes = [json.loads(p.read_text()) for p in records(store, "attempts")]
    return [(note["unit"], note["attempt"], note["started"]) for note in notes]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 120) -> None:
    """Until the condition holds. Fails with what the process said when that ends first, or the time is over."""
    last = time.monotonic() + seconds
    while not condition():
        if (process.poll() is not None and not condition()) or time.monotonic() > last:
            raise AssertionError(f"it did not come to that: {end(process)}")
        time.sleep(0.02)


def kill_driver(process: subprocess.Popen, ready: Callable[[], object]) -> None:
    """kill -9, as soon as `ready`. Returns when its workers, which notice within 0.05 s, are gone too."""
    wait_for(lambda: bool(ready()), process, seconds=400)  # what comes before the moment may be most of a job
    process.kill()
    process.wait()
    time.sleep(1.0)


def start(config_path: Path, env: dict[str, str] | None = None, what: str = "run") -> subprocess.Popen:
    """`raytrieve run`, or another command, in a process of its own, which ends with the test."""
    process = subprocess.Popen(
        command(what, str(config_path)),
        cwd=Path(__file__).parents[2],
        env=environment(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def end_started() -> None:
    """End what a test has left running."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            end(process)


def kill_workers(process: subprocess.Popen, title: str, ready: Callable[[], bool]) -> int:
    """kill -9 all of a driver's workers whose title holds `title`, as soon as `ready` and there are some. Returns how many there were."""
    victims: set[psutil.Process] = set()

    def found() -> bool:
        if ready():
            victims.update(workers_of(process.pid, title))
        return bool(victims)

    wait_for(found, process)
    kill(victims)
    return len(victims)
