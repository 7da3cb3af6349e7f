"""JSON Lines in, records out. A row is a physical line: blank lines are skipped in silence but keep their number."""

import json
from collections.abc import Iterator
from typing import Any

from actors.corpus.listing import SourceFile
from actors.corpus.mapping import ColumnMapping
from actors.corpus.records import BrokenFile, Row
from actors.corpus.streams import BREAKS, Source, broken, decompressed
from configs.errors import UserError

PROBED_ROWS = 100
_BOM = b"\xef\xbb\xbf"


class JsonlReader:
    """Reads row ranges of one JSON Lines file, forwards. Raises BrokenFile where the file breaks."""

    def __init__(self, source: Source, file: SourceFile, mapping: ColumnMapping) -> None:
        self.position = 0
        self._source = source
        self._mapping = mapping
        self._plain = not file.compression
        self._stream = decompressed(source, file.compression)

    def rows(self, start: int, count: int, byte_start: int) -> Iterator[Row]:
        """The records of lines start .. start+count-1; `byte_start` is the offset of the first, or -1 if unknown."""
        known = 0 if start == 0 else byte_start
        if start != self.position and known >= 0 and self._plain:
            self._stream.seek(known)
            self.position = start
        while self.position < start:
            self._line()
        probe = _KeyProbe(self._mapping) if start == 0 else None
        for number in range(start, start + count):
            line = self._line()
            if not line.isspace():
                yield self._row(number, line, probe)
        if probe:
            probe.check()

    def close(self) -> None:
        """See the class."""
        self._source.close()

    def _line(self) -> bytes:
        try:
            line = self._stream.readline()
        except BREAKS as error:
            raise broken(self._source, self.position, error) from error
        if not line:
            raise BrokenFile(self.position, "it ends there, but more rows were planned")
        if self.position == 0:
            line = line.removeprefix(_BOM) or b"\n"
        self.position += 1
        return line

    def _row(self, number: int, line: bytes, probe: "_KeyProbe | None") -> Row:
        record, problem = parse_object(line)
        if record is None:
            if number == 0 and line.lstrip()[:1] == b"[":
                raise UserError(f"{self._mapping.uri} is a JSON array, not JSON Lines: write one object per line.")
            return Row(number, problem=problem)
        if probe:
            probe.see(record)
        mapping = self._mapping
        metadata = {name: record.get(name) for name in mapping.metadata}
        title = record.get(mapping.title) if mapping.title is not None else None
        return Row(number, record.get(mapping.id), title, record.get(mapping.text), metadata)


def count_lines(source: Source, file: SourceFile, stride: int) -> Iterator[tuple[int, int]]:
    """Streams the file and yields (lines so far, byte offset) at every `stride`-th line and at the end.

    Raises BrokenFile with the number of whole lines before the break.
    """
    stream = decompressed(source, file.compression)
    lines = offset = 0
    while True:
        if lines % stride == 0:
            yield lines, offset
        try:
            line = stream.readline()
        except BREAKS as error:
            raise broken(source, lines, error) from error
        if not line:
            break
        lines += 1
        offset += len(line)
    yield lines, offset


def parse_object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """The JSON object of a line, or None and the reason. The reason never quotes the line."""
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return None, "not UTF-8"
    except json.JSONDecodeError as error:
        return None, f"not JSON: {error.msg.split(':')[0]} at character {error.pos}"
    except ValueError:
        return None, "not JSON: a number has too many digits"
    except RecursionError:
        return None, "not JSON: nested too deeply"
    return (record, "") if isinstance(record, dict) else (None, "not a JSON object")


class _KeyProbe:
    """Tells a wrong column mapping from a bad row: the first objects of a file must not all lack the id or the text.

    Titles and metadata may be absent, as JSON is often written without what is empty; not so where a key of nearly that name is there.
    """

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._keys: dict[str, None] = {}
        self._objects = 0

    def see(self, record: dict[str, Any]) -> None:
        if self._objects < PROBED_ROWS:
            self._keys.update(dict.fromkeys(record))
            self._objects += 1
            if self._objects == PROBED_ROWS:
                self.check()

    def check(self) -> None:
        for field, name in self._mapping.settings():
            absent = self._objects and name not in self._keys
            if absent and (field in ("id", "text") or self._mapping.misspelt(field, name, self._keys)):
                raise self._mapping.missing(field, name, self._keys)
