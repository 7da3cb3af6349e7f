"""Machines whose clocks are wrong by a day, one after the other at one store: kills, leases, garbage collection."""

import time
from pathlib import Path

import pytest

from tests.faults.outcomes import IN_HAND, all_attempts, wait_for
from tests.jobs import raytrieve

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]
DAY = 86_400
AHEAD, BEHIND = ({"PYTHONPATH": str(Path(__file__).parent / "skewed"), "SKEW_S": str(seconds)} for seconds in (DAY, -DAY))


@pytest.mark.parametrize(("first", "second"), [(AHEAD, BEHIND), (BEHIND, AHEAD)], ids=["ahead, then behind", "behind, then ahead"])
def test_a_machine_goes_on_where_one_with_another_clock_died_and_neither_collects_what_is_young(first, second, changed, tally):
    job = changed(reindex={"lease_s": 10})
    before, process = job.committed("vectors"), job.start(first)
    wait_for(lambda: job.committed("vectors") > before, process)
    process.kill()
    process.wait()
    off = [started - time.time() for _, _, started in all_attempts(job.store.root)]
    assert any(abs(seconds) > DAY / 2 for seconds in off), "the clock was right"
    for clock in (second, first):
        collected = raytrieve("gc", str(job.path), "--keep", "1", "--older-than", "1h", "--delete", env=clock)
        assert collected.returncode == 0, collected.stderr
        assert collected.stdout.startswith("Deleted 0 objects"), "what is young was taken for old"
        done = raytrieve("reindex", str(job.path), env=clock)
        assert done.returncode == 0, done.stderr
    tally(f"clocks a day {'ahead, then behind' if first is AHEAD else 'behind, then ahead'}", 2, job.outcome(), IN_HAND["reindex"])
