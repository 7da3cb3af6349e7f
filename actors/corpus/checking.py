"""Records in, passages and rejects out: the checks of every row, the joined text, the metadata and the content hash."""

import json
import math
import re
import struct
from collections.abc import Mapping
from datetime import date, datetime, time
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from actors.corpus.records import Row, Unreadable
from actors.corpus.schema import DOCUMENT_SCHEMA, PASSAGE_SCHEMA, Passages, Reject

MAX_ID_BYTES = 512
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class _Refused(Exception):
    """A row fails a check; the argument is the reason."""


class UnitChecker:
    """Collects the rows of one work unit. The first row with an id wins; later ones are rejected.

    `apart` keeps titles beside the texts, for documents that have yet to be cut.
    """

    def __init__(self, title_separator: str, apart: bool = False) -> None:
        self._separator, self._apart = title_separator, apart
        self._schema = DOCUMENT_SCHEMA if apart else PASSAGE_SCHEMA
        self._columns: tuple[list[Any], ...] = tuple([] for _ in self._schema.names)
        self._rejects: list[Reject] = []
        self._first: dict[str, tuple[str, int]] = {}
        self._rows_read = 0

    def add(self, uri: str, row: Row) -> None:
        """Checks one record of the file `uri`."""
        self._rows_read += 1
        id_: str | None = None
        try:
            if row.problem:
                raise _Refused(row.problem)
            id_ = checked_id(row.id)
            title, text = _words("title", row.title), _words("text", row.text)
            if not title and not text:
                raise _Refused("empty text")
            joined = self._separator.join(part for part in (title, text) if part).strip()
            metadata = canonical_metadata(row.metadata or {})
            if id_ in self._first:
                source, number = self._first[id_]
                raise _Refused(f"duplicate id in this unit: first seen at {source} row {number}")
        except _Refused as refusal:
            self._rejects.append(Reject(uri, row.number, str(refusal), id_))
            return
        self._first[id_] = (uri, row.number)
        values = (id_, text if self._apart else joined, metadata, content_hash(id_, title, text), uri, row.number)
        for column, value in zip(self._columns, (*values, title) if self._apart else values, strict=True):
            column.append(value)

    def give_up(self, uri: str, row: int, reason: str) -> None:
        """One reject for the rows of a slice that cannot be read; they do not count as read."""
        self._rejects.append(Reject(uri, row, reason, None))

    def finish(self) -> Passages:
        """See the class."""
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, self._schema, strict=True)]
        return Passages(pa.Table.from_arrays(arrays, schema=self._schema), tuple(self._rejects), self._rows_read)


def content_hash(id_: str, title: str, text: str) -> bytes:
    """16 bytes of blake2b over the UTF-8 of the three, each after its length (8 bytes, little endian)."""
    digest = blake2b(digest_size=16)
    for part in (id_, title, text):
        data = part.encode()
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    return digest.digest()


def checked_id(value: Any) -> str:
    """The id as text; integers become decimal. Raises on every other type and on ids that no ranking file could carry."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        raise _Refused("no id")
    if not isinstance(value, str):
        raise _Refused(_misfit("id", value))
    if not value.strip():
        raise _Refused("no id")
    if len(_utf8(value)) > MAX_ID_BYTES:
        raise _Refused(f"id is longer than {MAX_ID_BYTES} bytes")
    if _CONTROL.search(value):
        raise _Refused("id holds a control character")
    return value


def canonical_metadata(values: Mapping[str, Any]) -> str:
    """Canonical JSON of the metadata columns: sorted keys, no blanks, JSON's own types; all else as text."""
    if not values:
        return "{}"
    try:
        encoded = json.dumps(_jsonable(dict(values)), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise _Refused("metadata is nested too deeply") from None
    _utf8(encoded)
    return encoded


def _words(name: str, value: Any) -> str:
    """A title or a text; empty if null or blank."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Refused(_misfit(name, value))
    _utf8(value)
    return value if value.strip() else ""


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _Refused("not UTF-8") from None


def _misfit(name: str, value: Any) -> str:
    if isinstance(value, Unreadable):
        return value.value
    kinds = ((bool, "true or false"), ((int, float), "a number"), (dict, "an object"), (list, "a list"))
    kind = next((words for types, words in kinds if isinstance(value, types)), "of another type")
    wanted = "text or an integer" if name == "id" else "text"
    return f"{name} is {kind}, not {wanted}"


def _jsonable(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Unreadable):
        raise _Refused(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    return str(value)
