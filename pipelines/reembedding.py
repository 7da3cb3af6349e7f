"""The passages that an index has to take in, their vectors out: embedded where their text is new, recalled where it is not.

A text is new when no committed unit under this fingerprint has embedded it, whatever its id and whoever embedded it. Units
are named by what they take in, so a run that was killed goes on with those it finds.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import ray

from actors.catalogue.reuse import find_known
from actors.corpus.planning import WorkUnit, group_for_reading
from actors.corpus.rejects import decode_rejects
from actors.corpus.schema import Reject
from actors.parcels import Parcel
from actors.reader import Reader
from actors.recaller import Recaller, Rejoiner
from actors.storage.commits import CommitRecord, committed_units, read_commits
from actors.storage.fingerprints import fingerprint
from actors.storage.objects import Store
from pipelines.changes import Changes
from pipelines.embed import Embedding, corpus_operators, corpus_reader, finish
from pipelines.isolation import KILLED
from pipelines.job import Job
from pipelines.operators import Operator
from pipelines.stream import Item, Stage

_LOOKED_UP_AT_ONCE = 256  # units of one task


@dataclass(frozen=True, slots=True)
class Intake:
    """The wanted passages of one work unit."""

    unit: WorkUnit
    rows: list[int]
    """Places among the unit's passages."""
    recall: list[str]
    """Committed units that embedded some of the texts."""
    fresh: list[int]
    """The rows whose text nobody embedded."""
    whole: bool = False
    """Whether the unit is wanted as it is, rejects and all."""

    @property
    def name(self) -> str:
        """The unit's name among the vectors."""
        return self.unit.unit_id if self.whole else fingerprint(["intake", self.unit.unit_id, self.rows])


@dataclass(frozen=True, slots=True)
class Taken:
    """Committed vectors of all wanted passages."""

    records: tuple[CommitRecord, ...]
    tokens: int
    """Tokens embedded now; those of units that were found committed do not count."""
    recalled: int
    """Passages that got a vector of before, likewise."""
    killers: tuple[Reject, ...]
    """Passages that killed the workers that embedded them, and were left out."""


def take_in(job: Job, embedding: Embedding, changes: Changes) -> Taken:
    """Commit vectors for all wanted passages."""
    found, records = committed_units(job.store, embedding.folder), list[CommitRecord]()
    for wanted in once_and_again(changes.wanted):
        intakes = list(plan_intake(job, embedding, changes.units, wanted))
        commit_intakes(job, embedding, intakes)
        records += read_commits(job.store, embedding.folder, [intake.name for intake in intakes])
    return Taken(tuple(records), *count_work(records, found), tuple(_killers(job.store, records)))


def count_work(records: Sequence[CommitRecord], before: Collection[str]) -> tuple[int, int]:
    """Tokens embedded and passages that got a vector of before, without the units that were committed `before`."""
    made = [record for record in records if record.unit not in before]
    return int(sum(record.counts.get("tokens", 0) for record in made)), int(sum(record.counts.get("recalled", 0) for record in made))


def _killers(store: Store, records: Sequence[CommitRecord]) -> Iterator[Reject]:
    for record in records:
        if KILLED in record.details["reasons"]:  # the unit's other rejects were found when it was compared
            yield from (reject for reject in decode_rejects(store.get(record.files["rejects"].key)) if reject.reason.startswith(KILLED))


def once_and_again(wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """WANTED rows parted: the first with each text, and those that come after it and find it embedded."""
    _, first = np.unique(wanted["embedding"], return_index=True)
    again = np.ones(len(wanted), bool)
    again[first] = False
    return wanted[~again], wanted[again]


def plan_intake(job: Job, embedding: Embedding, units: Sequence[WorkUnit], wanted: np.ndarray) -> Iterator[Intake]:
    """What each unit has to give, in the order of the units; `wanted` is WANTED, ordered by unit and row."""
    hashes, text = np.unique(wanted["embedding"], return_inverse=True)
    names, holders = _known_texts(job, embedding, hashes)
    numbers, starts = np.unique(wanted["unit"], return_index=True)
    parts = zip(numbers, np.split(wanted["row"], starts)[1:], np.split(holders[text], starts)[1:], strict=True)
    for number, rows, held in parts:
        recall = [names[holder] for holder in np.unique(held[held >= 0])]
        yield Intake(units[number], rows.tolist(), recall, rows[held < 0].tolist())


def count_tokens(job: Job, embedding: Embedding, intakes: Sequence[Intake]) -> int:
    """Tokens that would be embedded. Reads the files again and writes nothing."""
    reader = corpus_reader(job)
    tokenize = corpus_operators(job, job.place(embedding.folder))[1]
    fresh = {intake.unit.unit_id: intake.fresh for intake in intakes if intake.fresh}
    task = job.task(_count_tokens)
    groups = group_for_reading([intake.unit for intake in intakes if intake.fresh])
    return sum(ray.get([task.remote(reader, tokenize, group, [fresh[unit.unit_id] for unit in group]) for group in groups]))


def _count_tokens(reader: Reader, tokenize: Operator, units: Sequence[WorkUnit], rows: Sequence[list[int]]) -> int:
    tokenizer, tokens = tokenize.build(), 0
    for (_, passages), chosen in zip(reader.read(units), rows, strict=True):
        parcel = Parcel({"counts": {}}, {"passages": passages.table.take(chosen)})
        column = Parcel.unpack(tokenizer(parcel.pack())).tables["passages"]["input_ids"]
        tokens += sum(len(chunk.flatten()) for chunk in column.chunks)
    return tokens


def _known_texts(job: Job, embedding: Embedding, hashes: np.ndarray) -> tuple[list[str], np.ndarray]:
    """All committed units, and for each text (sorted hashes) the number of one that embedded it, -1 for none."""
    names, found = sorted(committed_units(job.store, embedding.folder)), np.full(len(hashes), -1, np.int32)
    if not len(hashes):
        return names, found
    task, wanted = job.task(find_known), ray.put(hashes)
    starts = range(0, len(names), _LOOKED_UP_AT_ONCE)
    parts = [task.remote(job.store, embedding.folder, names[at : at + _LOOKED_UP_AT_ONCE], at, wanted) for at in starts]
    while parts:  # one at a time: of a whole corpus they are as long as it is
        found = np.where(found < 0, ray.get(parts.pop(0)), found)
    return names, found


def commit_intakes(job: Job, embedding: Embedding, intakes: Sequence[Intake], stages: tuple[str, str] = ("embed", "recall")) -> None:
    """Embed and recall, and commit. Where nothing is new, no model is loaded.

    `stages`: what people are shown of those units that have something new, and of those that have not.
    """
    place = job.place(embedding.folder)
    read, tokenize, embed, write = corpus_operators(job, place)
    recall, rejoin = Operator(Recaller, {"place": place}, cpus=0.35, tasks=write.tasks), Operator(Rejoiner, {}, cpus=0.2, tasks=write.tasks)
    by_unit = {intake.unit.unit_id: intake for intake in intakes}
    groups = [[by_unit[unit.unit_id] for unit in group] for group in group_for_reading([intake.unit for intake in intakes])]
    for name, needs, operators in (
        (stages[0], True, [read, recall, tokenize, embed, rejoin, write]),
        (stages[1], False, [read, recall, rejoin, write]),
    ):
        items = [_item(group) for group in groups if any(intake.fresh for intake in group) == needs]
        if items:
            finish(job, Stage(name, operators, place), items)


def _item(group: Sequence[Intake]) -> Item:
    """Units that are read in one pass."""
    names = [intake.name for intake in group]
    wanted = {intake.name: {"rows": None if intake.whole else intake.rows, "recall": intake.recall} for intake in group}
    return Item(tuple(names), Parcel({"units": [intake.unit.to_json() for intake in group], "names": names, "wanted": wanted}))
