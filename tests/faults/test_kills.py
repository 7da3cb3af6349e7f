"""kill -9 of the driver, of an actor and of a node, then the same command again: nothing lost, nothing doubled, nothing done twice.

CI runs a seeded sample of the driver kills; `--all-kills` runs five moments in every stage. The seed and the moments are
part of the test's name, so that a failure can be replayed.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.storage.commits import attempts
from actors.storage.local_store import LocalStore
from configs.load import build_config
from configs.schema import Config
from tests.jobs import command, environment, indexed_ids, make_corpus, raytrieve, read_rankings, tiny_config, tiny_settings, write_config

pytestmark = pytest.mark.cluster

PASSAGES, QUERIES, SEED = 600, 24, 20260101
SECTIONS = {"embed": {"unit_rows": 20}, "index": {"segment_rows": 100}, "queries": {"unit_rows": 2}}
# Stage -> (folder of its commit records, units): a kill comes when the given number of them is committed.
STAGES = {"embed": ("vectors", 30), "index": ("segments", 6), "rank": ("rankings", 12)}
MOMENTS = [(stage, int(units * part)) for stage, (_, units) in STAGES.items() for part in (0, 0.2, 0.4, 0.6, 0.8)]
SAMPLE = [random.Random(SEED).choice([moment for moment in MOMENTS if moment[0] == stage]) for stage in ("embed", "rank")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kills" in metafunc.fixturenames:
        plans = [[moment] for moment in MOMENTS] if metafunc.config.getoption("--all-kills") else [SAMPLE]
        metafunc.parametrize("kills", plans, ids=["+".join(f"{stage}-{count}" for stage, count in plan) for plan in plans])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder, PASSAGES, QUERIES)
    return folder


@pytest.fixture(scope="module")
def reference(inputs: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> list[dict]:
    """The rankings of a run that nobody disturbed."""
    from pipelines import run

    config = tiny_config(inputs, tmp_path_factory.mktemp("reference"), **SECTIONS)
    run(config)
    return read_rankings(config)


def committed(store: Path, kind: str) -> dict[str, float]:
    """Unit -> time of its commit record, for all stages whose folder ends so."""
    paths = [p for p in records(store, "commits") if kind in p.relative_to(store).parts]
    return {p.stem: p.stat().st_mtime for p in paths}


def records(store: Path, folder: str) -> list[Path]:
    """The JSON files of all folders of that name, in a store that others are writing."""
    walk = os.walk(store)  # passes over folders that vanish meanwhile
    return [Path(path, name) for path, _, names in walk if Path(path).name == folder for name in names if name.endswith(".json")]


def all_attempts(store: Path) -> list[tuple[str, str, float]]:
    notes = [json.loads(p.read_text()) for p in records(store, "attempts")]
    return [(note["unit"], note["attempt"], note["started"]) for note in notes]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


def start(config_path: Path, env: dict[str, str] | None = None) -> subprocess.Popen:
    return subprocess.Popen(
        command("run", str(config_path)),
        cwd=Path(__file__).parents[2],
        env=environment(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_complete(config: Config, reference: list[dict]) -> None:
    assert sorted(indexed_ids(config)) == [f"p{i:05d}" for i in range(PASSAGES)]
    rows = read_rankings(config)
    keys = ("query_id", "passage_id", "rank", "retrieval_rank", "metadata")
    assert [[row[k] for k in keys] for row in rows] == [[row[k] for k in keys] for row in reference]
    for name in ("score", "retrieval_score", "rerank_score"):
        assert [row[name] for row in rows] == pytest.approx([row[name] for row in reference], abs=1e-6)


def test_a_killed_driver_goes_on_where_it_was(kills, inputs, reference, tmp_path):
    store = tmp_path / "store"
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **SECTIONS))
    killed_at: list[tuple[float, set[str]]] = []
    for stage, count in kills:
        folder = STAGES[stage][0]
        before = {"embed": None, "index": "vectors", "rank": "segments"}[stage]
        process = start(path)

        def reached(folder=folder, count=count, before=before) -> bool:
            previous_done = before is None or len(committed(store, before)) >= STAGES[{"vectors": "embed", "segments": "index"}[before]][1]
            return store.exists() and previous_done and len(committed(store, folder)) >= count

        assert wait_for(reached, process), process.stderr.read()
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(1.0)  # workers notice within 0.05 s that their driver is gone
        done = {unit for kind in ("vectors", "segments", "quantizers", "rankings") for unit in committed(store, kind)}
        killed_at.append((time.time(), done))
    finished = raytrieve("run", str(path))
    assert finished.returncode == 0, finished.stderr
    check_complete(tiny_config(inputs, store, **SECTIONS), reference)
    for when, done in killed_at:
        again = [unit for unit, _, started in all_attempts(store) if unit in done and started > when]
        assert not again, f"units committed before the kill were computed again: {again}"
    assert len(committed(store, "vectors")) == 30 and len(committed(store, "rankings")) == 12


def test_a_killed_actor_is_replaced_and_at_most_its_units_are_redone(inputs, reference, tmp_path):
    store = tmp_path / "store"
    process = start(write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **SECTIONS)))
    assert wait_for(lambda: len(committed(store, "vectors")) >= 5, process), process.stderr.read()
    victims = list(workers_of(process.pid, "Embedder"))
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert victims and process.returncode == 0, errors
    check_complete(tiny_config(inputs, store, **SECTIONS), reference)
    repeated = len(attempts(LocalStore(store), next(store.glob("vectors/*")).relative_to(store).as_posix())) - 30
    assert repeated <= 2 * len(victims), "more than the units in the killed actor's hands were computed again"


def test_a_killed_node_costs_no_rows(inputs, reference, tmp_path):
    from ray.cluster_utils import Cluster

    store = tmp_path / "store"
    # The driver's own node has room for its tasks only, so that the actors live on the node that dies.
    sections = {**SECTIONS, "embed": {"unit_rows": 20, "workers": {"cpus": 3}}}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 150 << 20, "include_dashboard": False})
    try:
        victim = cluster.add_node(num_cpus=5, object_store_memory=150 << 20)
        cluster.wait_for_nodes()
        process = start(write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **sections)), {"RAY_ADDRESS": cluster.address})
        assert wait_for(lambda: len(committed(store, "vectors")) >= 5, process), process.stderr.read()
        cluster.remove_node(victim, allow_graceful=False)
        cluster.add_node(num_cpus=5, object_store_memory=150 << 20)
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    finally:
        cluster.shutdown()
    check_complete(tiny_config(inputs, store, **sections), reference)


def test_a_row_that_kills_its_worker_ends_in_the_rejects_and_the_rest_completes(tmp_path):
    rows = [{"_id": f"p{i}", "text": f"panda bear {i}" + " kumquat" * (i == 33)} for i in range(48)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sections = {"corpus": {"path": str(tmp_path / "corpus.jsonl"), "columns": {}, "max_reject_share": 0.1}, "embed": {"unit_rows": 8}}
    settings = {**tiny_settings(tmp_path, tmp_path / "store", ray={"retries": 1}, **sections), "queries": None, "rerank": None}
    done = raytrieve("run", str(write_config(tmp_path / "job.yaml", settings)), env={"RAYTRIEVE_TEST_POISON": "kumquat"})
    assert done.returncode == 0, done.stderr
    config = build_config(settings, "test")
    assert sorted(indexed_ids(config)) == sorted(f"p{i}" for i in range(48) if i != 33)
    (listed,) = (tmp_path / "store").rglob("rejects-corpus.jsonl")
    (reject,) = [json.loads(line) for line in listed.read_text().splitlines()]
    assert reject["id"] == "p33" and reject["row"] == 33 and "killed its worker" in reject["reason"]


def workers_of(driver: int, name: str) -> Iterator[int]:
    """Pids of the Ray workers below a driver whose title holds `name`."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(entry.name)] = (entry / "cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
                continue
    for pid, title in titles.items():
        above = pid
        while above in parents and above != driver:
            above = parents[above]
        if above == driver and title.startswith("ray::") and name in title:
            yield pid
