"""Changes and the vectors of what is new in, the next version out, not yet published: delta segments, deletions, merged segments.

A segment is kept when a build under today's settings would give it the name it has. So a worn segment, another index kind, a
retrained quantiser and a new language of its terms are one thing: segments written anew from the vectors that are stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import ray

from actors.catalogue.compacting import worn_segments
from actors.catalogue.sources import save_sources
from actors.index.kinds import IndexPlan, resolve_plan
from actors.index.recall import measure_recall
from actors.index.segment import Segment
from actors.index.writing import INDEX_FILE, PASSAGES_FILE, VECTORS_FILE
from actors.opening import linked_folder
from actors.pieces import Piece, regroup, without_rows
from actors.storage.commits import CommitRecord, DataFile
from actors.storage.manifests import Manifest, SegmentEntry
from actors.storage.objects import Store
from configs.schema import IndexConfig
from pipelines.changes import Changes
from pipelines.embed import Embedding
from pipelines.heritage import Past, read_past, template_withdrawn
from pipelines.index import build_segments, index_facts, mean_detail, segment_names, train_template
from pipelines.job import Job

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Delta:
    """A version to publish and how it came about."""

    draft: Manifest
    built: int
    """Segments written."""
    replaced: int
    """Segments of the newest version that the draft has no more: they were merged, or built anew."""
    drift: float | None
    """Growth of the centroid error since training, as a share; none without centroids."""
    retrained: str
    """Why the index was trained anew; empty when it was not."""


def draft_delta(job: Job, embedding: Embedding, changes: Changes, records: Sequence[CommitRecord]) -> Delta:
    """Build what the next version needs. Where the passages have drifted from the centroids, build it once more, retrained."""
    plan, why = plan_index(job, changes.newest, changes.passages)
    delta = _build(job, embedding, changes, records, plan, why)
    limit = job.config.reindex.max_drift
    if not delta.retrained and delta.drift is not None and delta.drift > limit:
        why = f"the passages lie {delta.drift:.1%} farther from their centroids than at training (reindex.max_drift {limit:.1%})"
        delta = _build(job, embedding, changes, records, plan, why)
    return delta


def same_index(job: Job, newest: Manifest) -> bool:
    """Whether a build under today's settings, without any change of the corpus, would leave the version as it is."""
    plan, why = plan_index(job, newest, newest.rows)
    if why or plan != IndexPlan(**newest.index["plan"]):
        return False
    past = read_past(job.store, newest)
    if past.stuck and job.config.reindex.mode == "snapshot":
        return False
    names = segment_names(job, plan, DataFile(**newest.index["template"]), list(past.pieces.values()))
    deletions = {name: np.array(rows) for name, rows in newest.deletions.items()}
    worn = worn_segments(newest.segments, deletions, job.config.reindex, job.config.index.segment_rows, 0) - past.stuck
    return not worn and not past.damaged and names == [entry.segment for entry in newest.segments]


def plan_index(job: Job, newest: Manifest, passages: int) -> tuple[IndexPlan, str]:
    """The index for so many passages, and why it differs from the newest version's; nothing where that one's template serves."""
    facts, growth = newest.index, job.config.reindex.max_growth
    if template_withdrawn(job.store, newest):
        return IndexPlan(**facts["plan"]), "its template was damaged"
    planned = facts["rows"]
    grown = not planned / growth <= passages <= planned * growth
    plan = resolve_plan(job.config.index, passages if grown else planned, facts["plan"]["dimension"])
    if plan.factory != facts["plan"]["factory"]:
        return plan, f"the index is {plan.factory} in place of {facts['plan']['factory']}"
    return plan, f"the corpus went from {planned:,} to {passages:,} passages since it was planned" if grown else ""


def arrange(
    job: Job, changes: Changes, past: Past, live: Mapping[str, list[Piece]], names: Sequence[str], fresh: Sequence[Piece]
) -> tuple[set[str], list[list[Piece]]]:
    """Names of the segments that stay, and of each that is to be written the rows it is written from: `live` ones of old, and `fresh`.

    `names`: what a build under today's settings would call the segments of the past.
    """
    deletions, rows = changes.deletions(), job.config.index.segment_rows
    left, same = {name for name, some in live.items() if some}, set(names)
    more = sum(piece.rows for piece in fresh)
    same -= worn_segments(changes.newest.segments, deletions, job.config.reindex, rows, more) - (past.stuck & left)
    same -= past.damaged
    past.require_vectors(left - same)
    return same, regroup([*(piece for name, some in live.items() if name not in same for piece in some), *fresh], rows)


def live_pieces(past: Past, deletions: Mapping[str, np.ndarray]) -> dict[str, list[Piece]]:
    """The pieces of each segment, without what is deleted."""
    return {name: without_rows(some, deletions.get(name, _NONE)) for name, some in past.pieces.items()}


def _build(job: Job, embedding: Embedding, changes: Changes, records: Sequence[CommitRecord], plan: IndexPlan, why: str) -> Delta:
    newest, deletions = changes.newest, changes.deletions()
    past = read_past(job.store, newest)
    live = live_pieces(past, deletions)
    fresh = [Piece(record.files["data"], (), 0, int(record.counts["rows"])) for record in records]
    template = DataFile(**newest.index["template"])
    if why:
        past.require_vectors({name for name, some in live.items() if some})  # all is built again
        template = train_template(job, embedding, plan, [*chain(*live.values()), *fresh])
    names = segment_names(job, plan, template, list(past.pieces.values()))
    same, groups = arrange(job, changes, past, live, names, fresh)
    kept = [entry for entry in newest.segments if entry.segment in same]
    if plan != IndexPlan(**newest.index["plan"]):
        kept = _remeasured(job, kept, plan)
    segments = (*kept, *(build_segments(job, embedding, plan, template, groups) if groups else ()))
    trained = template.sha256 != newest.index["template"]["sha256"]
    facts = index_facts(plan, template, changes.passages, segments if trained else ())
    if not trained:
        facts |= {"centroid_error": newest.index["centroid_error"], "rows": changes.passages if why else newest.index["rows"]}
    deleted = {name: rows.tolist() for name, rows in deletions.items() if name in same}
    sources = save_sources(job.store, changes.sources)
    draft = Manifest(0, embedding.named, facts, segments, deleted, newest.version, job.run, 0.0, "", "reindex", sources)
    base, error = facts["centroid_error"], mean_detail(segments, "centroid_error")
    drift = error / base - 1 if error is not None and base else None
    return Delta(draft, len(groups), len(newest.segments) - len(kept), drift, why if trained else "")


def _remeasured(job: Job, kept: Sequence[SegmentEntry], plan: IndexPlan) -> list[SegmentEntry]:
    """Segments that stay as they are and will be searched in another way, with the recall that they have then."""
    measure = ray.remote(_recall).options(num_cpus=1.0, max_retries=job.config.ray.retries)
    recalls = ray.get([measure.remote(job.store, entry, plan, job.config.index) for entry in kept])
    return [replace(entry, details={**entry.details, "recall": recall}) for entry, recall in zip(kept, recalls, strict=True)]


def _recall(store: Store, entry: SegmentEntry, plan: IndexPlan, config: IndexConfig) -> float | None:
    segment = Segment.open(linked_folder(store, entry, (INDEX_FILE, PASSAGES_FILE, VECTORS_FILE)), plan)
    return measure_recall(segment, config.recall_queries, seed=config.seed).recall
