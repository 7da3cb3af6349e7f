"""Query units in, the rows whose id an earlier unit has already out: those become rejects, as they would within one unit.

The ids are read once more for it, where there is more than one unit; a ranking that holds one query twice could not be judged.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import ray

from actors.corpus.planning import WorkUnit, group_for_reading
from actors.corpus.reading import read_units
from configs.schema import InputConfig, S3Config
from pipelines.job import Job
from pipelines.planning import LeftOut


def repeated_queries(job: Job, spec: InputConfig, units: Sequence[WorkUnit]) -> LeftOut:
    """An id belongs to the first row that has it, in query order; the others are told by unit."""
    if len(units) < 2:
        return {}
    task = ray.remote(_read_ids).options(num_cpus=0.5, max_retries=job.config.ray.retries)
    read = partial(task.remote, spec, job.config.s3)
    table = pa.concat_tables(ray.get([read(group) for group in group_for_reading(units)])).combine_chunks()
    numbers = table["id"].chunk(0).dictionary_encode().indices.to_numpy() if table.num_rows else np.zeros(0, np.int32)
    _, firsts, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    found: dict[str, list[list[object]]] = {}
    for row in np.flatnonzero(firsts[inverse] != np.arange(len(numbers))):
        again, first = (table.slice(int(place), 1).to_pylist()[0] for place in (row, firsts[inverse[row]]))
        reason = f"duplicate id: first seen at {first['source']} row {first['row']}"
        found.setdefault(again["unit"], []).append([again["source"], again["row"], reason])
    return found


def _read_ids(spec: InputConfig, s3: S3Config, units: Sequence[WorkUnit]) -> pa.Table:
    """Unit, id, source and row of every sound row."""
    parts = []
    for unit, passages in read_units(units, spec, s3, "queries"):
        table = passages.table.select(["id", "source", "source_row"]).rename_columns(["id", "source", "row"])
        parts.append(table.append_column("unit", pa.array([unit.unit_id] * table.num_rows, pa.string())))
    return pa.concat_tables(parts)
