"""A unit that kills its worker in, the same unit committed without its poison rows out.

The unit runs alone in a task of its own. If that dies too, halves of it are tried without committing until single
rows are found; those become rejects with the reason, and the rest of the unit is committed.
"""

import logging
from typing import Any

import pyarrow as pa
import ray
import ray.exceptions

from actors.parcels import Parcel
from configs.errors import UserError
from pipelines.operators import Operator, run_chain

logger = logging.getLogger(__name__)
KILLED = "killed its worker"
"""The reason of such a reject."""
_MOST = 16  # poison rows of one unit; more than that is a broken model or machine, not a broken row
_DEATH = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError)


def finish_alone(operators: list[Operator], parcel: Parcel, stage: str) -> dict[str, Any]:
    """Finish one unit in isolation; returns its receipt. Raises UserError when it cannot be finished even so."""
    poison: list[list[object]] = []
    while True:
        attempt = Parcel({**parcel.header, "poison": poison}, parcel.tables)
        made = _alone(operators, attempt)
        if made is not None:
            return Parcel.unpack(made[0]).header
        found = _find_poison(operators, attempt)
        if found is None or len(poison) >= _MOST:
            raise UserError(
                f"Stage {stage}: a unit kills its worker whatever rows are left out ({len(poison)} rows rejected so far). "
                "Check the memory of the nodes and the model (`raytrieve doctor`)."
            )
        logger.warning("%s row %s kills the worker of stage %s; it goes to the rejects.", found[0], found[1], stage)
        poison.append([*found, f"{KILLED}: the process died on this row, also when it was tried alone"])


def _find_poison(operators: list[Operator], parcel: Parcel) -> list[object] | None:
    """(source, row) of one row on which the chain dies, by halving; none when no part of the unit can be blamed."""
    reader = operators[:1]
    rows = _alone(reader, parcel)
    if rows is None:
        return None
    table = Parcel.unpack(rows[0]).tables["passages"]
    low, high = 0, table.num_rows
    working = operators[:-1]  # all but the commit
    while high - low > 1:
        middle = (low + high) // 2
        if _alone(working, Parcel({**parcel.header, "keep": [low, middle]}, parcel.tables)) is None:
            high = middle
        else:
            low = middle
    if high == low or _alone(working, Parcel({**parcel.header, "keep": [low, high]}, parcel.tables)) is not None:
        return None
    return [table["source"][low].as_py(), table["source_row"][low].as_py()]


def _alone(operators: list[Operator], parcel: Parcel) -> list[pa.Table] | None:
    """The chain's output from one task without retries, or none when its process died."""
    needs = {"num_cpus": max(o.cpus for o in operators), "num_gpus": max(o.gpus for o in operators)}
    task = ray.remote(run_chain).options(max_retries=0, **needs)
    try:
        return ray.get(task.remote(operators, parcel.pack()))
    except _DEATH:
        return None
