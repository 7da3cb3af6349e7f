"""Unit descriptors in, checked passages (or queries) out: the first operator of every stage that reads input files.

In: a parcel whose header lists work units that are read in one pass. Out: one parcel a unit with table `passages`,
counts, and the rejects already stored under a name that the unit's commit record will vouch for.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa

from actors.corpus.planning import WorkUnit
from actors.corpus.reading import read_units
from actors.corpus.rejects import encode_rejects
from actors.corpus.schema import Passages, Reject
from actors.parcels import Parcel
from actors.storage.commits import put_data
from actors.storage.objects import Store, new_attempt
from configs.schema import InputConfig, S3Config


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a stage's results go: the store, the stage's folder in it, and the run that does the work."""

    store: Store
    folder: str
    run: str


class Reader:
    """Reads units of `spec`'s files. `only` keeps just these ids (judged queries); the others are not rejects."""

    def __init__(self, spec: InputConfig, s3: S3Config, role: str, place: Workplace, only: frozenset[str] | None = None) -> None:
        self._spec, self._s3, self._role, self._place, self._only = spec, s3, role, place, only

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Work on one parcel; the module says what comes in and what goes out."""
        header = Parcel.unpack(batch).header
        units = [WorkUnit.from_json(text) for text in header["units"]]
        # Input unit -> stage unit: the same queries make different rankings under another index.
        names = header.get("names", [unit.unit_id for unit in units])
        started = time.time()
        for name, (_, passages) in zip(names, read_units(units, self._spec, self._s3, role=self._role), strict=True):
            chosen = _without_poison(passages, header.get("poison", []))
            yield self._parcel(name, chosen, header.get("keep"), started).pack()
            started = time.time()

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


def _without_poison(passages: Passages, poison: list[list[object]]) -> Passages:
    """The unit without the rows found to kill their worker: those are rejects now."""
    table, rejects = passages.table, passages.rejects
    if poison:
        reasons = {(source, row): str(reason) for source, row, reason in poison}
        keys = list(zip(table["source"].to_pylist(), table["source_row"].to_pylist(), table["id"].to_pylist(), strict=True))
        rejects += tuple(Reject(source, row, reasons[source, row], name) for source, row, name in keys if (source, row) in reasons)
        table = table.filter(pa.array([(source, row) not in reasons for source, row, _ in keys], pa.bool_()))
    return Passages(table, rejects, passages.rows_read)
