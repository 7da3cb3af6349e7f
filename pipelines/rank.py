"""Queries in, candidates or rankings out, as ONE stream: read -> tokenise -> embed -> search -> pair -> rerank -> write.

All pools work at the same time. `search` ends the stream at the candidates; `rerank` starts it from them; `run` goes
through, from the candidates where a unit has some.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from actors.candidates import CandidateReader, CandidateWriter
from actors.opening import PassageSource
from actors.pairer import Pairer
from actors.ranker import Ranker, Reorder
from actors.reader import Workplace
from actors.reranker import Reranker
from actors.retrieval import AskAll
from actors.rollup import RollUp
from actors.searcher import Search
from actors.storage.commits import CommitRecord, committed_units, read_commits
from configs.errors import UserError
from pipelines.asking import Asking, judged
from pipelines.embed import check_rejects, embedding_operator, encoder_spec, finish, reading_operator, tokenizing_operator, writing_operator
from pipelines.job import Job
from pipelines.metrics import counted
from pipelines.operators import Operator
from pipelines.searchers import fits_in_memory, resident_searchers, sweep
from pipelines.sizing import light_tasks, tokenizing_tasks
from pipelines.stream import Item, Stage


def search(asking: Asking) -> list[CommitRecord]:
    """Candidates of every query, committed. Returns their records in query order."""
    job = asking.job
    place = job.place(f"{job.folder}/candidates")
    with ExitStack() as stack:
        head = _finding(asking, stack, place.folder)
        if head:
            write = writing_operator(place, "passages", "search", _light(asking))
            finish(job, Stage("search", [*head, write], place), asking.items(asking.candidates))
    return _checked(asking, read_commits(job.store, place.folder, asking.candidate_names))


def rerank(asking: Asking, only_from_candidates: bool) -> list[CommitRecord]:
    """Rankings of every query, committed. Returns their records in query order.

    Units whose candidates are committed start from those. The others are searched in the same stream, or, with
    `only_from_candidates`, are an error.
    """
    job = asking.job
    place = job.place(f"{job.folder}/rankings")
    found = committed_units(job.store, f"{job.folder}/candidates")
    candidates, rankings = asking.candidate_names, asking.ranking_names
    kept = [i for i, name in enumerate(candidates) if name in found]
    if only_from_candidates and len(kept) < len(asking.units):
        missing = f"{len(asking.units) - len(kept)} of {len(asking.units)}"
        raise UserError(f"{missing} query units have no candidates yet: run `raytrieve search` with this config first.")
    fresh = [i for i, name in enumerate(candidates) if name not in found]
    tail = _ranking_operators(asking, place)
    if kept:
        records = read_commits(job.store, f"{job.folder}/candidates", [candidates[i] for i in kept])
        reader = Operator(CandidateReader, {"place": place}, cpus=0.25, tasks=_light(asking))
        names = [rankings[i] for i in kept]
        items = [Item((name,), CandidateReader.start(name, record)) for name, record in zip(names, records, strict=True)]
        finish(job, Stage("rerank", [reader, *tail], place), items)
    if fresh:
        _stream(asking, [asking.units[i] for i in fresh], tail)
    return _checked(asking, read_commits(job.store, place.folder, rankings))


def _stream(asking: Asking, units: Sequence[Any], tail: list[Operator]) -> None:
    job = asking.job
    place, candidates = job.place(f"{job.folder}/rankings"), job.place(f"{job.folder}/candidates")
    arguments = {"place": counted(candidates, "candidates"), "names": _renamed(asking)}
    keep = [Operator(CandidateWriter, arguments, cpus=0.35, tasks=_light(asking))]
    with ExitStack() as stack:
        head = _finding(asking, stack, place.folder)
        if head:
            name = "search and rerank" if asking.specs else "rank"
            operators = [*head, *(keep if job.config.search.keep_candidates else []), *tail]
            finish(job, Stage(name, operators, place), asking.items(asking.rankings, units))


def _renamed(asking: Asking) -> dict[str, str]:
    return dict(zip(asking.ranking_names, asking.candidate_names, strict=True))


def _finding(asking: Asking, stack: ExitStack, folder: str) -> list[Operator]:
    """The operators from query files to candidates; none when every unit of the folder is committed already."""
    job = asking.job
    names = asking.candidate_names if folder.endswith("candidates") else asking.ranking_names
    if set(names) <= committed_units(job.store, folder):
        return []
    place = job.place(folder)
    only = judged(job) if asking.queries.only_judged else None
    read = reading_operator(asking.queries, job, "queries", place, _light(asking), only)
    if fits_in_memory(job, asking.manifest):
        embedding = _embedding_operators(job, place)
        ask = stack.enter_context(resident_searchers(job, asking.manifest))
    else:
        job.display.say("search: the index is larger than the memory for it, so it goes shard by shard")
        embedding, ask = [], _swept(asking, names)
    arguments = {"ask_all": ask, "config": job.config.search}
    return [read, *embedding, Operator(Search, arguments, cpus=0.2, tasks=_light(asking))]


def _embedding_operators(job: Job, place: Workplace) -> list[Operator]:
    """From texts to all that the retrievers ask with. BM25 asks with the texts themselves."""
    config = job.config.search
    if config.retrievers == ("bm25",):
        return []
    spec = encoder_spec(job, config.workers, ("dense", "sparse") if "sparse" in config.retrievers else ("dense",))
    tasks = light_tasks(config.workers)  # a query is short
    return [tokenizing_operator(spec, queries=True, tasks=tasks), embedding_operator(job, spec, config.workers, place, "fp32")]


def _light(asking: Asking) -> int:
    """Tasks of what is beside the pools of a stream of queries."""
    return light_tasks(asking.job.config.search.workers, *(spec.config.workers for spec in asking.specs))


def _swept(asking: Asking, names: list[str]) -> AskAll:
    job = asking.job
    place, identity = job.place(f"{job.folder}/query_vectors"), f"vectors of {asking.candidates}"
    only = judged(job) if asking.queries.only_judged else None
    operators = [
        reading_operator(asking.queries, job, "queries", place, _light(asking), only),
        *_embedding_operators(job, place),
        writing_operator(place, "passages", "queries", _light(asking)),
    ]
    finish(job, Stage("queries", operators, place), asking.items(identity))
    vectors = read_commits(job.store, place.folder, asking.names(identity))
    return sweep(job, asking.manifest, vectors, names)


def _ranking_operators(asking: Asking, place: Any) -> list[Operator]:
    job = asking.job
    source = PassageSource(job.store, asking.manifest.segments)
    if not asking.specs:
        operators = [Operator(Pairer, {"source": source, "spec": None, "depth": 0}, cpus=0.5, tasks=_light(asking))]
    else:
        operators = []
    for number, spec in enumerate(asking.specs):
        depth, pool = spec.config.depth or job.config.search.top_k, spec.config.workers
        if number:
            operators.append(Operator(Reorder, {}, cpus=0.15, tasks=_light(asking)))
        gpus = job.gpus(spec.config, pool)
        tasks = tokenizing_tasks(pool, gpus)
        operators.append(Operator(Pairer, {"source": source, "spec": spec, "depth": depth}, cpus=0.5, tasks=tasks))
        arguments = {"spec": spec, "place": place, "source": source, "depth": depth}
        operators.append(Operator(Reranker, arguments, cpus=pool.cpus, pool=pool, gpus=gpus))
    retrievers = job.config.search.retrievers
    fused = retrievers if len(retrievers) > 1 else ()
    write = writing_operator(place, "rankings", "rerank", _light(asking))
    light = partial(Operator, cpus=write.cpus, tasks=write.tasks)  # equal needs: Ray makes one task of all that is left to do
    rank = [light(Ranker, {"retrievers": fused})]
    if job.config.search.roll_up:
        rank.append(light(RollUp, {}))
    return [*operators, *rank, write]


def _checked(asking: Asking, records: list[CommitRecord]) -> list[CommitRecord]:
    check_rejects(records, asking.queries, "queries")
    if not sum(record.counts["rows"] for record in records):
        raise UserError(f"There is no query to run in {', '.join(asking.queries.path)}: every row was rejected, or none of them is judged.")
    return records
