"""What a stream has begun and not committed is bounded by its workers, however fast a model is and however slow the writing."""

import time

import pytest

from actors.storage.objects import open_store
from tests.fault_proxy import Rule
from tests.faults.outcomes import SECTIONS, check_none_done_again, check_rankings, wait_for
from tests.faults.weather import begun

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

# A pool and the workers of all operators with it: two read and two write beside those that tokenise and embed.
POOLS = {
    "one embeds what four tokenise": ({"tokenizers": 4}, 9),
    "four embed what one tokenises": ({"tokenizers": 1, "workers": {"min_size": 4, "max_size": 4}}, 9),
}


@pytest.mark.parametrize("pool", POOLS)
def test_a_driver_that_dies_while_nothing_can_be_written_loses_a_unit_per_worker_at_most(pool, job, reference, tally):
    section, most = POOLS[pool]
    job.configure(embed={**SECTIONS["embed"], **section})
    store = open_store(job.config.store, job.config.s3)
    job.proxy.rules[:] = [Rule("slowdown", "PUT", "/vectors/.*/data/")]
    process = job.start()
    wait_for(lambda: begun(store) >= most, process)
    time.sleep(5)  # the model has time for many more
    assert process.poll() is None and begun(store) == most
    process.kill()
    process.wait()
    job.proxy.rules.clear()
    job.finish(job.start())
    check_rankings(job.config, reference)
    tally(f"kill -9 of the driver while nothing can be written: {pool}", 1, job.outcome(), most)
    check_none_done_again(job.config)
