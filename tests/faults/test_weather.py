"""Whole jobs on S3 through a proxy that fails: single requests by chance, all of them for a while, and kills in between.

Seeds are part of the tests' names, and the schedule of a random test is printed: running it again replays it.
"""

import io
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.storage.objects import Store, open_store
from configs.schema import Config
from tests.fault_proxy import Proxy, Rule, faults
from tests.faults.outcomes import (
    SECTIONS,
    Change,
    Outcome,
    check_rankings,
    outcome,
    start,
    tokens_embedded,
    wait_for,
    workers_of,
)
from tests.jobs import raytrieve, tiny_config, tiny_settings, tokens_of, write_config
from tests.seaweed import S3Server

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]  # single operations through the same proxy: tests/actors/storage/test_faults.py

SEEDS = [20260101, 7, 4242]
# 5 of 100 requests fail, half of them after the server has done what it was asked.
STORM = (
    {"fault": "slowdown", "prob": 0.015},
    {"fault": "error_after", "method": "PUT", "prob": 0.02},
    {"fault": "reset_before", "prob": 0.01},
    {"fault": "reset_after", "method": "PUT", "prob": 0.01},
    {"fault": "truncate", "method": "GET", "path": "/data/", "prob": 0.015},
    {"fault": "corrupt", "method": "GET", "path": "/data/", "prob": 0.01},
    {"fault": "delay", "prob": 0.02, "seconds": 0.3},
)


def storm() -> list[Rule]:
    return [Rule(**rule) for rule in STORM]  # type: ignore[arg-type]


def upload(s3: S3Server, inputs: Path, prefix: str) -> str:
    """The inputs in the corpus bucket. Returns their folder."""
    client = s3.client()
    for path in inputs.iterdir():
        client.put_object(Bucket="corpus", Key=f"{prefix}/{path.name}", Body=path.read_bytes())
    return f"s3://corpus/{prefix}"


class Job:
    """A job whose every request goes through the proxy, in processes of its own."""

    def __init__(self, s3: S3Server, proxy: Proxy, inputs: Path, tmp_path: Path) -> None:
        self.proxy, name = proxy, tmp_path.name.lower().replace("_", "-")
        places = upload(s3, inputs, name), f"s3://store/{name}"
        self.corpus = f"{name}/corpus.parquet"
        self.settings = tiny_settings(*places, **SECTIONS)
        self.config: Config = tiny_config(*places, **SECTIONS)
        self._path = write_config(tmp_path / "job.yaml", self.settings)
        self._unasked = write_config(tmp_path / "unasked.yaml", {**self.settings, "queries": None, "rerank": None})
        self._calm = s3.environment
        self._through_proxy = {**s3.environment, "AWS_ENDPOINT_URL": proxy.endpoint}

    def start(self, what: str = "run") -> subprocess.Popen:
        """`raytrieve run`, or a re-index, which judges no rankings here."""
        return start(self._path if what == "run" else self._unasked, self._through_proxy, what)

    def finish(self, process: subprocess.Popen) -> None:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors

    def outcome(self, ids: list[str] | None = None) -> Outcome:
        done = raytrieve("verify", str(self._path), env=self._calm)
        return outcome(self.config, ids, faults=() if done.returncode == 0 else (done.stdout + done.stderr,))

    @property
    def struck(self) -> int:
        return sum(seen.fault not in (None, "delay") for seen in self.proxy.log)


@pytest.fixture
def job(s3_environment: S3Server, inputs: Path, tmp_path: Path) -> Iterator[Job]:
    """The job with fair weather so far. This process reads the store without the proxy."""
    with faults(s3_environment.endpoint) as proxy:
        yield Job(s3_environment, proxy, inputs, tmp_path)


@contextmanager
def away(proxy: Proxy, seconds: float) -> Iterator[None]:
    """No request gets through from now on, until `seconds` after the block."""
    before, proxy.rules[:] = list(proxy.rules), [Rule("partition")]
    try:
        yield
        time.sleep(seconds)
    finally:
        proxy.rules[:] = before


def units_committed(store: Store, kind: str) -> int:
    return sum("/commits/" in item.key for item in store.list(f"{kind}/"))


def wait_for_units(store: Store, count: int, process: subprocess.Popen) -> None:
    while units_committed(store, "vectors") < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_of_which_every_twentieth_request_fails_answers_as_in_calm(seed, job, reference, tally):
    job.proxy.rng.seed(seed)
    job.proxy.rules[:] = storm()
    job.finish(job.start())
    check_rankings(job.config, reference)
    found = job.outcome()
    tally(f"S3 errors at 5 % of requests, seed {seed} ({len(job.proxy.log)} requests)", job.struck, found)
    assert found.redone == 0


def test_a_run_waits_while_s3_is_away_for_a_minute(job, reference, tally):
    process = job.start()
    wait_for_units(open_store(job.config.store, job.config.s3), 5, process)
    with away(job.proxy, 60):
        pass
    job.finish(process)
    check_rankings(job.config, reference)
    tally("S3 away for 60 s", job.struck, job.outcome())


def begun(store: Store) -> int:
    """Units of vectors that some worker has taken up."""
    return sum("/attempts/" in item.key for item in store.list("vectors/"))


@pytest.mark.parametrize("weather", ["5 % of requests fail", "S3 is away for 60 s"])
def test_a_reindex_in_bad_weather_embeds_each_new_text_once(weather, job, inputs, s3, tally):
    store, change, data = open_store(job.config.store, job.config.s3), Change.of(inputs), io.BytesIO()
    job.finish(job.start("reindex"))
    calm, before = len(job.proxy.log), tokens_embedded(store)
    pq.write_table(pa.Table.from_pylist(change.rows), data, row_group_size=100)
    s3.client().put_object(Bucket="corpus", Key=job.corpus, Body=data.getvalue())
    if weather == "5 % of requests fail":
        job.proxy.rules[:] = storm()
        process = job.start("reindex")
    else:
        units, process = begun(store), job.start("reindex")
        assert wait_for(lambda: begun(store) > units, process)
        with away(job.proxy, 60):
            pass
    job.finish(process)
    found = job.outcome(change.ids)
    tally(f"{weather}, in a re-index ({len(job.proxy.log) - calm} requests)", job.struck, found)
    assert found.redone == 0
    assert tokens_embedded(store) - before == tokens_of(job.config, change.texts)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_schedule_of_faults_loses_nothing(seed, job, reference, tally):
    rng = random.Random(seed)
    schedule = [(rng.uniform(1, 12), rng.choice(["driver", "worker", "away"])) for _ in range(6)]
    print(f"seed {seed}: " + ", ".join(f"{action} after {seconds:.1f} s" for seconds, action in schedule))  # noqa: T201 - for replay
    job.proxy.rng.seed(seed)
    job.proxy.rules[:] = storm()
    process, done = job.start(), []
    for seconds, action in schedule:
        time.sleep(seconds)
        if process.poll() is not None:
            break
        done.append(action)
        if action == "away":
            with away(job.proxy, 8):
                pass
        elif action == "worker":
            for pid in workers_of(process.pid, "MapWorker"):
                os.kill(pid, signal.SIGKILL)
        else:
            process.kill()
            process.wait()
            process = job.start()
    job.finish(process)
    check_rankings(job.config, reference)
    tally(f"seed {seed}: {', '.join(done)}, and 5 % of requests", job.struck + len(done), job.outcome())
