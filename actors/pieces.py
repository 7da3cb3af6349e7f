"""Parts of committed data files in, their rows out: how segments and training samples read vectors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.index.inverted import TermRows
from actors.storage.commits import DataFile
from actors.storage.objects import Store
from actors.storage.verified import read_verified

SPARSE_COLUMNS = ("sparse_ids", "sparse_weights")
"""list<int32> and list<float32>: lexical weights, beside the vectors of an encoder that has them."""

_BATCH = 1024  # rows in memory at once


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows start:stop of a data file, counted without the dropped ones."""

    file: DataFile
    drop: tuple[int, ...]
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Rows of the piece."""
        return self.stop - self.start

    def plain(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @staticmethod
    def parse(plain: dict[str, Any]) -> "Piece":
        """A piece from its JSON values."""
        return Piece(DataFile(**plain["file"]), tuple(plain["drop"]), plain["start"], plain["stop"])


def cut_pieces(files: Sequence[tuple[DataFile, int, tuple[int, ...]]], segment_rows: int) -> list[list[Piece]]:
    """Segments of at most `segment_rows` rows over (data file, rows, dropped rows), in order."""
    return regroup([Piece(file, drop, 0, rows - len(drop)) for file, rows, drop in files], segment_rows)


def regroup(pieces: Iterable[Piece], segment_rows: int) -> list[list[Piece]]:
    """Segments of at most `segment_rows` rows over whatever pieces, in order."""
    segments: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        start = piece.start
        while start < piece.stop:
            if room == 0:
                segments.append([])
                room = segment_rows
            stop = min(piece.stop, start + room)
            segments[-1].append(replace(piece, start=start, stop=stop))
            room -= stop - start
            start = stop
    return segments


def without_rows(pieces: Iterable[Piece], deleted: np.ndarray) -> list[Piece]:
    """The pieces of a segment without some of its rows (int64, ascending, counted over all pieces)."""
    left, offset = [], 0
    for piece in pieces:
        first, last = np.searchsorted(deleted, [offset, offset + piece.rows])
        offset += piece.rows
        kept = np.setdiff1d(np.arange(piece.stop + len(piece.drop)), np.array(piece.drop, np.int64))  # file rows up to the piece's end
        gone = kept[piece.start + deleted[first:last] - (offset - piece.rows)]
        drop = tuple(np.union1d(np.array(piece.drop, np.int64), gone).tolist())
        left.append(replace(piece, drop=drop, stop=piece.stop - len(gone)))
    return [piece for piece in left if piece.rows]


def read_piece(store: Store, piece: Piece, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The piece's rows in order, in batches of bounded size. The file is verified first."""
    file = pq.ParquetFile(read_verified(store, piece.file))
    kept = np.setdiff1d(np.arange(file.metadata.num_rows), np.array(piece.drop, np.int64))[piece.start : piece.stop]
    offset = 0
    for batch in file.iter_batches(_BATCH, columns=list(columns) if columns is not None else None, use_threads=False):
        inside = kept[(kept >= offset) & (kept < offset + batch.num_rows)] - offset
        if len(inside):
            table = pa.Table.from_batches([batch])
            yield table if len(inside) == batch.num_rows else table.take(pa.array(inside))
        offset += batch.num_rows


def vectors_of(table: pa.Table) -> np.ndarray:
    """The `vector` column as an array [rows, d] of its own dtype, without a copy where it is one chunk."""
    column = table["vector"].combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def sparse_of(table: pa.Table) -> TermRows:
    """The lexical weights of a table that has them."""
    return TermRows.from_lists(*(table[name] for name in SPARSE_COLUMNS))
