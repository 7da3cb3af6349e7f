"""The whole corpus in, committed vectors of all its units out: how a first version begins, and the first under another embedding.

Units are embedded as they are. Only where others lie under the same fingerprint, because files have changed since a first build
was killed or an embedding was last in use, are the new ones read twice: for the texts that those others have embedded.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import ray

from actors.catalogue.reconciling import WANTED
from actors.catalogue.scanning import REPEATED, scan_units
from actors.corpus.planning import WorkUnit
from actors.reader import Reader
from actors.storage.commits import CommitRecord, committed_units
from pipelines.embed import Embedding, corpus_reader, embed, plan_corpus
from pipelines.job import Job
from pipelines.reembedding import Intake, commit_intakes, plan_intake
from pipelines.replanning import scan_batches

_HELD_ROWS = 4_000_000  # passages that the driver looks up at once: 40 bytes each, and some times as much while they are looked up
_SCANS = 32  # tasks at once, whose results wait in the object store


def embed_corpus(job: Job, embedding: Embedding) -> list[CommitRecord]:
    """Commit vectors for all units of the corpus. Returns their commit records, in corpus order."""
    units = plan_corpus(job)
    committed = committed_units(job.store, embedding.folder)
    missing = [unit for unit in units if unit.unit_id not in committed]
    if missing and committed - {unit.unit_id for unit in units}:
        _recall_whole(job, embedding, missing)
    return embed(job, embedding, units)


def _recall_whole(job: Job, embedding: Embedding, units: Sequence[WorkUnit]) -> None:
    """Commit the units that share a text with what is committed: only the rest of them is embedded."""
    job.display.say(f"embed: {len(units):,} units are new, and files have changed: looking for texts of theirs that were embedded before")
    held, rows = list[np.ndarray](), 0
    for wanted in _scanned(job, units):
        held.append(wanted)
        rows += len(wanted)
        if rows >= _HELD_ROWS:
            _take_in(job, embedding, units, held)
            rows = 0
    _take_in(job, embedding, units, held)


def _scanned(job: Job, units: Sequence[WorkUnit]) -> Iterator[np.ndarray]:
    """WANTED rows of all units, in their order, a batch of units at a time."""
    reader, task = corpus_reader(job), job.task(_scan)
    batches, waiting = iter(scan_batches(units, 0)), deque[Any]()
    while True:
        waiting.extend(task.remote(reader, some, first) for first, some in islice(batches, _SCANS - len(waiting)))
        if not waiting:
            return
        yield ray.get(waiting.popleft())


def _take_in(job: Job, embedding: Embedding, units: Sequence[WorkUnit], held: list[np.ndarray]) -> None:
    """Recall for the passages held, which are let go before anything is embedded."""
    wanted = np.concatenate([np.zeros(0, WANTED), *held])
    held.clear()
    intakes = [_as_a_whole(intake) for intake in plan_intake(job, embedding, units, wanted) if intake.recall]
    del wanted
    commit_intakes(job, embedding, intakes, ("embed what changed", "recall"))


def _as_a_whole(intake: Intake) -> Intake:
    """Its rows need not be told: they are all of the unit. That some are new is all there is to know of those."""
    return replace(intake, whole=True, rows=[], fresh=intake.fresh[:1])


def _scan(reader: Reader, units: Sequence[WorkUnit], first: int) -> np.ndarray:
    scanned = scan_units(reader, units, first, {}).rows
    scanned = scanned[scanned["row"] != REPEATED]
    rows = np.zeros(len(scanned), WANTED)
    for name in WANTED.names or ():
        rows[name] = scanned[name]
    return rows
