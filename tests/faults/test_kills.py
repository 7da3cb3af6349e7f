"""kill -9 of the driver, of an actor and of a node, then the same command again: nothing lost, nothing doubled, nothing done twice.

CI runs a seeded sample of the driver kills and the death of an actor; `--all-kills` runs five moments in every stage, and kills actors
and nodes in each. The seed and the moments are part of the test's name, so that a failure can be replayed.
"""

import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from configs.load import build_config
from configs.schema import Config
from pipelines import run
from tests.faults.nodes import ON_THE_SECOND, two_nodes
from tests.faults.outcomes import (
    IN_HAND,
    SECTIONS,
    SEED,
    UNITS,
    check_none_done_again,
    check_rankings,
    committed,
    kill_driver,
    outcome,
    start,
    wait_for,
)
from tests.jobs import indexed_ids, tiny_config, tiny_settings, write_config
from tests.processes import kill, workers_of

pytestmark = pytest.mark.cluster

# Stage -> the folder of its commit records: a kill comes when the given number of them is there, and all of the stage before.
FOLDERS = {"embed": "vectors", "index": "segments", "rank": "rankings"}
BEFORE = {"index": "vectors", "rank": "segments"}
MOMENTS = [(stage, int(UNITS[folder] * part)) for stage, folder in FOLDERS.items() for part in (0, 0.2, 0.4, 0.6, 0.8)]
AFTER = [("rank", UNITS["rankings"])]  # while it evaluates and writes its report
SAMPLE = random.Random(SEED).choice([moment for moment in MOMENTS if moment[1]])  # one with something to lose
MORE = [[("embed", 6), ("index", 2), ("rank", 4)]]  # one job killed three times
# What is killed in CI, and with --all-kills: the stage, the worker that marks a process of it, and the commits to wait for.
WORKERS = {
    "embed": ("Embedder", "vectors", 5),
    "rank": ("Reranker", "rankings", 2),
    "search": ("Searcher", "rankings", 2),
    "read, tokenise, write": ("call_kept", "vectors", 5),
    "index": ("call_kept", "segments", 1),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    everything = metafunc.config.getoption("--all-kills")
    if "stage" in metafunc.fixturenames:
        models = ["embed", "rank"]  # a node with tasks alone is as good as their deaths
        metafunc.parametrize("stage", (models if "node" in metafunc.function.__name__ else WORKERS) if everything else ["embed"])
    if "kills" in metafunc.fixturenames:
        plans = [*([moment] for moment in MOMENTS), AFTER, *MORE] if everything else [[SAMPLE]]
        metafunc.parametrize("kills", plans, ids=["+".join(f"{stage}-{count}" for stage, count in plan) for plan in plans])


def test_a_killed_driver_goes_on_where_it_was(kills, inputs, reference, tally, tmp_path):
    store = tmp_path / "store"
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **SECTIONS))
    for stage, count in kills:
        folder, before = FOLDERS[stage], BEFORE.get(stage)
        process = start(path)

        def reached(folder=folder, count=count, before=before) -> bool:
            begun = before is None or len(committed(store, before)) >= UNITS[before]
            return store.exists() and begun and len(committed(store, folder)) >= count

        kill_driver(process, reached)
    config = tiny_config(inputs, store, **SECTIONS)
    run(config)
    check_rankings(config, reference)
    name = "+".join(f"{stage}-{count}" for stage, count in kills)
    tally(
        f"kill -9 of the driver: {name}",
        len(kills),
        outcome(config),
        sum(IN_HAND[stage] for stage, count in kills if count < UNITS[FOLDERS[stage]]),
    )
    check_none_done_again(config)
    assert {kind: len(committed(store, kind)) for kind in UNITS} == UNITS


def test_a_killed_actor_is_replaced_and_at_most_its_units_are_redone(stage, inputs, reference, tally, tmp_path, local_ray):
    store, (worker, folder, count) = tmp_path / "store", WORKERS[stage]
    config = tiny_config(inputs, store, **SECTIONS)
    victims = run_and_kill(config, worker, lambda: len(committed(store, folder)) >= count)
    check_rankings(config, reference)
    tally(f"kill -9 of the {worker} in the stage {stage}", victims, outcome(config), victims)
    check_none_done_again(config)


def run_and_kill(config: Config, title: str, ready: Callable[[], bool]) -> int:
    """A run in this process, on the tests' Ray, whose workers of that title get kill -9 as soon as `ready`. Returns how many they were."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(run, config)
        victims: set[psutil.Process] = set()
        while not victims:
            assert not working.done(), f"it ended before there was anything to kill: {working.result()}"
            victims = workers_of(os.getpid(), title) if ready() else victims
            time.sleep(0.02)
        kill(victims)
        working.result(timeout=240)
    return len(victims)


@pytest.mark.chaos
@pytest.mark.parametrize("whole", [True, False], ids=["dead", "cut off"])
def test_a_killed_node_costs_no_rows(stage, whole, inputs, reference, tally, tmp_path):
    store, (_, folder, count) = tmp_path / "store", WORKERS[stage]
    section = {"embed": "embed", "rank": "rerank"}[stage]
    sections = {**SECTIONS, section: {**SECTIONS.get(section, {}), **ON_THE_SECOND}}
    with two_nodes() as (address, replace):
        process = start(write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **sections)), {"RAY_ADDRESS": address})
        wait_for(lambda: len(committed(store, folder)) >= count, process)
        workers = replace(whole)
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    config = tiny_config(inputs, store, **sections)
    check_rankings(config, reference)
    tally(f"node {'dead' if whole else 'cut off'} while it {stage}s, with its workers", workers, outcome(config), IN_HAND[stage])
    check_none_done_again(config)


def test_a_row_that_kills_its_worker_ends_in_the_rejects_and_the_rest_completes(tmp_path, local_ray):
    rows = [{"_id": f"p{i}", "text": f"panda bear {i}" + " kumquat" * (i == 33)} for i in range(48)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sections = {"corpus": {"path": str(tmp_path / "corpus.jsonl"), "columns": {}, "max_reject_share": 0.1}, "embed": {"unit_rows": 8}}
    settings = {**tiny_settings(tmp_path, tmp_path / "store", ray={"retries": 1}, **sections), "queries": None, "rerank": None}
    config = build_config(settings, "test")
    run(config)  # on workers whose poison is the word kumquat
    assert sorted(indexed_ids(config)) == sorted(f"p{i}" for i in range(48) if i != 33)
    (listed,) = (tmp_path / "store").rglob("rejects-corpus.jsonl")
    (reject,) = [json.loads(line) for line in listed.read_text().splitlines()]
    assert reject["id"] == "p33" and reject["row"] == 33 and "killed its worker" in reject["reason"]
