"""Input specification in, work units out: lists the files, counts their rows once, and cuts them into units.

The counts are kept in the store under the identity of the listing, so a second start lists but does not count.
"""

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import ray
import zstandard

from actors.corpus.listing import SourceFile, list_files
from actors.corpus.planning import FileRows, WorkUnit, count_all, group_for_reading, mapping_salt, plan_units
from actors.parcels import Parcel
from actors.storage.fingerprints import fingerprint
from actors.storage.objects import Store
from configs.errors import UserError
from configs.schema import InputConfig, S3Config
from pipelines.stream import Item

LeftOut = Mapping[str, Sequence[Sequence[object]]]
"""By unit id, rows that are rejects: (source, row in it, reason)."""
logger = logging.getLogger(__name__)
# What one task counts: so many files, since each task opens a connection to S3 anew, but fewer where they are large.
_SMALL_FILES, _FOOTERS, _BYTES = 256, 64, 256 << 20


def plan_input(spec: InputConfig, s3: S3Config, role: str, unit_rows: int, store: Store) -> list[WorkUnit]:
    """The units of the corpus or of the queries, in file order. Raises UserError when there is nothing to read."""
    files = list_files(spec, s3, "corpus" if role == "corpus" else "queries")
    key = f"plans/{fingerprint([[[f.uri, f.etag, f.size] for f in files], unit_rows, spec.broken_files])}.json.zst"
    counted = _load(store, key, files)
    if counted is None:
        counted = count_files(files, spec, s3, role, unit_rows)
        store.put(key, zstandard.compress(json.dumps([dataclasses.asdict(f) for f in counted]).encode()))
    units = plan_units(counted, unit_rows, mapping_salt(spec))
    if not units:
        names = ", ".join(spec.path)
        raise UserError(f"There are no rows in {names}: set {role}.path to files with at least one record.")
    return units


def read_items(units: Sequence[WorkUnit], rename: str = "", left_out: LeftOut | None = None) -> list[Item]:
    """Units as the parcels a Reader starts from. With `rename`, stage units get names of their own under that identity."""
    items = []
    for group in group_for_reading(units):
        names = unit_names(group, rename, left_out)
        repeats = {name: left_out[unit.unit_id] for name, unit in zip(names, group, strict=True) if left_out and unit.unit_id in left_out}
        items.append(Item(tuple(names), Parcel({"units": [unit.to_json() for unit in group], "names": names, "left_out": repeats})))
    return items


def unit_names(units: Sequence[WorkUnit], rename: str, left_out: LeftOut | None = None) -> list[str]:
    """The names of units in a stage: their own, or, under the identity `rename`, of them and of the rows that are left out."""
    if not rename:
        return [unit.unit_id for unit in units]
    return [fingerprint([rename, unit.unit_id, *(left_out or {}).get(unit.unit_id, ())]) for unit in units]


@dataclass(frozen=True, slots=True)
class _Counting:
    s3: S3Config
    stride: int
    broken_files: Literal["stop", "reject"]
    role: str

    def __call__(self, files: Sequence[SourceFile]) -> list[FileRows]:
        return count_all(files, self.s3, self.stride, self.broken_files, self.role)


def count_files(files: Sequence[SourceFile], spec: InputConfig, s3: S3Config, role: str, unit_rows: int) -> list[FileRows]:
    """How many rows each file has: read from its footer, or by going through it once."""
    counting = _Counting(s3, unit_rows, spec.broken_files, role)
    chunks = list(_chunks(files))
    if len(chunks) <= 1:
        return counting(files)
    logger.info("Counting the rows of %d files.", len(files))
    task = ray.remote(_count_chunk).options(num_cpus=0.5, max_retries=2)
    return [rows for part in ray.get([task.remote(counting, chunk) for chunk in chunks]) for rows in part]


def _chunks(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    chunk, load = list[SourceFile](), 0.0
    for file in files:
        share = 1 / _FOOTERS if file.format == "parquet" else max(1 / _SMALL_FILES, file.size / _BYTES)
        if chunk and load + share > 1:
            yield chunk
            chunk, load = [], 0.0
        chunk.append(file)
        load += share
    if chunk:
        yield chunk


def _count_chunk(counting: _Counting, files: Sequence[SourceFile]) -> list[FileRows]:
    return counting(files)


def _load(store: Store, key: str, files: Sequence[SourceFile]) -> list[FileRows] | None:
    try:
        plain = json.loads(zstandard.decompress(store.get(key)))
    except FileNotFoundError:
        return None
    if [SourceFile(**f["file"]) for f in plain] != files:
        return None  # counted in another format, or not by us: a plan says how many rows the listed files have, never what to read
    tuples = ("offsets", "row_groups")
    return [FileRows(**{**f, "file": file, **{name: tuple(f[name]) for name in tuples}}) for f, file in zip(plain, files, strict=True)]
