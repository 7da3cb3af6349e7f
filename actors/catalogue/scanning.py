"""Work units of changed files in, the hashes of their passages out. Reads the input once; keeps no text, stores nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from actors.catalogue.hashing import hash_passages_of, hash_texts
from actors.catalogue.rows import NOWHERE, SCANNED, file_places, hash_passages
from actors.corpus.planning import WorkUnit
from actors.corpus.schema import Passages, Reject
from actors.reader import Reader

REPEATED = np.iinfo(np.int32).max
"""`row` of a claim whose passage was refused because its id came before in the unit."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a few units hold."""

    rows: np.ndarray
    """SCANNED."""
    rows_read: int
    rejects: tuple[Reject, ...]


def scan_units(reader: Reader, units: Sequence[WorkUnit], first: int, positions: Mapping[str, int]) -> Scan:
    """Read units, the first of which has the number `first` in the plan. `positions`: place of each file among the sources."""
    parts, rejects, rows_read = [np.zeros(0, SCANNED)], list[Reject](), 0
    for number, (_, passages) in enumerate(reader.read(units), first):
        rows = hash_passages(passages.table, SCANNED)
        rows["file"], rows["unit"], rows["row"] = file_places(passages.table["source"], positions), number, np.arange(len(rows))
        parts += [rows, _repeated(passages, number, positions)]
        rejects += passages.rejects
        rows_read += passages.rows_read
    return Scan(np.concatenate(parts), rows_read, tuple(rejects))


def _repeated(passages: Passages, number: int, positions: Mapping[str, int]) -> np.ndarray:
    """The claims of rows that were refused because their id came before in the unit: another file may own that id tomorrow."""
    again = [reject for reject in passages.rejects if reject.id is not None and reject.reason.startswith("duplicate id")]
    rows, names = np.zeros(len(again), SCANNED), [str(reject.id) for reject in again]
    cut = "document_id" in passages.table.column_names  # a document that was refused claims its first passage
    rows["id"] = hash_passages_of(names, [0] * len(names)) if cut else hash_texts(names)
    rows["file"] = [positions.get(reject.source, NOWHERE) for reject in again]
    rows["unit"], rows["row"] = number, REPEATED
    return rows
