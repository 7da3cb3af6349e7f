"""A job on S3 whose every request goes through a proxy, and the weather that the proxy makes."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.storage.objects import Store
from configs.schema import Config
from tests.fault_proxy import Proxy, Rule
from tests.faults.outcomes import SECTIONS, Outcome, outcome, start, wait_for
from tests.jobs import raytrieve, tiny_config, tiny_settings, write_config
from tests.processes import kill, workers_of
from tests.seaweed import S3Server

# 5 of 100 requests fail, of the writes half after the server has done what it was asked. Beside the data are listings, small records and
# the corpus.
_BESIDE = "^(?!.*/data/)"
STORM = (
    {"fault": "slowdown", "prob": 0.015},
    {"fault": "error_after", "method": "PUT", "prob": 0.02},
    {"fault": "reset_before", "prob": 0.01},
    {"fault": "reset_after", "method": "PUT", "prob": 0.01},
    {"fault": "truncate", "method": "GET", "path": "/data/", "prob": 0.015},
    {"fault": "corrupt", "method": "GET", "path": "/data/", "prob": 0.01},
    {"fault": "error_after", "method": "GET", "path": _BESIDE, "prob": 0.015},
    {"fault": "truncate", "method": "GET", "path": "^/corpus/", "prob": 0.02},
    {"fault": "reset_after", "method": "GET", "path": _BESIDE, "prob": 0.01},
    {"fault": "error_after", "method": "HEAD", "prob": 0.025},
    {"fault": "hang", "prob": 0.002, "seconds": 5.0},
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

    def __init__(self, s3: S3Server, proxy: Proxy, inputs: Path, folder: Path, name: str) -> None:
        """In `folder`, and in S3 below a prefix `name`: by it and the proxy's seed chance strikes the same requests again."""
        self.proxy, self._folder = proxy, folder
        self._places = upload(s3, inputs, name), f"s3://store/{name}"
        self.corpus = f"{name}/corpus.parquet"
        self._calm = s3.environment
        self.through_proxy = {**s3.environment, "AWS_ENDPOINT_URL": proxy.endpoint}
        self.configure()

    def configure(self, **sections: Any) -> None:
        """Write the config, with sections in place of the fault tests' own."""
        sections = {**SECTIONS, **sections}
        self.settings = tiny_settings(*self._places, **sections, reindex={"lease_s": 5})
        self.config: Config = tiny_config(*self._places, **sections)
        self._path = write_config(self._folder / "job.yaml", self.settings)
        self._unasked = write_config(self._folder / "unasked.yaml", {**self.settings, "queries": None, "rerank": None})

    def start(self, what: str = "run") -> subprocess.Popen:
        """`raytrieve run`, or a re-index, which judges no rankings here."""
        return start(self._path if what == "run" else self._unasked, self.through_proxy, what)

    def finish(self, process: subprocess.Popen) -> None:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors

    def outcome(self, ids: list[str] | None = None) -> Outcome:
        done = raytrieve("verify", str(self._path), env=self._calm)
        return outcome(self.config, ids, faults=() if done.returncode == 0 else (done.stdout + done.stderr,))

    @property
    def struck(self) -> int:
        return sum(seen.fault not in (None, "delay") for seen in self.proxy.log)


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
    wait_for(lambda: units_committed(store, "vectors") >= count, process)


def begun(store: Store) -> int:
    """Units of vectors that some worker has taken up."""
    return sum("/attempts/" in item.key for item in store.list("vectors/"))


@dataclass(frozen=True)
class Strike:
    """After so many seconds: kill the driver, kill its stages' workers, or send S3 away for eight seconds."""

    seconds: float
    what: Literal["driver", "worker", "away"]

    def __str__(self) -> str:
        return f"{self.what} {self.seconds:.1f} s"


def schedule(seed: int) -> list[Strike]:
    """Six strikes."""
    rng = random.Random(seed)
    return [Strike(rng.uniform(2, 14), rng.choice(["driver", "worker", "away"])) for _ in range(6)]


def under(strikes: list[Strike], job: Job, what: str) -> tuple[subprocess.Popen, list[Strike]]:
    """The job's command, started again after each kill of its driver, and the strikes that came before it was done."""
    print("the schedule, for replay:", ", ".join(map(str, strikes)))  # noqa: T201 - shown with a failure
    process, done = job.start(what), []
    for strike in strikes:
        time.sleep(strike.seconds)
        if process.poll() is not None:
            break
        if strike.what == "away":
            with away(job.proxy, 8):
                pass
        elif strike.what == "worker":
            victims = workers_of(process.pid, "Map")
            kill(victims)
            if not victims:
                continue
        else:
            process.kill()
            process.wait()
            process = job.start(what)
        done.append(strike)
    return process, done
