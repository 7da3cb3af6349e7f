"""The configured columns resolved for one file, and the sentences for a mapping that does not fit it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.corpus.listing import SourceFile
from configs.errors import UserError
from configs.schema import InputConfig

SHOWN_COLUMNS = 30


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column of one file holds what, and how messages call the file and the config section."""

    uri: str
    role: str
    id: str
    text: str
    title: str | None
    metadata: tuple[str, ...]
    title_implied: bool = False
    """BEIR data have their title in "title", if they have any: nobody asked for it."""

    def settings(self) -> list[tuple[str, str]]:
        """(config field, column name) of every mapped column, in the order they are checked."""
        titles = [("title", self.title)] if self.title is not None else []
        return [("id", self.id), ("text", self.text), *titles, *(("metadata", name) for name in self.metadata)]

    def require(self, present: Sequence[str]) -> None:
        """Raises UserError if a mapped column is absent from `present`, or there twice."""
        for field, name in self.settings():
            if name not in present:
                raise self.missing(field, name, present)
            if list(present).count(name) > 1:
                raise UserError(f"{self.uri} has the column '{name}' twice: rename one, or set {self.role}.columns.{field} to another.")

    def misspelt(self, field: str, name: str, present: Iterable[str]) -> bool:
        """Whether an absent, optional column is there under nearly its name, mapped to nothing else."""
        mapped = {column for _, column in self.settings()}
        asked = field != "title" or not self.title_implied
        return asked and bool(difflib.get_close_matches(name, [column for column in present if column not in mapped], cutoff=0.8))

    def missing(self, field: str, name: str, present: Iterable[str]) -> UserError:
        """The sentence for a column that the file lacks."""
        return UserError(f"{self.uri} has no column '{name}'; {self._remedy(field, name, present)}")

    def wrong_type(self, field: str, found: str, present: Iterable[str]) -> UserError:
        """The sentence for a column that cannot hold an id or a text."""
        name = dict(self.settings())[field]
        wanted = "text or integers" if field == "id" else "text"
        others = [column for column in present if column != name]
        return UserError(f"{self.uri} holds {found} in column '{name}' where {wanted} is needed; {self._remedy(field, name, others)}")

    def _remedy(self, field: str, name: str, present: Iterable[str]) -> str:
        names = list(dict.fromkeys(_printable(column) for column in present))
        more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
        listed = ", ".join(names[:SHOWN_COLUMNS]) + more or "no other column"
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        return f"it has: {listed}. Set {self.role}.columns.{field}.{hint}"


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def resolve_mapping(spec: InputConfig, file: SourceFile, role: str) -> ColumnMapping:
    """The mapping for `file`. BEIR data always has its title in "title", so that is read unless another is named."""
    columns = spec.columns
    title = columns.title if columns.title is not None else ("title" if file.beir else None)
    return ColumnMapping(file.uri, role, columns.id, columns.text, title, columns.metadata, columns.title is None)
