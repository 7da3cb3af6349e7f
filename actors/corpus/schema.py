"""What leaves the input layer: checked passages as one Arrow table, and the rows that were refused. Knows nothing of files."""

from dataclasses import dataclass

import pyarrow as pa

PASSAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.string()),
        pa.field("content_hash", pa.binary(16)),
        pa.field("source", pa.string()),
        pa.field("source_row", pa.int64()),
    ]
)
"""One passage a row: unique id; title + separator + text, stripped; metadata as canonical JSON ("{}" if none);
128-bit blake2b over (id, title, text); URI of the file; 0-based record number in that file."""

DOCUMENT_SCHEMA = PASSAGE_SCHEMA.append(pa.field("title", pa.string()))
"""One document a row, before it is cut into passages: as above, but `text` is the text alone and `title` stands beside it ("" if none)."""

CHUNK_SCHEMA = PASSAGE_SCHEMA.append(pa.field("document_id", pa.string()))
"""One passage of a document a row: id is `document#k`; `text` begins with the document's title; the hash is over (id, what stands before
the piece, piece)."""


def document_of(passage: str) -> str:
    """The document that a passage was cut from. What stands behind the last # is the passage's number, so the document's id may hold #."""
    return passage.rpartition("#")[0]


def number_of(passage: str) -> int:
    """Which of its document's passages it is, from 0."""
    return int(passage.rpartition("#")[2])


def document_ids(table: pa.Table) -> pa.ChunkedArray:
    """Ids of the records that a table's passages come from."""
    return table["document_id" if "document_id" in table.column_names else "id"]


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was refused, and why. Never holds the row's text."""

    source: str
    """URI of the file."""
    row: int
    """0-based record number in the file; the first one given up where a file breaks."""
    reason: str
    """A short phrase in the user's words."""
    id: str | None
    """The row's id where it has a valid one."""


@dataclass(frozen=True, slots=True)
class Passages:
    """The checked rows of one work unit: `rows_read` = records + rejects, not counting the reject of a broken file."""

    table: pa.Table
    """PASSAGE_SCHEMA, in the order of the unit's slices; DOCUMENT_SCHEMA or CHUNK_SCHEMA where documents are cut."""
    rejects: tuple[Reject, ...]
    """In the order of reading."""
    rows_read: int
    """Records read, blank lines left out."""
