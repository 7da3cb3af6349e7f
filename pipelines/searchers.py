"""A version in, a way to ask all of it out: resident searcher actors where it fits in memory, a sweep where it does not."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import ray

from actors.index.devices import built_for_gpu
from actors.index.kinds import IndexPlan
from actors.index.writing import INDEX_FILE, VECTORS_FILE
from actors.indexer import PASSAGES, TOKENS
from actors.opening import RETRIEVER_FILES
from actors.parcels import Parcel
from actors.retrieval import AskAll, Found, Questions, Retrieval
from actors.searcher import Searcher
from actors.storage.commits import CommitRecord, DataFile, read_commits
from actors.storage.fingerprints import fingerprint, semantic_fields
from actors.storage.manifests import Manifest, SegmentEntry
from actors.sweeper import Sweeper, SweptHits
from actors.term_counter import STATISTICS, TermCounter, statistics_unit
from configs.errors import UserError
from configs.schema import SearchConfig
from pipelines.cluster import Cluster, cores
from pipelines.embed import finish
from pipelines.job import Job
from pipelines.metrics import counted
from pipelines.operators import Operator
from pipelines.stream import Item, Stage

SEARCHER_CPUS = 0.5  # FAISS uses all cores of its machine, but only while a unit is asked
_HEADROOM = 1.2  # resident bytes over file bytes: FAISS' own structures and the query buffers
_ROUNDED = 0.25  # the 8-bit copy that an index of plain vectors may make of them, over their bytes


class ResidentSegments:
    """Asks every searcher actor at once and waits for all."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = list(handles)

    def __call__(self, unit: str, questions: Callable[[], Questions], k: int) -> list[Found]:
        """Each searcher's best k."""
        shared = ray.put(questions())
        return ray.get([handle.search.remote(shared, k) for handle in self._handles])


def index_plan(manifest: Manifest) -> IndexPlan:
    """The plan that a version's segments were built by."""
    return IndexPlan(**manifest.index["plan"])


def describe_retrieval(job: Job, manifest: Manifest) -> Retrieval:
    """How a version is searched. Counts its terms for BM25 where that was not done before.

    Raises UserError when the version lacks what a retriever needs.
    """
    config, missing = job.config.search, what_is_missing(manifest, job.config.search)
    if missing:
        raise UserError(f"Version {manifest.version} {missing}: run `raytrieve index` with this config first.")
    return Retrieval(index_plan(manifest), config, _count_terms(job, manifest) if config.language else None)


def what_is_missing(manifest: Manifest, config: SearchConfig) -> str:
    """What a version lacks for a retriever; empty when it can answer."""
    for kind in config.retrievers:
        if not all(set(RETRIEVER_FILES[kind]) <= set(entry.files) for entry in manifest.segments):
            return f"was built without {kind}"
    languages = {entry.details.get("language") for entry in manifest.segments} - {config.language}
    if config.language and languages:
        return f"holds terms of the language {languages.pop()}, but search.bm25.language is {config.language}"
    return ""


def _count_terms(job: Job, manifest: Manifest) -> DataFile:
    place, unit = job.place(STATISTICS), statistics_unit(manifest)
    operator = Operator(TermCounter, {"place": counted(place, "terms"), "manifest": manifest}, cpus=1.0, tasks=1)
    finish(job, Stage("terms", [operator], place), [Item((unit,), Parcel({"units": [unit]}))])
    return read_commits(job.store, place.folder, [unit])[0].files["statistics"]


def resident_bytes(entry: SegmentEntry) -> int:
    """Memory that a searcher needs for a segment; its passages stay on disk, memory-mapped."""
    rounded = 0.0 if VECTORS_FILE in entry.files or INDEX_FILE not in entry.files else _ROUNDED * entry.files[INDEX_FILE].size
    return int(_HEADROOM * sum(file.size for name, file in entry.files.items() if name not in (PASSAGES, TOKENS)) + rounded)


def fits_in_memory(job: Job, manifest: Manifest) -> bool:
    """Whether all segments can be resident at once."""
    return sum(map(resident_bytes, manifest.segments)) <= memory_budget(job.config.search.memory_gb, job.cluster)


def memory_budget(memory_gb: float, cluster: Cluster) -> float:
    """Bytes for resident segments."""
    return memory_gb * (1 << 30) if memory_gb else cluster.memory / 2


def searcher_gpus(config: SearchConfig, cluster: Cluster) -> float:
    """GPUs of one searcher."""
    if config.searcher_gpus is None:
        return 0.25 if cluster.gpus and built_for_gpu() else 0.0
    return config.searcher_gpus


def _least_searchers(manifest: Manifest) -> int:
    """Actors needed so that each one's share fits on the largest node, with some room for the others on it."""
    largest = max(node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"])
    return math.ceil(sum(map(resident_bytes, manifest.segments)) / max(1.0, largest / 2))


@contextmanager
def resident_searchers(job: Job, manifest: Manifest) -> Iterator[AskAll]:
    """Searcher actors that hold the whole version for the time of the context. They open it while the stream's other actors start."""
    config, retrieval = job.config.search, describe_retrieval(job, manifest)
    count = min(max(config.searchers, _least_searchers(manifest)), len(manifest.segments))
    shares: list[dict[int, SegmentEntry]] = [{} for _ in range(count)]
    for ordinal, entry in sorted(enumerate(manifest.segments), key=lambda item: -resident_bytes(item[1])):
        min(shares, key=lambda share: sum(map(resident_bytes, share.values())))[ordinal] = entry
    handles: list[Any] = []
    gpus = searcher_gpus(config, job.cluster)
    threads = {"env_vars": {"OMP_NUM_THREADS": str(cores())}}  # else Ray gives half a CPU's matrix products one thread
    try:
        for share in shares:
            memory = sum(map(resident_bytes, share.values()))
            options = {
                "num_cpus": SEARCHER_CPUS,
                "num_gpus": gpus,
                "memory": memory,
                "max_restarts": 3,
                "max_task_retries": 30,
                "runtime_env": threads,
            }
            arguments = (job.store, share, retrieval, manifest.deletions, cores(), gpus > 0)
            handles.append(ray.remote(Searcher).options(**options).remote(*arguments))
            handles[-1].open.remote()  # what goes wrong there is told by the first search
        yield ResidentSegments(handles)
    finally:
        for handle in handles:
            ray.kill(handle)


def sweep(job: Job, manifest: Manifest, queries: Sequence[CommitRecord], names: Sequence[str]) -> AskAll:
    """Search shard by shard: every segment is opened once, as many at a time as memory allows, and asked all queries.

    `queries` are the committed query vectors; `names` are what the same units are called by those who will ask.
    """
    asked = [record for record in queries if record.counts["rows"]]
    place, retrieval = job.place(f"{job.folder}/partials"), describe_retrieval(job, manifest)
    largest = max(map(resident_bytes, manifest.segments))
    at_once = max(1, int(memory_budget(job.config.search.memory_gb, job.cluster) // max(1, largest)))
    identity = fingerprint([manifest.content, semantic_fields(job.config.search), [[r.unit, r.files["data"].sha256] for r in asked]])
    arguments = {"place": counted(place, "sweep"), "queries": [r.files["data"] for r in asked], "retrieval": retrieval, "threads": cores()}
    operator = Operator(Sweeper, arguments, cpus=1.0, tasks=at_once)
    units = [fingerprint([identity, ordinal]) for ordinal in range(len(manifest.segments))]
    items = []
    for ordinal, (name, entry) in enumerate(zip(units, manifest.segments, strict=True)):
        deletions = {entry.segment: manifest.deletions.get(entry.segment, [])}
        header = {"units": [name], "ordinal": ordinal, "segment": asdict(entry), "deletions": deletions}
        items.append(Item((name,), Parcel(header)))
    finish(job, Stage("sweep", [operator], place), items)
    partials = [record.files["data"] for record in read_commits(job.store, place.folder, units)]
    held = [name for name, record in zip(names, queries, strict=True) if record.counts["rows"]]
    return SweptHits(job.store, partials, {name: i for i, name in enumerate(held)})
