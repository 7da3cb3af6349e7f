"""A stage as Ray Data sees it: a list of operators, each an undecorated worker class and what it needs.

Tasks keep their worker object for the life of the Ray worker process, so a tokenizer is loaded once per process.
"""

import secrets
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from configs.schema import PoolConfig
from pipelines.parcel_source import ParcelSource

# Ray 2.60 warns of `max_restarts` among the remote arguments and has no other way to bound them.
warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
warnings.filterwarnings("ignore", message="The maximum number of concurrent tasks")  # a plan of few units is no mistake

# Calls to an actor that is being restarted elsewhere fail every second or two, and finding a node dead takes up to 14 s.
# A row that kills its worker is bounded by the restarts, whatever the calls.
_PATIENCE = 10

_kept: dict[str, Any] = {}  # per worker process: workers by operator key


@dataclass(frozen=True, slots=True)
class Operator:
    """One worker class of a stage and its arguments. With a pool it runs as actors, else as tasks (at most `tasks` at once).

    `cpus` also decides fusion: Ray fuses neighbours of equal needs, so operators that must stay apart differ in it.
    """

    worker: type
    arguments: dict[str, Any]
    cpus: float
    pool: PoolConfig | None = None
    gpus: float = 0.0
    tasks: int = 4
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    """This very operator: a Ray worker process that outlives it must not take its worker object for another's."""

    def build(self) -> Any:
        """A worker in this process."""
        return self.worker(**self.arguments)


def source(parcels: Sequence[pa.Table], operator: Operator, retries: int) -> ray.data.Dataset:
    """Packed parcels as a dataset of one block each, read within the tasks of the operator that is attached first.

    `ray.data.from_arrow` would first run a task for each, only to learn its size: that wakes a process for every CPU.
    """
    tasks = operator.tasks if operator.pool is None else None
    arguments = {"max_retries": retries} if operator.pool is None else {}
    return ray.data.read_datasource(
        ParcelSource(parcels), override_num_blocks=len(parcels), num_cpus=operator.cpus, concurrency=tasks, ray_remote_args=arguments
    )


def attach(dataset: ray.data.Dataset, operator: Operator, retries: int) -> ray.data.Dataset:
    """The dataset with one operator more. Restarts and retries are bounded: Ray's own default is for ever."""
    common: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "num_cpus": operator.cpus}
    if operator.pool is None:
        tasks = TaskPoolStrategy(size=operator.tasks)
        return dataset.map_batches(call_kept, fn_kwargs={"operator": operator}, compute=tasks, max_retries=retries, **common)  # type: ignore[arg-type]
    pool = operator.pool
    if operator.gpus:
        common["num_gpus"] = operator.gpus
    if pool.memory_gb:
        common["memory"] = int(pool.memory_gb * (1 << 30))
    strategy = ActorPoolStrategy(min_size=pool.min_size, max_size=max(pool.min_size, pool.max_size), max_tasks_in_flight_per_actor=2)
    return dataset.map_batches(
        operator.worker,
        fn_constructor_kwargs=operator.arguments,
        compute=strategy,
        max_restarts=retries,
        max_task_retries=_PATIENCE * retries,
        **common,
    )


def call_kept(batch: pa.Table, operator: Operator) -> Iterator[pa.Table]:
    """Run a task operator on one parcel with this process's own worker object."""
    if operator.key not in _kept:
        if len(_kept) >= 8:  # a long-lived cluster runs many configs through one process
            _kept.clear()
        _kept[operator.key] = operator.build()
    yield from outputs(_kept[operator.key], batch)


def outputs(worker: Any, batch: pa.Table) -> Iterator[pa.Table]:
    """The parcels a worker makes of one, whether it returns a table or yields several."""
    result = worker(batch)
    if isinstance(result, pa.Table):
        yield result
    else:
        yield from result


def run_chain(operators: list[Operator], batch: pa.Table) -> list[pa.Table]:
    """The whole chain over one parcel in this process: how a suspect unit is tried alone."""
    batches = [batch]
    for operator in operators:
        worker = operator.build()
        batches = [made for one in batches for made in outputs(worker, one)]
    return batches
