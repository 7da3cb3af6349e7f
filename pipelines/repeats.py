"""Query units in, the rows whose id an earlier unit has already out: those become rejects, as they would within one unit.

The ids are read once more for it, where there is more than one unit, and what is found is kept in the store: a ranking that holds
one query twice could not be judged.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import ray

from actors.corpus.planning import WorkUnit, group_for_reading
from actors.corpus.reading import read_units
from actors.storage.access import explained
from actors.storage.fingerprints import fingerprint
from configs.schema import InputConfig, S3Config
from pipelines.job import Job
from pipelines.planning import LeftOut

_GROUPS = 64  # read by one task


def repeated_queries(job: Job, spec: InputConfig, units: Sequence[WorkUnit]) -> LeftOut:
    """An id belongs to the first row that has it, in query order; the others are told by unit."""
    if len(units) < 2:
        return {}
    key = f"plans/{fingerprint(['repeats', [unit.unit_id for unit in units]])}.json"
    try:
        return json.loads(job.store.get(key))
    except FileNotFoundError:
        found = _find_repeats(job, spec, units)
    job.store.put(key, json.dumps(found).encode())
    return found


def _find_repeats(job: Job, spec: InputConfig, units: Sequence[WorkUnit]) -> LeftOut:
    task = job.task(_read_ids)
    groups = group_for_reading(units)
    parts = [task.remote(spec, job.config.s3, groups[i : i + _GROUPS]) for i in range(0, len(groups), _GROUPS)]
    table = pa.concat_tables(ray.get(parts)).unify_dictionaries()
    # All chunks share one dictionary now, so equal ids have equal numbers.
    numbers = np.concatenate([np.zeros(0, np.int32), *(chunk.indices.to_numpy() for chunk in table["id"].chunks)])
    _, firsts, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    found: dict[str, list[list[object]]] = {}
    for row in np.flatnonzero(firsts[inverse] != np.arange(len(numbers))):
        again, first = (table.slice(int(place), 1).to_pylist()[0] for place in (row, firsts[inverse[row]]))
        reason = f"duplicate id: first seen at {first['source']} row {first['row']}"
        found.setdefault(again["unit"], []).append([again["source"], again["row"], reason])
    return found


def _read_ids(spec: InputConfig, s3: S3Config, groups: Sequence[Sequence[WorkUnit]]) -> pa.Table:
    """Id, source, row and unit of every sound row; all but the row as dictionaries."""
    parts = []
    with explained(", ".join(spec.path)):
        for unit, passages in (pair for group in groups for pair in read_units(group, spec, s3, "queries")):
            table = passages.table
            columns = {"id": table["id"], "source": table["source"], "unit": pa.array([unit.unit_id] * table.num_rows, pa.string())}
            encoded = {name: column.dictionary_encode() for name, column in columns.items()}
            parts.append(pa.table({**encoded, "row": table["source_row"]}))
    return pa.concat_tables(parts)
