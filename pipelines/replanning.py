"""The corpus as it is now and the newest version in, what has to change out. Reads changed files only, and writes nothing.

Comparing goes partition by partition of the ids' hashes, in tasks: the driver holds what changes, never the corpus.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray

from actors.catalogue.hashing import hash_texts, partition_count, split_rows
from actors.catalogue.partitions import find_catalogue, load_rows
from actors.catalogue.reconciling import Reconciled, Rules, reconcile
from actors.catalogue.rows import SCANNED
from actors.catalogue.scanning import scan_units
from actors.catalogue.sources import Sources, changed_files, load_sources, moved_places, sources_after
from actors.corpus.listing import SourceFile, list_files
from actors.corpus.planning import WorkUnit, group_for_reading, mapping_salt, plan_units
from actors.corpus.schema import Reject
from actors.reader import Reader
from actors.storage.commits import CommitRecord, DataFile
from actors.storage.manifests import Manifest
from actors.storage.verified import DamagedFile
from configs.errors import UserError
from pipelines.cataloguing import hash_version
from pipelines.changes import Changes
from pipelines.embed import corpus_reader
from pipelines.heritage import stuck_segments
from pipelines.job import Job
from pipelines.planning import count_files
from pipelines.safeguards import deletions_by_name

_SCANNED_AT_ONCE = 16  # units of one task


def same_input(job: Job, newest: Manifest) -> bool:
    """Whether the version was made from the files as they are now, and nothing is to be deleted by name."""
    config, known = job.config, _known_sources(job, newest.sources)
    files, upsert = list_files(config.corpus, config.s3, "corpus"), config.reindex.mode == "upsert"
    return config.reindex.deletions is None and sources_after(known, mapping_salt(config.corpus), files, upsert) == known


def _known_sources(job: Job, file: DataFile | None) -> Sources:
    """The files that a version was made from; none where they are lost, so that all are read: an upsert sees a part of them only."""
    try:
        return load_sources(job.store, file)
    except DamagedFile as error:
        if job.config.reindex.mode == "upsert":
            raise UserError(f"{error} First re-index the whole corpus: `raytrieve reindex CONFIG --mode snapshot`.") from error
        job.display.say(f"reindex: {error} Every file of the corpus is read instead.")
        return Sources("", ())


def find_changes(job: Job, newest: Manifest) -> Changes:
    """Compare the newest version with the files of the config. Whether that may be published is safeguards.py's to say."""
    config, catalogue = job.config, find_catalogue(job.store, newest)
    # Without its catalogue, a re-indexed version no longer knows which file owns an id: all files are read then.
    known = _known_sources(job, newest.sources if catalogue or newest.action == "index" else None)
    files, mapping = list_files(config.corpus, config.s3, "corpus"), mapping_salt(config.corpus)
    todo = changed_files(known, mapping, files)
    listing = sources_after(known, mapping, files, config.reindex.mode == "upsert")
    search = _Search(job, newest, catalogue, known, listing, deletions_by_name(config))
    while True:
        search.read(todo)
        changes, unread = search.compare()
        if not unread:
            _tell_unknown(job, changes)
            return changes
        todo = [file for file in files if file.uri in unread]


class _Search:
    """The comparison, over as many rounds of reading as it takes."""

    def __init__(
        self, job: Job, newest: Manifest, catalogue: CommitRecord | None, known: Sources, listing: Sources, named: list[str]
    ) -> None:
        self._job, self._newest, self._known, self._listing, self._named = job, newest, known, listing, named
        self._read: list[SourceFile] = []
        self._units: list[WorkUnit] = []
        self._scans: list[Any] = []
        self._rejects: list[Reject] = []
        self._rows_read = 0
        self._parts = 0
        self._old: list[Any] = []
        self._catalogue = catalogue
        # An upsert sees a part of the files only: it leaves these segments as they are.
        stuck = stuck_segments(job.store, newest) if job.config.reindex.mode == "snapshot" else []
        self._stuck = np.array(stuck, np.int32)

    def read(self, files: Sequence[SourceFile]) -> None:
        """Scan some files more."""
        config = self._job.config
        counted = count_files(files, config.corpus, config.s3, "corpus", config.unit_rows)
        if not self._parts:
            self._parts = partition_count(self._newest.rows + sum(file.rows for file in counted))
            self._old = self._partitions()
        units = plan_units(counted, config.unit_rows, mapping_salt(config.corpus))
        reader = corpus_reader(self._job)
        task = self._job.task(_scan, self._parts + 1)
        results, positions = [], ray.put(self._listing.positions())
        for first, some in scan_batches(units, len(self._units)):
            results.append(task.remote(reader, some, first, positions, self._parts))
        self._scans += [result[:-1] for result in results]
        for rows_read, rejects in ray.get([result[-1] for result in results]):
            self._rows_read += rows_read
            self._rejects += rejects
        self._read += files
        self._units += units

    def compare(self) -> tuple[Changes, set[str]]:
        """The changes over all that was read, and the URIs of unchanged files that have to be read too."""
        moved = moved_places(self._known, self._listing, {file.uri for file in self._read})
        config = self._job.config
        cut = config.corpus.chunking is not None
        rules = ray.put(Rules(np.array(moved, np.int32), config.reindex.mode == "upsert", hash_texts(self._named), self._stuck, cut))
        task = self._job.task(_compare, 2)
        pairs = [task.remote(rules, old, *(scan[part] for scan in self._scans)) for part, old in enumerate(self._old)]
        found = ray.get([pair[1] for pair in pairs])
        unread = {self._listing.files[place][0] for one in found for place in one.unread}
        rows = [pair[0] for pair in pairs]
        read = self._listing, self._read, self._units
        return Changes(self._newest, *read, rows, found, self._named, self._rows_read, self._rejects), unread

    def _partitions(self) -> list[Any]:
        """References to the ROW rows of the newest version: from its catalogue, or from its segments' passages."""
        store = self._job.store
        if self._catalogue is not None:
            load = self._job.task(load_rows)
            return [load.remote(store, self._catalogue, part, self._parts) for part in range(self._parts)]
        return hash_version(self._job, self._newest, self._known.positions(), self._parts)


def _tell_unknown(job: Job, changes: Changes) -> None:
    """Say how many of the ids to delete are not in the index: a list of other ids would else pass for success."""
    wanted, named = len(changes.named), changes.summary["named"]
    if named < wanted:
        job.display.say(f"reindex: {wanted - named:,} of the {wanted:,} ids in {job.config.reindex.deletions} are not in the index")


def scan_batches(units: Sequence[WorkUnit], first: int) -> list[tuple[int, list[WorkUnit]]]:
    """Units for one scanning task each, with the number of the first; units that are read in one pass stay together."""
    batches: list[tuple[int, list[WorkUnit]]] = []
    for group in group_for_reading(units):
        if not batches or len(batches[-1][1]) >= _SCANNED_AT_ONCE:
            batches.append((first, []))
        batches[-1][1].extend(group)
        first += len(group)
    return batches


def _scan(reader: Reader, units: Sequence[WorkUnit], first: int, positions: dict[str, int], parts: int) -> tuple[Any, ...]:
    scan = scan_units(reader, units, first, positions)
    return *split_rows(scan.rows, parts), (scan.rows_read, scan.rejects)


def _compare(rules: Rules, old: np.ndarray, *scanned: np.ndarray) -> tuple[np.ndarray, Reconciled]:
    found = reconcile(old, np.concatenate([np.zeros(0, SCANNED), *scanned]), rules)
    return found.rows, replace(found, rows=found.rows[:0])
