"""Committed rankings and judgements in, measures before and after reranking out; also as TREC run files."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq
import ray

from actors.evaluation.bootstrap import Interval, measure_gains
from actors.evaluation.checks import check_ids, check_passage_ids, check_query_ids
from actors.evaluation.measures import Measures, evaluate
from actors.evaluation.trec import format_run, parse_run, write_qrels
from actors.opening import PassageSource
from actors.storage.commits import CommitRecord
from actors.storage.filesystems import read_file
from actors.storage.manifests import Manifest
from actors.storage.verified import read_verified
from configs.errors import UserError
from configs.schema import Config
from pipelines.job import Job
from pipelines.judgements import load_judgements

Ranked = dict[str, list[tuple[str, float]]]
_SAMPLE = 10_000  # queries whose scores the report's histograms show
_MANY = 100_000  # queries past which only the judged ones and the sample are held in the driver


@dataclass(frozen=True, slots=True)
class Results:
    """The rankings of a run in memory: ids and scores, before and after reranking, best first."""

    retrieved: Ranked
    reranked: Ranked | None
    queries: int
    """Queries ranked, whether held here or not."""
    retrievers: dict[str, Ranked] = field(default_factory=dict)
    """What each of several fused retrievers found alone."""
    partial: bool = False
    """Whether only the judged queries and a sample are held: the rest is in the committed rankings alone."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures before and after, and the gain of each with its interval."""

    retrieved: Measures
    reranked: Measures | None
    gain: dict[str, Interval]
    retrievers: dict[str, Measures] = field(default_factory=dict)
    """Of each of several fused retrievers alone."""


def read_results(job: Job, records: Sequence[CommitRecord], reranked: bool) -> Results:
    """Read committed rankings back, verified, in query order. Of very many queries, those that are judged and a sample."""
    judged = load_judgements(job.config) or {}
    many = sum(record.counts["rows"] for record in records) > _MANY
    before: dict[str, list[tuple[int, str, float]]] = {}
    after: Ranked = {}
    columns = ["query_id", judged_column(job.config), "score", "retrieval_rank", "retrieval_score"]
    for record in records:
        table = pq.read_table(read_verified(job.store, record.files["data"]), columns=columns)
        for query, passage, score, place, similarity in zip(*(table[name].to_pylist() for name in columns), strict=True):
            if many and len(after) >= _SAMPLE and query not in judged and query not in after:
                continue
            before.setdefault(query, []).append((place, passage, similarity))
            after.setdefault(query, []).append((passage, score))
    retrieved = {query: [(passage, similarity) for _, passage, similarity in sorted(hits)] for query, hits in before.items()}
    queries = int(sum(record.counts["rows"] for record in records))
    alone = _read_retrievers(job, records, after.keys())
    return Results(retrieved, after if reranked else None, queries, alone, partial=len(after) < queries and many)


def _read_retrievers(job: Job, records: Sequence[CommitRecord], queries: Collection[str]) -> dict[str, Ranked]:
    """By retriever, what it found alone for those of the queries that it found something for."""
    found: dict[str, Ranked] = {}
    for record in records:
        if "retrieved" in record.files:
            table = pq.read_table(read_verified(job.store, record.files["retrieved"]))
            columns = (table[name].to_pylist() for name in ("query_id", "retriever", judged_column(job.config), "score"))
            for query, kind, passage, score in zip(*columns, strict=True):
                if query in queries:
                    found.setdefault(kind, {}).setdefault(query, []).append((passage, score))
    return found


def judged_column(config: Config) -> str:
    """The column of rankings whose ids the qrels judge."""
    return "document_id" if config.search.roll_up else "passage_id"


def judged_ids(config: Config) -> str:
    """The column of passages that holds those ids."""
    return "document_id" if config.search.roll_up else "id"


def check_judgements(job: Job, manifest: Manifest) -> None:
    """Refuse qrels that name passages (documents, where rankings are rolled up to those) which the index does not hold."""
    qrels, config = load_judgements(job.config), job.config.queries
    if qrels is not None and config is not None:
        find = job.task(_known_in)
        source, name = PassageSource(job.store, manifest.segments), judged_ids(job.config)

        def known(ids: list[str]) -> set[str]:
            return set().union(*ray.get([find.remote(source, i, ids, name) for i in range(len(manifest.segments))]))

        check_passage_ids(qrels, known, str(config.qrels))


def _known_in(source: PassageSource, segment: int, ids: Iterable[str], name: str) -> set[str]:
    return source.known(segment, set(ids), name=name)


def evaluate_run(job: Job, results: Results) -> Evaluation | None:
    """Measure the results against the qrels, and write qrels and run files that other tools read. None without qrels."""
    qrels, config = load_judgements(job.config), job.config
    if has_plain_ids(results):
        job.store.put(f"{job.folder}/retrieved.trec", format_run(results.retrieved, "retrieved"))
        if results.reranked is not None:
            job.store.put(f"{job.folder}/reranked.trec", format_run(results.reranked, "reranked"))
    if qrels is None or config.queries is None:
        return None
    check_query_ids(qrels, set(results.retrieved), str(config.queries.qrels))
    job.store.put(f"{job.folder}/qrels.tsv", write_qrels(qrels))
    before = evaluate(results.retrieved, qrels, config.evaluate.cuts)
    alone = {kind: evaluate(ranked, qrels, config.evaluate.cuts) for kind, ranked in results.retrievers.items()}
    if results.reranked is None:
        return Evaluation(before, None, {}, alone)
    after = evaluate(results.reranked, qrels, config.evaluate.cuts)
    e = config.evaluate
    gain = measure_gains(before, after, before.means, e.bootstrap, e.confidence, e.seed) if e.bootstrap else {}
    return Evaluation(before, after, gain, alone)


def measure_run_file(config: Config, uri: str) -> dict[str, float]:
    """The measures of somebody's TREC run file against the config's qrels."""
    qrels = load_judgements(config)
    if qrels is None:
        raise UserError("The config has no judgements to measure with: set queries.qrels.")
    run = parse_run(read_file(uri, config.s3), uri)
    check_ids(qrels, set(run), uri)
    return evaluate(run, qrels, config.evaluate.cuts).means


def has_plain_ids(results: Results) -> bool:
    """Whether all ids can stand in a TREC file, whose columns are parted by blanks."""
    ids = (name for query, hits in results.retrieved.items() for name in (query, *(passage for passage, _ in hits)))
    return not any(any(character.isspace() for character in name) for name in ids)


def score_matrix(ranked: Ranked, k: int) -> np.ndarray:
    """Scores [queries, k] float32, NaN where a query has fewer; a sample of the queries when there are many."""
    lists = list(ranked.values())[:_SAMPLE]
    out = np.full((len(lists), k), np.nan, np.float32)
    for row, hits in enumerate(lists):
        out[row, : len(hits)] = [score for _, score in hits[:k]]
    return out


def relevant_scores(ranked: Ranked, job: Job) -> np.ndarray:
    """Scores of the relevant passages among the candidates, float32 [n]; empty without judgements."""
    qrels = load_judgements(job.config) or {}
    found = [score for query, hits in ranked.items() for passage, score in hits if qrels.get(query, {}).get(passage, 0) > 0]
    return np.array(found, np.float32)
