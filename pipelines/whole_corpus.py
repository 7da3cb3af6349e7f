"""The whole corpus in, committed vectors of all its units out: how a first version begins, and the first under another embedding.

Units are embedded as they are. Only where others lie under the same fingerprint, because files have changed since a first build
was killed or an embedding was last in use, are the new ones read twice: for the texts that those others have embedded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import ray

from actors.catalogue.reconciling import WANTED
from actors.catalogue.scanning import REPEATED, scan_units
from actors.corpus.planning import WorkUnit, group_for_reading
from actors.reader import Reader
from actors.storage.commits import CommitRecord, committed_units
from pipelines.embed import Embedding, describe_embedding, embed, plan_corpus, reading_operator
from pipelines.job import Job
from pipelines.reembedding import commit_intakes, plan_intake
from pipelines.replanning import scan_batches

_HELD_ROWS = 8_000_000  # passages that the driver looks up at once: 40 bytes each, and as much again while they are sorted


def embed_corpus(job: Job) -> tuple[Embedding, list[CommitRecord]]:
    """Commit vectors for all units of the corpus. Returns their commit records, in corpus order."""
    embedding, units = describe_embedding(job), plan_corpus(job)
    committed = committed_units(job.store, embedding.folder)
    missing = [unit for unit in units if unit.unit_id not in committed]
    if committed - {unit.unit_id for unit in units}:
        for some in _parts(missing):
            _recall_whole(job, embedding, some)
    return embedding, embed(job, embedding, units)


def _parts(units: Sequence[WorkUnit]) -> Iterator[list[WorkUnit]]:
    """As many units at once as the driver shall hold hashes of."""
    batch, rows = list[WorkUnit](), 0
    for group in group_for_reading(units):
        batch += group
        rows += sum(unit.rows for unit in group)
        if rows >= _HELD_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _recall_whole(job: Job, embedding: Embedding, units: Sequence[WorkUnit]) -> None:
    """Commit the units that share a text with what is committed: only the rest of them is embedded."""
    job.display.say(f"embed: {len(units):,} units are new, and files have changed: looking for texts of theirs that were embedded before")
    reader = reading_operator(job.config.corpus, job, "corpus", job.place("")).build()
    task = ray.remote(_scan).options(num_cpus=0.5, max_retries=job.config.ray.retries)
    wanted = np.concatenate(ray.get([task.remote(reader, some, first) for first, some in scan_batches(units, 0)]))
    intakes = plan_intake(job, embedding, units, wanted)
    commit_intakes(job, embedding, [replace(intake, whole=True) for intake in intakes if intake.recall])


def _scan(reader: Reader, units: Sequence[WorkUnit], first: int) -> np.ndarray:
    scanned = scan_units(reader, units, first, {}).rows
    scanned = scanned[scanned["row"] != REPEATED]
    rows = np.zeros(len(scanned), WANTED)
    for name in WANTED.names or ():
        rows[name] = scanned[name]
    return rows
