"""The tables of a catalogue as numpy rows: what the index holds (`ROW`) and what the input files hold now (`SCANNED`).

A row is a claim: this file has a passage of this id, with these hashes. Of the files that claim an id, one owns it, and that
row says where in the index the passage is. The other claims are shadows: they matter only when the owner goes.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa

from actors.catalogue.hashing import HASH, hash_passages_of, hash_texts, hashes_of
from actors.corpus.schema import number_of
from actors.index.passages import PassageFile
from actors.index.writing import PASSAGES_FILE
from actors.pieces import Piece, read_piece
from actors.storage.manifests import SegmentEntry
from actors.storage.objects import Store
from actors.storage.verified import read_verified

NOWHERE, SHADOW, PENDING = -1, -1, -2
"""For `file`: in no file of the version. For `segment`: not in the index; to be in a segment that is not built yet."""

_HASHES = [("id", HASH), ("content", HASH), ("embedding", HASH), ("metadata", HASH)]
ROW = np.dtype([*_HASHES, ("file", "<i4"), ("segment", "<i4"), ("row", "<i4")])
"""`content` is the hash over (id, title, text), `embedding` that of the text as it is embedded. `file` is a place among the
version's sources, `segment` one among its segments, `row` a row of that segment."""

SCANNED = np.dtype([*_HASHES, ("file", "<i4"), ("unit", "<i4"), ("row", "<i4")])
"""`unit` is the work unit that reads the passage, `row` its place among that unit's passages."""

LOCATED = np.dtype([("id", HASH), ("segment", "<i4"), ("row", "<i4")])
"""Where in the index an id is."""

_DOCUMENT = "document_id"  # a column of passages that documents were cut into


def hash_ids(table: pa.Table) -> np.ndarray:
    """The hashes of passages' ids (column id, and document_id where documents were cut), S16 [n]."""
    if _DOCUMENT not in table.column_names:
        return hash_texts(table["id"].to_pylist())
    return hash_passages_of(table[_DOCUMENT].to_pylist(), [number_of(name) for name in table["id"].to_pylist()])


def hash_passages(table: pa.Table, dtype: np.dtype) -> np.ndarray:
    """Rows of `dtype` with the hashes of passages (columns id, text, metadata, content_hash); the other fields are 0."""
    rows = np.zeros(table.num_rows, dtype)
    rows["id"] = hash_ids(table)
    for field, column in (("embedding", "text"), ("metadata", "metadata")):
        rows[field] = hash_texts(table[column].to_pylist())
    rows["content"] = hashes_of(table["content_hash"])
    return rows


def file_places(column: pa.ChunkedArray, positions: Mapping[str, int]) -> np.ndarray:
    """The place among the sources of each row's file, NOWHERE for files that are not among them."""
    encoded = column.combine_chunks().dictionary_encode()
    places = np.array([positions.get(uri, NOWHERE) for uri in encoded.dictionary.to_pylist()], np.int32)
    return places[encoded.indices.to_numpy(zero_copy_only=False)] if len(encoded) else places


def segment_rows(
    store: Store, origin: SegmentEntry | Sequence[Piece], number: int, deleted: np.ndarray, positions: Mapping[str, int]
) -> np.ndarray:
    """The catalogue rows of a segment's live passages, from the passages themselves: the segment's, or the pieces it was built from."""
    parts, start = [np.zeros(0, ROW)], 0
    for table in _passages(store, origin, ["id", "text", "metadata", "content_hash", "source"]):
        rows = hash_passages(table, ROW)
        rows["file"], rows["segment"], rows["row"] = file_places(table["source"], positions), number, start + np.arange(len(rows))
        parts.append(rows)
        start += len(rows)
    rows = np.concatenate(parts)
    return rows[~np.isin(rows["row"], deleted)]


def locate_ids(store: Store, entry: SegmentEntry, number: int) -> np.ndarray:
    """LOCATED rows of all passages of a segment, deleted ones included."""
    ids = np.concatenate([hash_ids(table) for table in _passages(store, entry, ["id"])])
    rows = np.zeros(len(ids), LOCATED)
    rows["id"], rows["segment"], rows["row"] = ids, number, np.arange(len(ids))
    return rows


def _passages(store: Store, origin: SegmentEntry | Sequence[Piece], names: list[str]) -> Iterable[pa.Table]:
    if not isinstance(origin, SegmentEntry):
        return chain.from_iterable(read_piece(store, piece, [*names, _DOCUMENT]) for piece in origin)
    file = PassageFile(read_verified(store, origin.files[PASSAGES_FILE]))
    names = [*names, *(name for name in file.schema.names if name == _DOCUMENT)]
    columns = [list(file.column(name)) for name in names]
    return [pa.table(dict(zip(names, batch, strict=True))) for batch in zip(*columns, strict=True)]
