"""kill -9 around the training of a quantiser and in the quality gate: rankings, versions and vectors are as if nobody had been killed.

The index visits two lists of eight, so another quantiser would find other passages.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actors.storage.manifests import version_numbers
from configs.schema import Config
from pipelines import run
from pipelines.reindex import reindex
from tests.faults.outcomes import (
    IN_HAND,
    SECTIONS,
    check_none_done_again,
    check_rankings,
    committed,
    in_hand,
    kill_driver,
    kill_workers,
    outcome,
    start,
)
from tests.faults.reindexing import Reindex, changed_job
from tests.jobs import raytrieve, read_rankings, tiny_config, tiny_settings, write_config

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

INDEX = {"kind": "ivf_flat", "nlist": 8, "nprobe": 2, "segment_rows": 20}
TRAINED: dict[str, Any] = {**SECTIONS, "index": INDEX}
SEGMENTS = 30
# What a driver is killed in, with what may be begun again, and when.
MOMENTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "while the quantiser is trained": ("train", lambda store: in_hand(store, "quantizers")),
    "when the quantiser is committed": ("index", lambda store: committed(store, "quantizers")),
}
WORKERS = {"Trainer": "quantizers", "Indexer": "segments"}
# Any drift trains anew, and the gate tells what it measured, however low.
LIMITS = {"max_drift": 1e-6, "max_recall_drop": 1, "max_ndcg_drop": 1}
QUERIES = 24
IN_A_REINDEX: dict[str, tuple[str, Callable[[Path], object]]] = {
    "while it trains anew": ("train", lambda store: in_hand(store, "quantizers")),
    "while the gate asks the new version": ("search", lambda store: len(committed(store, "candidates")) >= 4),
    "while the gate asks the old version": ("search", lambda store: len(committed(store, "candidates")) >= QUERIES + 4),
}


@dataclass(frozen=True)
class Told:
    """By an undisturbed re-index: the rankings of its version, and what the gate measured."""

    rankings: list[dict]
    gate: dict[str, Any]


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Path:
    """The store of a trained job that nobody disturbed."""
    store = tmp_path_factory.mktemp("trained")
    run(tiny_config(inputs, store, **TRAINED))
    return store


@pytest.fixture(scope="module")
def reference(inputs: Path, finished: Path) -> list[dict]:
    return read_rankings(tiny_config(inputs, finished, **TRAINED))


@pytest.fixture(scope="module")
def undisturbed(inputs: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    job = drifted(finished, inputs, tmp_path_factory.mktemp("undisturbed"))
    done = reindex(job.config)
    assert done.delta is not None and "farther from their centroids than at training" in done.delta.retrained
    return Told(rankings(job.config), gate(job))


def drifted(finished: Path, inputs: Path, folder: Path) -> Reindex:
    return changed_job(finished, inputs, folder, edits=440, judged=True, index=INDEX, reindex=LIMITS)


def rankings(config: Config) -> list[dict]:
    run(config)
    return read_rankings(config)


def gate(job: Reindex) -> dict[str, Any]:
    """As the only report of a second version tells it."""
    (told,) = job.store.root.glob("runs/*/reindex/00000002.json")
    return json.loads(told.read_text())["gate"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_driver_killed_around_the_training_goes_on_with_one_quantiser(moment, inputs, reference, tally, tmp_path):
    store, (stage, ready) = tmp_path / "store", MOMENTS[moment]
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **TRAINED))
    kill_driver(start(path), lambda: ready(store))
    assert len(committed(store, "segments")) < SEGMENTS
    done = raytrieve("run", str(path))
    assert done.returncode == 0, done.stderr
    config = tiny_config(inputs, store, **TRAINED)
    check_rankings(config, reference)
    tally(f"kill -9 of the driver {moment}", 1, outcome(config), IN_HAND[stage])
    check_none_done_again(config)
    assert (len(committed(store, "quantizers")), len(committed(store, "segments"))) == (1, SEGMENTS)


@pytest.mark.parametrize("worker", WORKERS)
def test_what_trains_and_what_indexes_is_replaced_when_it_dies(worker, inputs, reference, tally, tmp_path):
    store = tmp_path / "store"
    process = start(write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **TRAINED)))
    victims = kill_workers(process, "call_kept", lambda: bool(in_hand(store, WORKERS[worker])))
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    config = tiny_config(inputs, store, **TRAINED)
    check_rankings(config, reference)
    tally(f"kill -9 of the {worker}", victims, outcome(config), victims)
    check_none_done_again(config)
    assert (len(committed(store, "quantizers")), len(committed(store, "segments"))) == (1, SEGMENTS)


@pytest.mark.parametrize("moment", IN_A_REINDEX)
def test_a_reindex_killed_in_training_or_in_the_gate_publishes_once_what_it_would_have(
    moment, inputs, finished, undisturbed, tally, tmp_path
):
    job, (stage, ready) = drifted(finished, inputs, tmp_path), IN_A_REINDEX[moment]
    kill_driver(job.start(), lambda: ready(job.store.root))
    assert version_numbers(job.store) == [1]
    done = raytrieve("reindex", str(job.path))
    assert done.returncode == 0 and "Trained anew" in done.stdout, done.stderr
    assert version_numbers(job.store) == [1, 2] and gate(job) == undisturbed.gate
    tally(f"kill -9 of a re-index {moment}", 1, job.outcome(), IN_HAND[stage])
    assert rankings(job.config) and version_numbers(job.store) == [1, 2], "a run finds nothing left to do but to rank"
    check_rankings(job.config, undisturbed.rankings)
    check_none_done_again(job.config)
