"""Units in, receipts out: streams a stage's unfinished units through its operators with Ray Data, wave by wave.

Starting and resuming are the same code: what has a commit record is left out. When a unit kills its worker more often
than Ray may retry, the units then being computed are tried alone (`isolation`), and the stream goes on.
"""

import gc
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import ray.data
import ray.exceptions

from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import attempts, committed_units
from configs.schema import RayConfig
from pipelines.isolation import finish_alone
from pipelines.operators import Operator, chained
from pipelines.units_in_hand import bound_units_in_hand

logger = logging.getLogger(__name__)
_IN_FLIGHT = 0.2  # share of the object store that waiting units may fill: memory then depends little on the corpus
_DEATHS = (
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.LocalRayletDiedError,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a stage's plan: a parcel to start with, and the units it will be committed as."""

    units: tuple[str, ...]
    parcel: Parcel

    def without(self, done: set[str]) -> "Item | None":
        """The item without the units that are committed; none when nothing is left."""
        left = [i for i, unit in enumerate(self.units) if unit not in done]
        if len(left) == len(self.units):
            return self
        header = dict(self.parcel.header)
        for name in ("units", "names"):
            if name in header:
                header[name] = [header[name][i] for i in left]
        return Item(tuple(self.units[i] for i in left), Parcel(header, self.parcel.tables)) if left else None


@dataclass(frozen=True, slots=True)
class Stage:
    """A named chain of operators whose last one commits units into `place`."""

    name: str
    operators: Sequence[Operator]
    place: Workplace


Receipt = Callable[[dict], None]


def run_stage(stage: Stage, items: Sequence[Item], config: RayConfig, on_receipt: Receipt) -> None:
    """Finish every unit of the plan that is not committed yet. Returns when all are; raises when that is impossible."""
    done = committed_units(stage.place.store, stage.place.folder)
    left = _remaining(items, done)
    while left:
        wave = _first_units(left, config.wave_units)
        finished = len(done)

        def count(receipt: dict) -> None:
            done.add(receipt["unit"])  # noqa: B023 - called within this turn only
            on_receipt(receipt)

        death = _stream_wave(stage, wave, config, count)
        if death:
            gc.collect()  # the aborted execution's actors go with its last reference, and their CPUs and GPUs come free
            _try_suspects(stage, wave, death, count)
            done |= committed_units(stage.place.store, stage.place.folder)
        left = _remaining(left, done)
        if left and len(done) == finished:
            raise RuntimeError(f"stage {stage.name} committed nothing in a whole pass, with {len(left)} parcels left")


def _stream_wave(stage: Stage, wave: Sequence[Item], config: RayConfig, on_receipt: Receipt) -> str:
    """Stream some items; returns the name of the death that ended it early, or nothing."""
    try:
        for header in _receipts(stage, wave, config):
            on_receipt(header)
    except _DEATHS as death:
        return type(death).__name__
    return ""


def _receipts(stage: Stage, wave: Sequence[Item], config: RayConfig) -> Iterable[dict]:
    context = ray.data.DataContext.get_current().copy()  # a notebook's own datasets keep theirs
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a row is never split, so every unit travels as a block of its own, as soon as it is made
    context.override_object_store_memory_limit_fraction = _IN_FLIGHT
    context.execution_no_progress_timeout_s = int(config.no_progress_s)
    context.max_consecutive_actor_init_deaths = config.retries
    bound_units_in_hand(context)
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it would say is raised all the same
    with ray.data.DataContext.current(context):
        dataset = chained([item.parcel.pack() for item in wave], stage.operators, config.retries)
    for batch in dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
        assert isinstance(batch, pa.Table)
        yield Parcel.unpack(batch).header


def _try_suspects(stage: Stage, wave: Sequence[Item], death: str, on_receipt: Receipt) -> None:
    """Units that had begun without a commit are tried alone; if none had begun, every unfinished one of the wave is."""
    done = committed_units(stage.place.store, stage.place.folder)
    unfinished = [single for item in _remaining(wave, done) for single in _split(item)]
    begun = {unit for unit, _ in attempts(stage.place.store, stage.place.folder)}
    suspects = [item for item in unfinished if item.units[0] in begun] or unfinished
    logger.warning("A worker of stage %s died too often (%s); trying %d units alone.", stage.name, death, len(suspects))
    for item in suspects:
        on_receipt(finish_alone(list(stage.operators), item.parcel, stage.name))


def _remaining(items: Sequence[Item], done: set[str]) -> list[Item]:
    return [rest for rest in (item.without(done) for item in items) if rest is not None]


def _first_units(items: Sequence[Item], count: int) -> list[Item]:
    wave: list[Item] = []
    for item in items:
        if wave and sum(len(i.units) for i in wave) + len(item.units) > count:
            break
        wave.append(item)
    return wave


def _split(item: Item) -> list[Item]:
    done = [set(item.units) - {unit} for unit in item.units]
    return [single for single in (item.without(others) for others in done) if single is not None]
