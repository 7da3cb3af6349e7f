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

from actors.receipts import is_receipt
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


def chained(parcels: Sequence[pa.Table], operators: Sequence[Operator], retries: int) -> ray.data.Dataset:
    """Packed parcels through the operators, as a dataset of one block a parcel.

    A parcel is read by the task that the first operator works on it in. `ray.data.from_arrow` would first run a task for each, only to
    learn its size, and so wake a process for every CPU.
    """
    first = operators[0]
    arguments = {"max_retries": retries} if first.pool is None else {}
    tasks = first.tasks if first.pool is None else None
    dataset: ray.data.Dataset = ray.data.read_datasource(
        ParcelSource(parcels), override_num_blocks=len(parcels), num_cpus=first.cpus, concurrency=tasks, ray_remote_args=arguments
    )
    for operator in operators:
        # Of a source Ray knows no row count: an operator that asks for batches of one row is not fused with it.
        dataset = _attach(dataset, operator, retries, batch_size=None if operator is first else 1)
    return dataset


def _attach(dataset: ray.data.Dataset, operator: Operator, retries: int, batch_size: int | None) -> ray.data.Dataset:
    """The dataset with one operator more. Restarts and retries are bounded: Ray's own default is for ever."""
    common: dict[str, Any] = {"batch_size": batch_size, "batch_format": "pyarrow", "num_cpus": operator.cpus}
    if operator.pool is None:
        tasks = TaskPoolStrategy(size=operator.tasks)
        return dataset.map_batches(call_kept, fn_kwargs={"operator": operator}, compute=tasks, max_retries=retries, **common)  # type: ignore[arg-type]
    pool = operator.pool
    if operator.gpus:
        common["num_gpus"] = operator.gpus
    if pool.memory_gb:
        common["memory"] = int(pool.memory_gb * (1 << 30))
    strategy = ActorPoolStrategy(
        min_size=pool.min_size,
        max_size=max(pool.min_size, pool.max_size),
        max_tasks_in_flight_per_actor=2,
        # One call at a time, in the thread that built the worker. By default Ray calls it in another: OpenMP then keeps threads for
        # both, more than there are CPUs, and lets them sleep between products (small models: 1.2 to 1.5 times slower on two cores).
        max_concurrent_calls_per_actor=1,
        enable_true_multi_threading=True,
    )
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
    """The parcels a worker makes of one, whether it returns a table or yields several. A receipt goes on as it is."""
    result = batch if is_receipt(batch) else worker(batch)
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
