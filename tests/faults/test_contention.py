"""Several runs at once over one store: of two writers of a unit or a version one counts, and no run's changes are lost."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from actors.storage.local_store import LocalStore
from actors.storage.manifests import newest_version, version_numbers
from configs.load import build_config, load_config
from pipelines.reindex import reindex
from pipelines.verify import verify
from tests.faults.outcomes import SECTIONS, UNITS, check_rankings, committed, outcome, start
from tests.jobs import indexed_texts, tiny_config, tiny_settings, write_config

pytestmark = pytest.mark.cluster
RUNS = 10


@pytest.mark.chaos
def test_two_drivers_of_one_job_both_succeed_and_publish_one_version(inputs, reference, tally, tmp_path):
    store = tmp_path / "store"
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **SECTIONS))
    processes = [start(path), start(path)]
    for process in processes:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors
    config = tiny_config(inputs, store, **SECTIONS)
    check_rankings(config, reference)
    found = outcome(config)
    tally("two writers of every unit and of the version", found.redone, found, sum(UNITS.values()) + 1)
    assert version_numbers(LocalStore(store)) == [1]
    assert {kind: len(committed(store, kind)) for kind in UNITS} == UNITS


def upserting(inputs: Path, store: Path, **reindex: Any) -> dict[str, Any]:
    made = tiny_settings(inputs, store, **SECTIONS, reindex={"mode": "upsert", "lease_s": 5, **reindex})
    return {**made, "queries": None, "rerank": None}


def overlapping(inputs: Path, store: Path, folder: Path) -> list[Path]:
    """Configs of so many upserts: the last two change the metadata of a passage each, the others delete one."""
    texts, paths = indexed_texts(LocalStore(store)), []
    for number in range(RUNS):
        name, deletes = f"p{number:05d}", number < RUNS - 2
        made = upserting(inputs, store, **({"deletions": str(folder / f"{number}.txt")} if deletes else {}))
        if deletes:
            (folder / f"{number}.txt").write_text(f"{name}\n")
        else:
            made["corpus"]["path"] = str(folder / f"{number}.parquet")
            row = {"_id": name, "text": texts[name], "year": 3000 + number}
            pq.write_table(pa.Table.from_pylist([row]), folder / f"{number}.parquet")
        paths.append(write_config(folder / f"{number}.yaml", made))
    return paths


def follow_alone(path: Path, address: str) -> None:
    """`raytrieve reindex` in a process of its own, joined to a Ray that is there."""
    os.environ["RAY_ADDRESS"] = address
    reindex(load_config(path))


@pytest.mark.chaos
def test_ten_runs_started_together_publish_ten_versions_and_the_last_has_every_change(inputs, finished, tmp_path):
    store = LocalStore(shutil.copytree(finished, tmp_path / "store"))
    before, address = indexed_texts(store), ray.get_runtime_context().gcs_address
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["actors.opening", "actors.loading", "pandas"])  # not Ray: its random ids would repeat in forks
    paths = overlapping(inputs, store.root, tmp_path)
    processes = [context.Process(target=follow_alone, args=(path, address)) for path in paths]
    for process in processes:
        process.start()
    for process in processes:
        process.join(500)
    assert [process.exitcode for process in processes] == [0] * RUNS
    config = build_config(upserting(inputs, store.root), "test")
    assert version_numbers(store) == list(range(1, RUNS + 2))
    assert all(verify(config, number).faults == () for number in range(2, RUNS + 2))
    assert indexed_texts(store) == {name: text for name, text in before.items() if name not in {f"p{i:05d}" for i in range(RUNS - 2)}}
    newest = newest_version(store)
    assert newest is not None
    metadata = {
        row["id"]: json.loads(row["metadata"])["year"]
        for entry in newest.segments[UNITS["segments"] :]
        for row in pa.ipc.open_file(pa.BufferReader(store.get(entry.files["passages.arrow"].key))).read_all().to_pylist()
    }
    assert metadata == {f"p{number:05d}": 3000 + number for number in (RUNS - 2, RUNS - 1)}
