"""Whole jobs on S3 through a proxy that fails: single requests by chance, all of them for a while, and kills in between.

Seeds are part of the tests' names, and what a random test did is in its row of the table: running it again replays it.
"""

import time

import pytest

from actors.storage.objects import open_store
from tests import seaweed
from tests.fault_proxy import faults
from tests.faults.outcomes import IN_HAND, check_rankings
from tests.faults.weather import Job, away, schedule, storm, under, wait_for_units

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]  # single operations through the same proxy: tests/actors/storage/test_faults.py

SEEDS = [20260101, 7, 4242]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_of_which_every_twentieth_request_fails_answers_as_in_calm(seed, job, reference, tally):
    job.proxy.seed = seed
    job.proxy.rules[:] = storm()
    job.finish(job.start())
    check_rankings(job.config, reference)
    tally(f"S3 errors at 5 % of requests, seed {seed} ({len(job.proxy.log)} requests)", job.struck, job.outcome(), 0)


def test_a_run_waits_while_s3_is_away_for_a_minute(job, reference, tally):
    process = job.start()
    wait_for_units(open_store(job.config.store, job.config.s3), 5, process)
    with away(job.proxy, 60):
        pass
    job.finish(process)
    check_rankings(job.config, reference)
    tally("S3 away for 60 s", job.struck, job.outcome(), 0)


def test_a_run_waits_while_the_s3_server_dies_and_comes_back(tmp_path, inputs, reference, tally, monkeypatch):
    (tmp_path / "seaweed").mkdir()
    server = seaweed.start(tmp_path / "seaweed", "corpus", "store")
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with faults(server.endpoint) as proxy:
            job = Job(server, proxy, inputs, tmp_path, "server-dies")
            process = job.start()
            wait_for_units(open_store(job.config.store, job.config.s3), 5, process)
            server.stop()
            time.sleep(10)
            server.start_again()
            job.finish(process)
            unanswered = sum(seen.status == 0 for seen in proxy.log)
        check_rankings(job.config, reference)
        tally("kill -9 of the S3 server, back after 10 s: requests unanswered", unanswered, job.outcome(), 0)
    finally:
        server.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_schedule_of_faults_loses_nothing(seed, job, reference, tally):
    job.proxy.seed = seed
    job.proxy.rules[:] = storm()
    process, done = under(schedule(seed), job, "run")
    job.finish(process)
    check_rankings(job.config, reference)
    told = f"seed {seed}: {', '.join(map(str, done))}, and 5 % of requests"
    tally(told, job.struck + len(done), job.outcome(), max(IN_HAND.values()) * len(done))
    assert len(done) >= 2, "the job was done before the weather began"
