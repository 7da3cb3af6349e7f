"""Unit descriptors in, checked passages (or queries) out: the first operator of every stage that reads input files.

In: a parcel whose header lists work units that are read in one pass. Out: one parcel a unit with table `passages`,
counts, and the rejects already stored under a name that the unit's commit record will vouch for.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from actors.catalogue.sources import sources_of
from actors.chunker import Chunker
from actors.corpus.planning import WorkUnit
from actors.corpus.reading import read_units
from actors.corpus.rejects import encode_rejects
from actors.corpus.schema import Passages, Reject, document_ids
from actors.parcels import Parcel
from actors.storage.commits import CommitRecord, put_data
from actors.storage.objects import Store, new_attempt
from configs.schema import InputConfig, S3Config

Count = Callable[[str, float], None]
"""Takes the name of a count and what to add to it."""


def no_count(name: str, amount: float) -> None:
    """The counter of whoever wants none."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a stage's results go: the store, the stage's folder in it, and the run that does the work. `count` is told what was done."""

    store: Store
    folder: str
    run: str
    count: Count = no_count

    def tally(self, winner: CommitRecord, attempt: str) -> bool:
        """Whether the commit that counts is this attempt's; only then its work is counted, so no unit is counted twice."""
        ours = winner.attempt == attempt
        for name, amount in winner.counts.items() if ours else ():
            self.count(name, amount)
        return ours


class Reader:
    """Reads units of `spec`'s files. `only` keeps just these ids (judged queries); the others are not rejects. `chunker` cuts documents."""

    def __init__(
        self,
        spec: InputConfig,
        s3: S3Config,
        role: str,
        place: Workplace,
        only: frozenset[str] | None = None,
        chunker: Chunker | None = None,
    ) -> None:
        self._spec, self._s3, self._role, self._place, self._only, self._chunker = spec, s3, role, place, only, chunker

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        units = [WorkUnit.from_json(text) for text in header["units"]]
        # Input unit -> stage unit: the same queries make different rankings under another index.
        names = header.get("names", [unit.unit_id for unit in units])
        started = time.time()
        for name, (unit, passages) in zip(names, self.read(units), strict=True):
            wanted = header.get("wanted", {}).get(name, {})
            unwanted = [*header.get("poison", []), *header.get("left_out", {}).get(name, [])]
            chosen = _without_poison(_of_rows(passages, wanted.get("rows")), unwanted)
            parcel = self._parcel(name, chosen, header.get("keep"), started)
            yield parcel.replace({"sources": [list(source) for source in sources_of([unit])], "recall": wanted.get("recall", [])}).pack()
            started = time.time()

    def read(self, units: Sequence[WorkUnit]) -> Iterator[tuple[WorkUnit, Passages]]:
        """Each unit with its checked passages. Stores nothing."""
        read = read_units(units, self._spec, self._s3, self._role, apart=self._chunker is not None)
        return read if self._chunker is None else ((unit, self._chunker(documents)) for unit, documents in read)

    def _parcel(self, unit: str, passages: Passages, keep: list[int] | None, started: float) -> Parcel:
        table, attempt = passages.table, new_attempt()
        if self._only is not None:
            table = table.filter(pa.array([i in self._only for i in table["id"].to_pylist()], pa.bool_()))
        if keep is not None:  # part of a unit, while the driver looks for the row that kills its worker
            table = table.slice(keep[0], keep[1] - keep[0])
        files = {}
        if passages.rejects:
            files["rejects"] = asdict(
                put_data(self._place.store, self._place.folder, f"{unit}-{attempt}.rejects.jsonl", encode_rejects(passages.rejects))
            )
        counts = {
            "rows_read": passages.rows_read,
            "rows": table.num_rows,
            "rejected": len(passages.rejects),
            "read_seconds": time.time() - started,
        }
        reasons = Counter(reject.reason.partition(":")[0] for reject in passages.rejects)
        header = {"unit": unit, "attempt": attempt, "started": started, "counts": counts, "reasons": dict(reasons), "files": files}
        return Parcel(header, {"passages": table})


def _of_rows(passages: Passages, rows: list[int] | None) -> Passages:
    """The unit with only those of its passages (by their place in it) that a re-index wants; all without a wish."""
    return passages if rows is None else Passages(passages.table.take(pa.array(rows, pa.int64())), passages.rejects, passages.rows_read)


def _without_poison(passages: Passages, poison: list[list[object]]) -> Passages:
    """The unit without the rows found to kill their worker, or to repeat an id: those are rejects now."""
    table, rejects = passages.table, passages.rejects
    if poison:
        reasons = {(source, row): str(reason) for source, row, reason in poison}
        keys = list(zip(table["source"].to_pylist(), table["source_row"].to_pylist(), document_ids(table).to_pylist(), strict=True))
        found = dict.fromkeys(key for key in keys if key[:2] in reasons)  # each document once, whatever its passages
        rejects += tuple(Reject(source, row, reasons[source, row], name) for source, row, name in found)
        table = table.filter(pa.array([(source, row) not in reasons for source, row, _ in keys], pa.bool_()))
    return Passages(table, rejects, passages.rows_read)
