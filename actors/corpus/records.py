"""What every format's reader yields: one record with its values as they stand in the file, unchecked."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Unreadable(Enum):
    """Stands for a value that has no Python value: why the row can not be taken."""

    NOT_UTF8 = "not UTF-8"
    NO_VALUE = "a date or time beyond the years 1 to 9999, or in an unknown time zone"


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its 0-based number in the file and the values of the mapped columns, or why it could not be decoded."""

    number: int
    id: Any = None
    title: Any = None
    text: Any = None
    metadata: Mapping[str, Any] | None = None
    problem: str = ""


class BrokenFile(Exception):
    """A file cannot be read past `row` (0-based): what is wrong with it, and what the user can do.

    `rest_known` says whether the plan knows how many rows lie behind the break. Stays in the input layer.
    """

    def __init__(self, row: int, why: str, remedy: str = "replace the file", rest_known: bool = True) -> None:
        super().__init__(row, why, remedy, rest_known)
        self.row = row
        self.why = why
        self.remedy = remedy
        self.rest_known = rest_known


class StaleFile(BrokenFile):
    """The file is no longer the one that was listed. Nothing passes it over: its rows are elsewhere now, not lost."""
