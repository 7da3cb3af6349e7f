"""`python -m benchmarks scaling`: what another worker brings, really computing and with a device that only waits.

Two processes, each pinned to a core of its own, encode twice the texts of one. And Ray actors whose device sleeps as long as a unit
would take: nothing but the orchestration is left, so that one machine can show sixteen of them.
"""

import argparse
import itertools
import multiprocessing
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from actors.models import load_encoder
from actors.models.text_tokenizer import TextTokenizer
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import read_commits
from actors.storage.objects import open_store
from actors.writer import Writer
from benchmarks.checkpoints import Checkpoint, prepare
from benchmarks.results import Case, publish
from benchmarks.simulated import SimulatedDevice, Source
from benchmarks.texts import scifact_passages
from benchmarks.timing import OURS, Contestant, Timing, first_run, measure
from configs.schema import PoolConfig, RayConfig, S3Config, StoreConfig
from pipelines.cluster import connected
from pipelines.operators import Operator
from pipelines.sizing import light_tasks
from pipelines.stream import Item, Stage, run_stage

_CPUS_PER_DEVICE = 2  # logical ones


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this comparison."""
    parser.add_argument("--shape", default="minilm", help="shape, or folder of a checkpoint, that the pinned workers run")
    parser.add_argument("--texts", type=int, default=200, help="texts of one pinned worker")
    parser.add_argument("--workers", type=int, default=16, help="most actors with a simulated device")
    parser.add_argument("--units", type=int, default=24, help="units of one such actor")
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds that the device takes for a unit")


def run(options: argparse.Namespace) -> Path:
    """Measure and publish; returns the path of the JSON."""
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        cases = [_simulated_case(Path(temporary), options)]
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            left_out["two pinned workers"] = "this process has one core only"
        else:
            cases.insert(0, _pinned_case(prepare(options.shape, Path(temporary)), cores[:2], options))
    return publish("scaling", cases, left_out, options.out)


def _pinned_case(checkpoint: Checkpoint, cores: Sequence[int], options: argparse.Namespace) -> Case:
    texts = scifact_passages(options.texts)
    tokens = float(TextTokenizer(checkpoint.folder).passages(texts).lengths.sum())
    context, connections, processes = multiprocessing.get_context("spawn"), [], []
    for core in cores:
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_pinned_worker, args=(theirs, core, checkpoint.folder, texts), daemon=True))
        processes[-1].start()
        connections.append(ours)
    names = [f"{OURS}, 1 worker", f"{OURS}, 2 workers"]
    contestants = [
        Contestant(name, partial(_all_work, connections[: number + 1]), tokens * (number + 1), "tokens")
        for number, name in enumerate(names)
    ]
    try:
        for connection in connections:
            connection.recv()
        one, two = measure([first_run(contestant)[1] for contestant in contestants], options.repeats)
    finally:
        for process in processes:
            process.terminate()
    return Case(f"{checkpoint.name}, pinned workers", [one, two], names[1], {"efficiency of 2 workers": round(two.rate / one.rate / 2, 3)})


def _pinned_worker(connection: Connection, core: int, folder: Path, texts: Sequence[str]) -> None:
    """Encodes the texts once for every message, on one core."""
    os.sched_setaffinity(0, {core})
    import torch

    torch.set_num_threads(1)
    encoder = load_encoder(folder)
    connection.send("ready")
    while True:
        connection.recv()
        encoder.encode_corpus(texts)
        connection.send("done")


def _all_work(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.send("go")
    for connection in connections:
        connection.recv()


def _simulated_case(temporary: Path, options: argparse.Namespace) -> Case:
    numbers, counts = itertools.count(), (1, options.workers)
    seconds: dict[int, list[float]] = defaultdict(list)
    # A machine of so many devices has more CPUs than this one, and Ray ends idle processes beyond its number of CPUs.
    with connected(RayConfig(local_cpus=_CPUS_PER_DEVICE * options.workers)):
        for repeat in range(options.repeats):
            for workers in counts if repeat % 2 == 0 else reversed(counts):
                seconds[workers].append(_seconds_per_unit(temporary / f"store-{next(numbers)}", workers, options))
    names = {workers: f"{OURS}, simulated devices: {workers}" for workers in counts}
    timings = [Timing(names[workers], 1.0, "units", 0.0, tuple(seconds[workers])) for workers in counts]
    efficiency = timings[1].rate / timings[0].rate / options.workers
    facts = {f"efficiency of {options.workers} workers": round(efficiency, 3), "seconds a unit sleeps": options.sleep}
    return Case(f"simulated devices, {options.sleep:g} s a unit", timings, names[options.workers], facts)


def _seconds_per_unit(folder: Path, workers: int, options: argparse.Namespace) -> float:
    """Of one stage with so many actors, while all of them work."""
    store = open_store(StoreConfig(uri=str(folder)), S3Config())
    place = Workplace(store, "simulated", "scaling")
    units = [f"unit-{number:05d}" for number in range(workers * options.units)]
    pool = PoolConfig(min_size=workers, max_size=workers, cpus=0.25)
    operators = [
        Operator(Source, {}, cpus=0.3, tasks=light_tasks(pool)),
        Operator(SimulatedDevice, {"place": place, "seconds": options.sleep}, cpus=pool.cpus, pool=pool),
        Operator(Writer, {"place": place, "table": "passages"}, cpus=0.35, tasks=light_tasks(pool)),
    ]
    run_stage(
        Stage("simulated", operators, place), [Item((unit,), Parcel({"units": [unit]})) for unit in units], RayConfig(), lambda _: None
    )
    records = read_commits(store, place.folder, units)
    return _steady([(record.finished, record.counts["process"]) for record in records], warm=max(1, options.units // 4))


def _steady(ends: Sequence[tuple[float, float]], warm: int) -> float:
    """Seconds per unit while all processes work, from the end of each unit and the process that computed it: from when each of them has
    `warm` units behind it, for Ray goes on starting processes of tasks after the actors work, to when the first has its last."""
    by_process: dict[float, list[float]] = defaultdict(list)
    for end, process in sorted(ends):
        by_process[process].append(end)
    if any(len(times) <= warm for times in by_process.values()):
        raise RuntimeError("an actor had too few units to tell: raise --units")
    begin_all = max(times[warm - 1] for times in by_process.values())
    end_all = min(times[-1] for times in by_process.values())
    inside = sum(begin_all < end <= end_all for end, _ in ends)
    if not inside:
        raise RuntimeError("the actors never all worked at once: raise --units")
    return (end_all - begin_all) / inside
