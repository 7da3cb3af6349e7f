"""Committed vectors in, a published version out: find repeated ids, train once, build segments in parallel, publish."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import ray

from actors.catalogue.sources import Sources, save_sources
from actors.corpus.planning import mapping_salt
from actors.corpus.rejects import decode_rejects, encode_rejects
from actors.corpus.schema import Reject
from actors.duplicates import find_repeats, locate, read_hashes
from actors.index.analysis import SCHEMA as TERMS_SCHEMA
from actors.index.kinds import IndexPlan, resolve_plan
from actors.indexer import Indexer
from actors.parcels import Parcel
from actors.pieces import Piece, cut_pieces
from actors.storage.commits import CommitRecord, DataFile, read_commits
from actors.storage.fingerprints import fingerprint
from actors.storage.manifests import Manifest, SegmentEntry, publish, require_files
from actors.storage.objects import Store
from actors.trainer import Trainer
from configs.errors import UserError
from pipelines.embed import Embedding, check_rejects, finish
from pipelines.job import Job
from pipelines.metrics import counted
from pipelines.operators import Operator
from pipelines.stream import Item, Stage

_SCHEMA = 2  # raise it when what is stored of a segment changes for the same input
_BUCKET_ROWS = 8_000_000  # id hashes sorted at once: 24 bytes each
_UNITS = 256  # units whose hashes one task reads


@dataclass(frozen=True, slots=True)
class Indexed:
    """A published version and the rows left out of it because their id came before."""

    manifest: Manifest
    repeats: tuple[Reject, ...]


def build_index(job: Job, embedding: Embedding, records: Sequence[CommitRecord], base: int) -> Indexed:
    """Build what is missing of the index over all committed units, and publish it as a version.

    `base` is the newest version's number from before the corpus was listed: a version that came later has seen a newer corpus.
    """
    draft, rejects = draft_index(job, embedding, records)
    require_files(job.store, draft)
    manifest = publish(job.store, draft, base)
    job.events.add("version", version=manifest.version, segments=len(manifest.segments), passages=manifest.rows, flush=True)
    factory = manifest.index["plan"]["factory"]
    job.display.say(f"index: version {manifest.version}, {manifest.rows:,} passages in {len(manifest.segments)} segments ({factory})")
    return Indexed(manifest, rejects)


def draft_index(job: Job, embedding: Embedding, records: Sequence[CommitRecord]) -> tuple[Manifest, tuple[Reject, ...]]:
    """Build what is missing of the index over all committed units. Returns the version to publish, and the repeated rows left out."""
    repeats, rejects = _find_repeats(job, records)
    check_rejects(records, job.config.corpus, "corpus", more=len(rejects))
    job.store.put(f"{job.folder}/repeated_ids.jsonl", encode_rejects(rejects))
    rows = int(sum(r.counts["rows"] for r in records)) - sum(map(len, repeats.values()))
    if not rows:
        raise UserError("No row of the corpus could be embedded: every one was rejected or repeated. See the rejects files in the store.")
    plan = resolve_plan(job.config.index, rows, embedding.facts["dimension"])
    files = [(r.files["data"], int(r.counts["rows"]), repeats.get(i, ())) for i, r in enumerate(records)]
    template = train_template(job, embedding, plan, [piece for pieces in cut_pieces(files, rows) for piece in pieces])
    segments = build_segments(job, embedding, plan, template, cut_pieces(files, job.config.index.segment_rows))
    draft = Manifest(0, embedding.named, index_facts(plan, template, rows, segments), tuple(segments), {}, 0, job.run, 0.0, "")
    return replace(draft, sources=save_sources(job.store, _sources(job, records, rejects))), rejects


def _sources(job: Job, records: Sequence[CommitRecord], repeats: Sequence[Reject]) -> Sources:
    """The files of all units. One with an id that came before bears no ETag: a re-index reads it once, to know what it shadows."""
    repeated = {reject.source for reject in repeats}
    for record in records:
        if record.details["reasons"].get("duplicate id in this unit"):
            repeated |= {reject.source for reject in decode_rejects(job.store.get(record.files["rejects"].key)) if reject.id is not None}
    found = sorted({tuple(source) for record in records for source in record.details["sources"]})
    files = tuple((uri, "" if uri in repeated else etag, size, beir) for uri, etag, size, beir in found)
    return Sources(mapping_salt(job.config.corpus), files)


def index_facts(plan: IndexPlan, template: DataFile, rows: int, trained_over: Sequence[SegmentEntry]) -> dict[str, Any]:
    """What a manifest says of its index: `rows` is the size it was planned for, `centroid_error` that over its first segments."""
    facts = {"fingerprint": fingerprint([_build_facts(plan), template.sha256]), "plan": asdict(plan), "template": asdict(template)}
    return {**facts, "rows": rows, "centroid_error": mean_detail(trained_over, "centroid_error")}


def mean_detail(segments: Sequence[SegmentEntry], name: str) -> float | None:
    """A figure that segments measured of themselves, averaged over their rows; none where none of them has it."""
    having = [entry for entry in segments if entry.details.get(name) is not None]
    rows = sum(entry.rows for entry in having)
    return sum(entry.rows * entry.details[name] for entry in having) / rows if rows else None


def _build_facts(plan: IndexPlan) -> list[object]:
    return [_SCHEMA, plan.factory, plan.dimension]


def train_template(job: Job, embedding: Embedding, plan: IndexPlan, pieces: list[Piece]) -> DataFile:
    """The trained, empty index for a plan, from a sample of the pieces."""
    config, place = job.config.index, job.place("quantizers")
    sample = [[piece.plain() for piece in pieces], config.train_rows, config.seed, embedding.fingerprint] if plan.trained else []
    unit = fingerprint([_build_facts(plan), sample])
    arguments = {"place": counted(place, "train"), "plan": plan, "train_rows": config.train_rows, "seed": config.seed}
    operator = Operator(Trainer, arguments, cpus=1.0, tasks=1)
    header = {"units": [unit], "pieces": [piece.plain() for piece in pieces] if plan.trained else []}
    finish(job, Stage("train", [operator], place), [Item((unit,), Parcel(header))])
    return read_commits(job.store, place.folder, [unit])[0].files["template"]


def segment_names(job: Job, plan: IndexPlan, template: DataFile, segments: Sequence[Sequence[Piece]]) -> list[str]:
    """The identities of segments over these pieces: of everything that changes their bytes. One that is built has this name."""
    language = job.config.search.language
    terms = [TERMS_SCHEMA, language] if language else []
    facts = [_build_facts(plan), template.sha256, job.config.embed.store_dtype, job.config.index.recall_queries]
    return [fingerprint([*facts, _identity(pieces), *terms]) for pieces in segments]


def build_segments(
    job: Job, embedding: Embedding, plan: IndexPlan, template: DataFile, segments: Sequence[Sequence[Piece]]
) -> list[SegmentEntry]:
    """Build the segments that are not committed yet. Returns all of them, in order."""
    config, place = job.config.index, job.place("segments")
    names = segment_names(job, plan, template, segments)
    arguments = {"place": counted(place, "index"), "plan": plan, "config": config, "dtype": job.config.embed.store_dtype}
    arguments |= {"normalized": embedding.facts["normalize"], "language": job.config.search.language}
    operator = Operator(Indexer, arguments, cpus=1.0, tasks=config.builders)
    plans = [[piece.plain() for piece in pieces] for pieces in segments]
    items = [
        Item((name,), Parcel({"units": [name], "pieces": pieces, "template": asdict(template)}))
        for name, pieces in zip(names, plans, strict=True)
    ]
    finish(job, Stage("index", [operator], place), items)
    return [_entry(record) for record in read_commits(job.store, place.folder, names)]


def _entry(record: CommitRecord) -> SegmentEntry:
    details = {name: value for name, value in record.details.items() if name != "pieces"}  # long, and of use to a re-index only
    return SegmentEntry(record.unit, int(record.counts["rows"]), record.files, details)


def _identity(pieces: Sequence[Piece]) -> list[object]:
    return [[piece.file.sha256, list(piece.drop), piece.start, piece.stop] for piece in pieces]


def _find_repeats(job: Job, records: Sequence[CommitRecord]) -> tuple[dict[int, tuple[int, ...]], tuple[Reject, ...]]:
    """Rows to drop by unit, and the same as rejects: an id belongs to the first row that has it, in corpus order."""
    numbered = [(i, record.files["ids"]) for i, record in enumerate(records)]
    buckets = 1 + int(sum(r.counts["rows"] for r in records)) // _BUCKET_ROWS
    read = job.task(_read_hashes, buckets)
    parts = [read.remote(job.store, numbered[i : i + _UNITS], buckets) for i in range(0, len(numbered), _UNITS)]
    by_bucket = [parts] if buckets == 1 else [list(bucket) for bucket in zip(*parts, strict=True)]
    find = job.task(_find_in_bucket)
    found = np.concatenate(ray.get([find.remote(*bucket) for bucket in by_bucket])) if parts else np.zeros((0, 4), np.int64)
    drops: dict[int, list[int]] = defaultdict(list)
    for unit, row, _, _ in found.tolist():
        drops[unit].append(row)
    sorted_drops = {unit: tuple(sorted(rows)) for unit, rows in drops.items()}
    return sorted_drops, _as_rejects(job.store, records, found)


def _as_rejects(store: Store, records: Sequence[CommitRecord], found: np.ndarray) -> tuple[Reject, ...]:
    wanted: dict[int, set[int]] = defaultdict(set)
    for unit, row, first_unit, first_row in found.tolist():
        wanted[unit].add(row)
        wanted[first_unit].add(first_row)
    places: dict[tuple[int, int], tuple[str, str, int]] = {}
    for unit, rows in wanted.items():
        ordered = sorted(rows)
        places.update({(unit, row): where for row, where in zip(ordered, locate(store, records[unit].files["data"], ordered), strict=True)})
    rejects = []
    for unit, row, first_unit, first_row in found.tolist():
        name, source, source_row = places[unit, row]
        _, first, first_source_row = places[first_unit, first_row]
        rejects.append(Reject(source, source_row, f"duplicate id: first seen at {first} row {first_source_row}", name))
    return tuple(sorted(set(rejects), key=lambda reject: (reject.source, reject.row)))  # a document once, whatever its passages


def _read_hashes(store: Store, units: list[tuple[int, DataFile]], buckets: int) -> np.ndarray | tuple[np.ndarray, ...]:
    parts = read_hashes(store, units, buckets)
    return parts[0] if buckets == 1 else tuple(parts)


def _find_in_bucket(*parts: np.ndarray) -> np.ndarray:
    return find_repeats(parts)
