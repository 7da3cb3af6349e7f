"""A version's segment entries in, opened and verified segments and passages out, on whatever node asks."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.index.kinds import IndexPlan
from actors.index.passages import PassageFile
from actors.index.segment import Segment
from actors.indexer import PASSAGES, TOKENS
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store
from actors.storage.verified import read_verified


def open_segment(store: Store, entry: SegmentEntry, plan: IndexPlan, ordinal: int, use_gpu: bool = False) -> Segment:
    """A segment ready to search, whose hits bear `ordinal`. Raises DamagedFile when a file is not what the version names."""
    return Segment.open(_linked_folder(store, entry), plan, ordinal, use_gpu=use_gpu)


def _linked_folder(store: Store, entry: SegmentEntry) -> Path:
    """A folder where the segment's verified files bear their plain names."""
    files = {name: read_verified(store, file) for name, file in entry.files.items() if name != TOKENS}
    identity = hashlib.sha256(repr(sorted((n, str(p)) for n, p in files.items())).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"raytrieve-{os.getuid()}", "segments", f"{entry.segment}-{identity}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, path in files.items():
        if not (folder / name).is_symlink():
            try:
                os.symlink(path, folder / name)
            except FileExistsError:  # another worker of this node was first, with the same target
                continue
    return folder


class PassageSource:
    """Passages of a version by (segment, row), memory-mapped. Crosses processes closed and opens files as they are asked for."""

    def __init__(self, store: Store, segments: Sequence[SegmentEntry]) -> None:
        self._store, self._segments = store, tuple(segments)
        self._open: dict[tuple[int, str], PassageFile] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return PassageSource, (self._store, self._segments)

    @property
    def has_token_vectors(self) -> bool:
        """Whether every segment keeps its token vectors."""
        return all(TOKENS in entry.files for entry in self._segments)

    def take(self, segments: Sequence[int], rows: Sequence[int], columns: list[str]) -> pa.Table:
        """The given rows in the order asked, from whatever segments (ordinals in the version)."""
        by_segment: dict[int, list[int]] = {}
        for position, segment in enumerate(segments):
            by_segment.setdefault(segment, []).append(position)
        parts, order = [], []
        for segment, positions in sorted(by_segment.items()):
            parts.append(self._file(segment, PASSAGES).take(np.array([rows[p] for p in positions], np.int64), columns))
            order.extend(positions)
        back = [0] * len(order)
        for here, position in enumerate(order):
            back[position] = here
        return pa.concat_tables(parts).take(pa.array(back, pa.int64())) if len(parts) > 1 else parts[0]

    def token_vectors(self, segments: Sequence[int], rows: Sequence[int], dimension: int) -> list[np.ndarray]:
        """Stored token vectors float16 [tokens, dimension] of each row, as views of the memory-mapped files."""
        out: list[np.ndarray] = [np.zeros((0, dimension), np.float16)] * len(rows)
        numbers, wanted = np.asarray(segments), np.asarray(rows)
        for segment in np.unique(numbers):
            positions = np.flatnonzero(numbers == segment)
            cells = self._file(int(segment), TOKENS).cells(wanted[positions], "token_vectors")
            for position, cell in zip(positions, cells, strict=True):
                out[position] = np.frombuffer(cell, np.float16).reshape(-1, dimension)
        return out

    def known(self, segment: int, ids: set[str]) -> set[str]:
        """Those of the ids that a segment holds."""
        wanted = pa.array(sorted(ids), pa.string())
        found: set[str] = set()
        for column in self._file(segment, PASSAGES).column("id"):
            found.update(column.filter(pc.is_in(column, value_set=wanted)).to_pylist())
        return found

    def _file(self, segment: int, name: str) -> PassageFile:
        if (segment, name) not in self._open:
            self._open[segment, name] = PassageFile(read_verified(self._store, self._segments[segment].files[name]))
        return self._open[segment, name]
