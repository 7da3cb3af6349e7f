"""Row ranges of committed files: cut, cut again, and without what was deleted."""

import random

import numpy as np

from actors.pieces import Piece, cut_pieces, regroup, without_rows
from actors.storage.commits import DataFile

FILES = [DataFile(name, 1, name) for name in "abc"]
ROWS = {"a": 7, "b": 1, "c": 12}
DROPS = {"a": (0, 5), "b": (), "c": (3, 4, 11)}


def rows_of(pieces: list[Piece]) -> list[tuple[str, int]]:
    """The file rows that the pieces stand for, the slow way."""
    found = []
    for piece in pieces:
        kept = [row for row in range(ROWS[piece.file.key]) if row not in piece.drop]
        found += [(piece.file.key, row) for row in kept[piece.start : piece.stop]]
    return found


def cut(segment_rows: int) -> list[list[Piece]]:
    return cut_pieces([(file, ROWS[file.key], DROPS[file.key]) for file in FILES], segment_rows)


def test_segments_are_full_but_for_the_last_and_hold_every_row_once():
    for size in range(1, 18):
        segments = cut(size)
        assert [len(rows_of(pieces)) for pieces in segments[:-1]] == [size] * (len(segments) - 1)
        assert [row for pieces in segments for row in rows_of(pieces)] == rows_of(cut(100)[0])


def test_deleted_rows_of_a_segment_are_left_out_whatever_its_pieces_are():
    rng = random.Random(3)
    for _ in range(60):
        pieces = rng.choice(cut(rng.randint(1, 9)))
        rows = rows_of(pieces)
        deleted = sorted(rng.sample(range(len(rows)), rng.randint(0, len(rows))))
        left = without_rows(pieces, np.array(deleted, np.int64))
        assert rows_of(left) == [row for number, row in enumerate(rows) if number not in deleted]
        again = without_rows(left, np.arange(0, len(rows_of(left)), 2))
        assert rows_of(again) == rows_of(left)[1::2]


def test_what_is_left_of_several_segments_is_cut_anew():
    left = [piece for pieces in cut(5) for piece in without_rows(pieces, np.array([1]))]
    expected = rows_of(left)
    assert [row for pieces in regroup(left, 7) for row in rows_of(pieces)] == expected
    assert [len(rows_of(pieces)) for pieces in regroup(left, 7)] == [7, len(expected) - 7]
