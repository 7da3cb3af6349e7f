"""A config and a cluster's nodes in, what has no room on them out: actors of one stream stand beside each other until it ends.

Counted is the least that a stream keeps, `min_size` of every pool and one searcher: the rest is added only where there is room, or
where there are segments for it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from configs.errors import UserError
from configs.schema import Config, EncoderConfig, PoolConfig, RerankConfig
from pipelines.cluster import Cluster, on_gpu
from pipelines.job import Job
from pipelines.preflight import naming
from pipelines.searchers import SEARCHER_CPUS, searcher_gpus

_TASK_CPUS = 0.5  # of the largest task between the pools: without it units are neither read nor written
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Demand:
    """Actors of a config path, and what each reserves; `memory` in bytes."""

    path: str
    remedy: str
    count: int
    cpus: float
    gpus: float = 0.0
    memory: float = 0.0

    def __str__(self) -> str:
        wants = f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")
        return f"{self.count} x {wants}" + (f" and {self.memory / 1e9:.1f} GB" if self.memory else "")


@dataclass(slots=True)
class _Node:
    cpus: float
    memory: float
    gpus: list[float] = field(default_factory=list)  # what is left of each: a share lies on one GPU, more than one are whole

    def take(self, demand: Demand) -> bool:
        """Give one actor its part, if there is room."""
        share, wanted = min(demand.gpus, 1.0), math.ceil(demand.gpus)
        fullest_first = sorted(range(len(self.gpus)), key=self.gpus.__getitem__)
        chosen = [i for i in fullest_first if self.gpus[i] >= share - _ROUNDING][:wanted]
        if self.cpus < demand.cpus - _ROUNDING or self.memory < demand.memory or len(chosen) < wanted:
            return False
        self.cpus, self.memory = self.cpus - demand.cpus, self.memory - demand.memory
        for i in chosen:
            self.gpus[i] -= share
        return True


def demands(config: Config, cluster: Cluster) -> Iterator[list[Demand]]:
    """By stream, all that works in it at the same time."""
    task = Demand("reading and writing", "leave a CPU free of actors", 1, _TASK_CPUS)
    yield [task, _pool("embed.workers", config.embed, config.embed.workers, cluster)]
    yield [Demand("index.builders", "give a node a CPU", 1, 1.0)]  # as tasks, which wait for each other where there is room for one
    if config.queries:
        search, gpus = config.search, searcher_gpus(config.search, cluster)
        stream = [
            task,
            Demand("a searcher", "lower search.searcher_gpus" if gpus else "leave half a CPU free of actors", 1, SEARCHER_CPUS, gpus),
        ]
        if search.retrievers != ("bm25",):
            stream.append(_pool("search.workers", config.embed, search.workers, cluster))
        for number, reranker in enumerate(config.rerankers):
            path = f"cascade[{number - 1}].workers" if number else "rerank.workers"
            stream.append(_pool(path, reranker, reranker.workers, cluster))
        yield stream


def _pool(path: str, section: EncoderConfig | RerankConfig, pool: PoolConfig, cluster: Cluster) -> Demand:
    gpus = pool.gpus if naming(path, lambda: on_gpu(section.device, cluster)) else 0.0
    fields = ["min_size", "cpus", *(["gpus"] if gpus else []), *(["memory_gb"] if pool.memory_gb else [])]
    remedy = "lower " + " or ".join(f"{path}.{name}" for name in fields)
    return Demand(path, remedy, pool.min_size, pool.cpus, gpus, pool.memory_gb * (1 << 30))


def misfits(config: Config, cluster: Cluster, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What finds no room beside the others of its stream on these nodes (as `ray.nodes()` tells them), and how to mend each."""
    there = f"the cluster has {cluster.cpus:g} CPU, {cluster.gpus:g} GPU and {cluster.memory / 1e9:.1f} GB"
    more = "raise ray.local_cpus or join a larger cluster" if cluster.private else "add a node"
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    found = []
    for stream in demands(config, cluster):
        free = [_Node(r.get("CPU", 0.0), r.get("memory", 0.0), [1.0] * int(r.get("GPU", 0))) for r in resources]
        for demand in sorted(stream, key=lambda each: (each.gpus, each.cpus), reverse=True):
            placed = sum(any(node.take(demand) for node in free) for _ in range(demand.count))
            if placed < demand.count:
                others = ", ".join(f"{other.path} ({other})" for other in stream if other is not demand)
                room = (f"room for {placed} of them" if placed else "no room") + (f" beside {others}" if others else "")
                found.append(f"{demand.path} asks for {demand} and finds {room}, but {there}: {demand.remedy}, or {more}")
    return found


def require_room(job: Job) -> None:
    """Raise UserError where a private cluster can never run the whole job; tell it of one that may still get nodes."""
    faults = misfits(job.config, job.cluster, ray.nodes())
    if faults and job.cluster.private:
        raise UserError(". ".join(faults) + ".")
    for fault in faults:
        job.display.say(f"{fault}. Where no node comes, the run ends after ray.no_progress_s ({job.config.ray.no_progress_s:g} s).")
