"""Two runs at once over the same corpus and store: every unit and the version have two writers, and one of them counts."""

import pytest

from actors.storage.local_store import LocalStore
from actors.storage.manifests import version_numbers
from tests.faults.outcomes import SECTIONS, UNITS, check_rankings, committed, outcome, start
from tests.jobs import tiny_config, tiny_settings, write_config

pytestmark = pytest.mark.cluster


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
