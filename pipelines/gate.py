"""A version to be and the newest one in, whether it is good enough to publish out: recall of its index, and nDCG@10 where judged."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq
import ray

from actors.evaluation.measures import evaluate
from actors.evaluation.trec import Qrels
from actors.opening import PassageSource
from actors.rollup import best_documents
from actors.storage.commits import CommitRecord
from actors.storage.manifests import Manifest
from actors.storage.verified import read_verified
from configs.schema import SearchConfig
from pipelines.asking import prepare
from pipelines.embed import Embedding
from pipelines.evaluate import judged_ids
from pipelines.index import mean_detail
from pipelines.job import Job
from pipelines.judgements import load_judgements
from pipelines.rank import search
from pipelines.searchers import what_is_missing

_NDCG, _RECALL = "ndcg_at_10", "recall_at_100"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured, and what of it is too low."""

    before: dict[str, float]
    """Of the newest version: recall_at_100 against exact search, ndcg_at_10 of the candidates; what is not known is left out."""
    after: dict[str, float]
    faults: tuple[str, ...]
    """Why the version must not be published; empty when it may."""


def judge(job: Job, embedding: Embedding, draft: Manifest, newest: Manifest | None) -> Verdict:
    """Compare a draft with the newest version. Candidates are searched with the config's own settings."""
    before, after = _recalls(newest), _recalls(draft)
    qrels = load_judgements(job.config)
    if qrels is not None:
        versions = [version for version in (draft, newest) if version and _can_answer(version, embedding, job.config.search)]
        fair = _held_by_all(job, qrels, versions)
        measured = [_ndcg(job, embedding, version, fair) for version in versions]
        after |= measured[0]
        # A newest version that can not be asked (under another embedding, without terms) is known by what it measured of itself.
        before |= measured[1] if len(measured) > 1 else {_NDCG: newest.quality[_NDCG]} if newest and _NDCG in newest.quality else {}
    limits = {_RECALL: job.config.reindex.max_recall_drop, _NDCG: job.config.reindex.max_ndcg_drop}
    faults = [
        f"{name} fell from {before[name]:.4f} to {after[name]:.4f}, by more than {limit:g}"
        for name, limit in limits.items()
        if name in before and name in after and before[name] - after[name] > limit
    ]
    return Verdict(before, after, tuple(faults))


def _can_answer(version: Manifest, embedding: Embedding, search: SearchConfig) -> bool:
    return version.embedding["fingerprint"] == embedding.fingerprint and not what_is_missing(version, search)


def _recalls(version: Manifest | None) -> dict[str, float]:
    recall = mean_detail(version.segments, "recall") if version else None
    return {} if recall is None else {_RECALL: recall}


def _ndcg(job: Job, embedding: Embedding, version: Manifest, qrels: Qrels) -> dict[str, float]:
    """Of the candidates; nothing where no relevant passage is left to find."""
    if not any(grade > 0 for grades in qrels.values() for grade in grades.values()):
        return {}
    found = _candidates(job, search(prepare(job, version, embedding)))
    return {_NDCG: evaluate(found, qrels, (10,)).means[_NDCG]}


def _candidates(job: Job, records: Sequence[CommitRecord]) -> dict[str, list[tuple[str, float]]]:
    columns = ["id", "candidate_ids", "candidate_scores"]
    tables = [pq.read_table(read_verified(job.store, record.files["data"]), columns=columns) for record in records]
    rows = [row for table in tables for row in table.to_pylist()]
    found = {row["id"]: list(zip(row["candidate_ids"], row["candidate_scores"], strict=True)) for row in rows}
    return {query: best_documents(hits) for query, hits in found.items()} if job.config.search.roll_up else found


def _held_by_all(job: Job, qrels: Qrels, versions: Sequence[Manifest]) -> Qrels:
    """The judgements of passages that all versions hold: one that was deleted or added since is no fault and no merit of an index."""
    ids = {passage for grades in qrels.values() for passage in grades}
    find = job.task(_known)
    for version in versions:
        source = PassageSource(job.store, version.segments)
        deleted = [version.deletions.get(entry.segment, []) for entry in version.segments]
        ids = set().union(*ray.get([find.remote(source, number, ids, rows, judged_ids(job.config)) for number, rows in enumerate(deleted)]))
    return {query: {passage: grade for passage, grade in grades.items() if passage in ids} for query, grades in qrels.items()}


def _known(source: PassageSource, segment: int, ids: set[str], deleted: Sequence[int], name: str) -> set[str]:
    return source.known(segment, ids, deleted, name)
