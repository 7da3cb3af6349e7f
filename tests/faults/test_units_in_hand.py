"""What a stream has begun and not committed is bounded by its workers, however fast a model is and however slow the writing."""

import time

import pytest

from actors.storage.objects import open_store
from tests.fault_proxy import Rule
from tests.faults.outcomes import IN_HAND, check_rankings, wait_for
from tests.faults.weather import begun

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]


def test_a_driver_that_dies_while_nothing_can_be_written_loses_a_unit_per_worker_at_most(job, reference, tally):
    store = open_store(job.config.store, job.config.s3)
    job.proxy.rules[:] = [Rule("slowdown", "PUT", "/vectors/.*/data/")]
    process = job.start()
    wait_for(lambda: begun(store) == IN_HAND["embed"], process)
    time.sleep(5)  # the model has time for many more
    assert process.poll() is None and begun(store) == IN_HAND["embed"]
    process.kill()
    process.wait()
    job.proxy.rules.clear()
    job.finish(job.start())
    check_rankings(job.config, reference)
    tally("kill -9 of the driver while nothing can be written", 1, job.outcome(), IN_HAND["embed"])
