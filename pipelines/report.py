"""The end of a run in, its report out: gathers the facts, writes report.json and report.html, and says them in a few lines."""

import importlib.metadata
import json
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from actors.corpus.rejects import decode_rejects, encode_rejects
from actors.corpus.schema import Reject
from actors.storage.commits import CommitRecord
from actors.storage.manifests import Manifest
from configs.schema import Config
from pipelines.cluster import cores
from pipelines.evaluate import Evaluation, Results, has_plain_ids, relevant_scores, score_matrix
from pipelines.events import read_events
from pipelines.job import Job
from pipelines.reporting.facts import RejectFacts, ReportFacts, ScoreFacts, SegmentFacts, StageFacts
from pipelines.reporting.report import Report

_LISTED = 100_000  # rejects gathered in the run's own file; each unit keeps all of its own beside its data
_PACKAGES = ("raytrieve", "ray", "torch", "transformers", "faiss-cpu", "faiss-gpu", "pyarrow", "numpy")


def make_report(
    job: Job, manifest: Manifest, records: dict[str, Sequence[CommitRecord]], results: Results | None, evaluation: Evaluation | None
) -> Report:
    """Gather, write and return the report. `records` are the commit records by role: corpus, queries."""
    job.events.flush()
    repeats = decode_rejects(job.store.get(f"{job.folder}/repeated_ids.jsonl")) if "corpus" in records else []
    rejects = {role: _rejects(job, role, some, repeats if role == "corpus" else []) for role, some in records.items()}
    events = read_events(job.store, job.folder)
    reranked = results.reranked if results else None
    k = job.config.search.top_k
    facts = ReportFacts(
        name=job.config.name,
        run=job.run,
        version=manifest.version,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        stages=stage_facts(events),
        segments=tuple(_segment(entry) for entry in manifest.segments),
        rejects=rejects,
        queries=results.queries if results else 0,
        passages=manifest.rows,
        config=job.config.model_dump(mode="json"),
        environment=environment(job),
        retrieved=evaluation.retrieved if evaluation else None,
        reranked=evaluation.reranked if evaluation else None,
        gain=evaluation.gain if evaluation else {},
        retrieval=ScoreFacts(score_matrix(results.retrieved, k), relevant_scores(results.retrieved, job)) if results else None,
        notes=tuple(_notes(job.config, results, evaluation)),
        wall_seconds=wall_seconds(events),
        retrievers=evaluation.retrievers if evaluation else {},
        rerank=ScoreFacts(score_matrix(reranked, k), relevant_scores(reranked, job)) if reranked else None,
    )
    report = Report.of(facts, f"{job.store.uri}/{job.folder}/report.html")
    job.store.put(f"{job.folder}/report.json", report.to_json().encode())
    job.store.put(f"{job.folder}/report.html", report.to_html().encode())
    job.store.put(f"{job.folder}/events.jsonl", "".join(f"{json.dumps(event)}\n" for event in events).encode())
    job.store.put(f"{job.folder}/run.json", json.dumps({"run": job.run, "version": manifest.version, "metrics": report.metrics}).encode())
    return report


def stage_facts(events: Sequence[dict[str, Any]]) -> tuple[StageFacts, ...]:
    """What each stage did over all processes of the run, a killed one up to its last event."""
    names: dict[str, None] = dict.fromkeys(event["stage"] for event in events if event["event"] == "stage started")
    return tuple(_stage(name, [event for event in events if event.get("stage") == name]) for name in names)


def wall_seconds(events: Sequence[dict[str, Any]]) -> float:
    """Time in which a driver was at work, over all processes of the run."""
    by_process: dict[str, list[float]] = {}
    for event in events:
        by_process.setdefault(event["process"], []).append(event["at"])
    return sum(max(times) - min(times) for times in by_process.values())


def _notes(config: Config, results: Results | None, evaluation: Evaluation | None) -> Iterator[str]:
    if results is not None and results.retrieved and config.search.roll_up:
        documents = sum(map(len, results.retrieved.values())) / len(results.retrieved)
        yield (
            f"Rankings hold documents: the {config.search.top_k} passages of a query came from {documents:.1f} documents on average. "
            "Raise search.top_k where that is too few."
        )
    if results is not None and not has_plain_ids(results):
        yield "Some ids hold blanks, so no TREC run files were written; the rankings have everything."
    if results is not None and results.partial:
        yield "There are very many queries: run files and score plots hold the judged ones and a sample; the rankings have all."
    if evaluation is not None and evaluation.retrieved.unanswered:
        yield f"{evaluation.retrieved.unanswered} judged queries had no result and count 0 in every mean."


def _stage(name: str, events: Sequence[dict[str, Any]]) -> StageFacts:
    starts = [event for event in events if event["event"] == "stage started"]
    counts: Counter[str] = Counter()
    finished = {event["unit"]: event["counts"] for event in events if event["event"] == "unit done"}  # two drivers may tell of one
    for each in finished.values():
        counts.update(each)
    seconds, began = 0.0, None
    for before, event in zip([None, *events], events, strict=False):
        if event["event"] == "stage started":
            began = event["at"]
        elif began is not None and before is not None:
            seconds += event["at"] - before["at"]
    units, done = starts[-1]["units"], len(finished)
    return StageFacts(
        name,
        seconds,
        units,
        max(0, units - done),
        int(counts["rows"]),
        int(counts["tokens"]),
        int(counts["padded_tokens"]),
        int(counts["truncated"]),
    )


def environment(job: Job) -> dict[str, str]:
    """Versions and machine, for whoever compares two reports."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = {"python": platform.python_version(), "driver cores": str(cores())}
    return {**versions, **machine, "cluster": f"{job.cluster.cpus:g} logical CPUs, {job.cluster.gpus:g} GPUs"}


def _segment(entry: Any) -> SegmentFacts:
    size = sum(file.size for file in entry.files.values())
    return SegmentFacts(entry.segment, entry.details["kind"], entry.rows, size, entry.details["recall_k"], entry.details["recall"])


def _rejects(job: Job, role: str, records: Sequence[CommitRecord], repeats: Sequence[Reject]) -> RejectFacts:
    """Count by reason, and gather the rejects of all units into the run's own file."""
    reasons: Counter[str] = Counter(reject.reason.partition(":")[0] for reject in repeats)
    for record in records:
        reasons.update(record.details["reasons"])
    files = (record.files["rejects"] for record in records if "rejects" in record.files)
    found = list(islice((reject for file in files for reject in decode_rejects(job.store.get(file.key))), _LISTED))
    listed = [*found, *repeats]
    if listed:
        job.store.put(f"{job.folder}/rejects-{role}.jsonl", encode_rejects(listed))
    total = int(sum(record.counts["rows_read"] for record in records))
    rejected = int(sum(record.counts["rejected"] for record in records)) + len(repeats)
    return RejectFacts(total, rejected, dict(reasons), tuple(asdict(reject) for reject in listed[:10]))


def _headline(title: str, measures: dict[str, float]) -> str:
    shown = ("ndcg_at_10", "recall_at_100", "mrr_at_10")
    return f"{title:>12}: " + "  ".join(f"{name} {measures[name]:.4f}" for name in shown if name in measures)


def summary_lines(report: Report) -> list[str]:
    """The headline for a terminal."""
    lines = []
    for title, measures in (("retrieved", report.metrics["retrieved"]), ("reranked", report.metrics["reranked"])):
        if measures:
            lines.append(_headline(title, measures))
    for kind, measures in report.retrievers.items():
        lines.append(_headline(f"{kind} alone", measures))
    if not lines:
        lines.append("No judgements were given, so nothing was measured.")
    return [*lines, f"      report: {report.uri}"]
