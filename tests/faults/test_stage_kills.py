"""kill -9 of the driver of a stage that runs alone, then the same command again: in the end the rankings and the measures are the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.whole_run import embed_only, evaluate_only, index_only, rerank_only, search_only
from tests.faults.outcomes import (
    IN_HAND,
    SECTIONS,
    UNITS,
    check_none_done_again,
    check_rankings,
    committed,
    kill_driver,
    outcome,
    start,
)
from tests.jobs import raytrieve, tiny_config, tiny_settings, write_config

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

STAGES: dict[str, Callable[..., Any]] = {
    "embed": embed_only,
    "index": index_only,
    "search": search_only,
    "rerank": rerank_only,
    "evaluate": evaluate_only,
}
# The folder of a stage's commits, how many of them a kill waits for, and how many there are in the end.
COMMITS = {
    "embed": ("vectors", 6, UNITS["vectors"]),
    "index": ("segments", 2, UNITS["segments"]),
    "search": ("candidates", 4, UNITS["rankings"]),
    "rerank": ("rankings", 4, UNITS["rankings"]),
}


@pytest.fixture(scope="module")
def before(inputs: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> dict[str, Path]:
    """By stage, the store as the stages before it leave it; under "report", as all of them do."""
    folder = tmp_path_factory.mktemp("stages")
    store = folder / "store"
    store.mkdir()
    config, found = tiny_config(inputs, store, **SECTIONS), {}
    for stage, work in STAGES.items():
        found[stage] = Path(shutil.copytree(store, folder / stage))
        work(config)
    return {**found, "report": store}


def measures(store: Path) -> dict[str, Any]:
    (path,) = store.glob("runs/*/report.json")
    told = json.loads(path.read_text())
    assert told["metrics"]["reranked"]["ndcg_at_10"] > 0
    return {name: told[name] for name in ("metrics", "gain", "per_query")}


def begun(stage: str, store: Path) -> bool:
    if stage == "evaluate":
        return bool(list(store.glob("runs/*/retrieved.trec")))
    folder, count, _ = COMMITS[stage]
    return len(committed(store, folder)) >= count


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_goes_on_with_the_same_command(stage, before, inputs, reference, tally, tmp_path):
    store = Path(shutil.copytree(before[stage], tmp_path / "store"))
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **SECTIONS))
    kill_driver(start(path, what=stage), lambda: begun(stage, store))
    if stage == "evaluate":
        assert not list(store.glob("runs/*/report.json"))
    else:
        assert len(committed(store, COMMITS[stage][0])) < COMMITS[stage][2]
    done = raytrieve(stage, str(path))
    assert done.returncode == 0, done.stderr
    if stage != "evaluate":
        assert len(committed(store, COMMITS[stage][0])) == COMMITS[stage][2]
    config, after = tiny_config(inputs, store, **SECTIONS), list(STAGES)[list(STAGES).index(stage) + 1 :]
    for name in after:
        STAGES[name](config)
    check_rankings(config, reference)
    assert measures(store) == measures(before["report"])
    tally(f"kill -9 of the driver of `raytrieve {stage}` alone", 1, outcome(config), IN_HAND.get(stage, 0))
    check_none_done_again(config)
