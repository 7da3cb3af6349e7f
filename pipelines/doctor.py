"""A config in, a list of checks out: what works, what does not, and how to mend it. Changes nothing but probe objects."""

import importlib.metadata
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.models.description import CheckpointInfo
from actors.storage.objects import open_store, probe
from configs.errors import UserError
from configs.schema import Config
from pipelines.failures import user_error
from pipelines.preflight import check_chunking, check_encoder, check_input, check_judgements_early, check_reranker

_FREE = 2 << 30  # bytes of disk under which a warning is due


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    sentence: str


def examine(config: Config) -> list[Check]:
    """Look at everything a run needs; one failure does not hide the next."""
    return [_checked(name, look) for name, look in _looks(config)]


def _looks(config: Config) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "store", lambda: _store(config)
    yield "corpus", lambda: _input(config, "corpus")
    if config.queries:
        yield "queries", lambda: _input(config, "queries")
        yield "qrels", lambda: _judgements(config)
    yield "embed.model", lambda: _described(config.embed.model, check_encoder(config))
    if config.corpus.chunking is not None:
        yield "corpus.chunking", lambda: _chunking(config)
    for reranker in config.rerankers:
        yield "rerank.model", lambda r=reranker: _described(r.model, check_reranker(r, config.s3))  # type: ignore[misc]
    yield "faiss", _faiss
    yield "ray", lambda: _ray(config)
    yield "disk", lambda: _disk(config)


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Exception as error:  # noqa: BLE001 - a doctor reports what it finds and goes on to the next organ
        told = str(user_error(error) or f"{type(error).__name__}: {error}")
        return Check(name, False, told.removeprefix(f"{name}: "))


def _store(config: Config) -> str:
    store = open_store(config.store, config.s3)
    probe(store, config.store.unsafe_single_writer)
    return f"{store.uri} can be written" + (
        " by one run at a time" if config.store.unsafe_single_writer else " and honours conditional writes"
    )


def _input(config: Config, role: str) -> str:
    files = check_input(config, role)
    return f"{len(files):,} files, {sum(f.size for f in files) / 1e6:,.1f} MB, the first is {files[0].uri}"


def _judgements(config: Config) -> str:
    judged = check_judgements_early(config)
    return f"{judged:,} judged queries" if judged else "none, so nothing will be measured"


def _described(model: str, info: CheckpointInfo) -> str:
    return f"{model}: {info.model_type}, {info.hidden_size} dimensions, pooling {info.pooling}"


def _chunking(config: Config) -> str:
    check_chunking(config)
    return "documents can be cut into passages that the model reads whole"


def _faiss() -> str:
    providers = importlib.metadata.packages_distributions().get("faiss", [])
    if len(set(providers)) != 1:
        found = ", ".join(sorted(set(providers))) or "none"
        raise UserError(
            f"Exactly one FAISS package must be installed, found {found}: pip uninstall them all, "
            "then install raytrieve[cpu] or raytrieve[gpu]."
        )
    import faiss

    from actors.index.devices import gpu_available

    return f"{providers[0]} {faiss.__version__}, {'GPU search possible' if gpu_available() else 'CPU search'}"


def _ray(config: Config) -> str:
    import ray

    from pipelines.cluster import connected
    from pipelines.placement import demands, misfits

    with connected(config.ray) as cluster:
        faults = misfits(config, cluster, ray.nodes())
        if faults:
            raise UserError(". ".join(faults) + ".")
        kind = "a private cluster" if cluster.private else f"the cluster at {config.ray.address or 'RAY_ADDRESS'}"
        pools = {demand.path: str(demand) for stream in demands(config, cluster) for demand in stream}
        room = ", ".join(f"{path} ({wanted})" for path, wanted in pools.items())
        return f"{kind}: {cluster.cpus:g} logical CPUs, {cluster.gpus:g} GPUs, {cluster.memory / 1e9:.1f} GB, with room for {room}"


def _disk(config: Config) -> str:
    folder = open_store(config.store, config.s3).scratch()
    free = shutil.disk_usage(Path(folder)).free
    if free < _FREE:
        raise UserError(f"Only {free / 1e9:.1f} GB are free at {folder}: free some space or use another disk.")
    return f"{free / 1e9:,.0f} GB free at {folder}"
