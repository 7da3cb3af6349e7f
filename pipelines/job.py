"""What every driver shares: the config, the store, the cluster, the run's folder, its events and its display."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from actors.reader import Workplace
from actors.storage.fingerprints import fingerprint, semantic_fields
from actors.storage.objects import Store, open_store, probe
from configs.load import dump_config
from configs.schema import Config, EncoderConfig, EvaluateConfig, PoolConfig
from pipelines.cluster import Cluster, connected, on_gpu, pool_threads
from pipelines.events import EventLog
from pipelines.failures import user_error
from pipelines.preflight import check_config
from pipelines.progress import Display


def run_name(config: Config) -> str:
    """The run's folder name: the label and what identifies the settings, so the same command finds its own work again."""
    # As when the fields of evaluate still counted: what earlier versions of this code committed is found.
    identity = {**semantic_fields(config), "evaluate": EvaluateConfig().model_dump(mode="json")}
    return f"{config.name}-{fingerprint(identity, 8)}"


@dataclass(frozen=True, slots=True)
class Job:
    """One execution of one config."""

    config: Config
    store: Store
    cluster: Cluster
    run: str
    events: EventLog
    display: Display

    @property
    def folder(self) -> str:
        """The run's folder in the store."""
        return f"runs/{self.run}"

    def place(self, folder: str) -> Workplace:
        """A stage's workplace in the store."""
        return Workplace(self.store, folder, self.run)

    def device(self, section: EncoderConfig | Any) -> str:
        """cuda or cpu, for the actors of a section."""
        return "cuda" if on_gpu(section.device, self.cluster) else "cpu"

    def gpus(self, section: Any, pool: PoolConfig) -> float:
        """GPUs of one actor of a pool."""
        return pool.gpus if self.device(section) == "cuda" else 0.0

    def task(self, function: Any, returns: int = 1) -> Any:
        """A function as a Ray task of half a CPU, with so many returns (such as one for each partition)."""
        return ray.remote(function).options(num_returns=returns, num_cpus=0.5, max_retries=self.config.ray.retries)

    def threads(self, section: Any, pool: PoolConfig) -> int:
        """Torch threads of one actor; GPU actors keep torch's default."""
        return 0 if self.device(section) == "cuda" else pool_threads(pool)


@contextmanager
def open_job(config: Config, display: Display | None = None, reads_corpus: bool = True) -> Iterator[Job]:
    """Prove the store, join the cluster, and save the resolved config beside the outputs. A re-index reads the corpus for itself."""
    store = open_store(config.store, config.s3)
    probe(store, config.store.unsafe_single_writer)
    check_config(config, reads_corpus)
    run = run_name(config)
    store.put(f"runs/{run}/config.yaml", dump_config(config).encode())
    events = EventLog(store, f"runs/{run}")
    with connected(config.ray) as cluster:
        job = Job(config, store, cluster, run, events, display or Display())
        try:
            yield job
        except BaseException as error:
            events.add("failed", error=type(error).__name__, message=str(user_error(error) or error)[:500])
            raise
        finally:
            events.flush()
