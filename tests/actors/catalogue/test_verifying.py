"""What is wrong with a version is found and named, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from actors.catalogue.contrasting import contrast
from actors.catalogue.hashing import hash_texts
from actors.catalogue.rows import ROW, segment_rows
from actors.catalogue.verifying import compare_rows, verify_file, verify_segment
from actors.storage.manifests import SegmentEntry

NONE = np.zeros(0, np.int64)


def faults(made, entry: SegmentEntry, deleted: tuple[int, ...] = ()) -> tuple[str, ...]:
    return verify_segment(made.store, entry, 0, deleted, made.plan, True).faults


def test_a_good_segment_has_no_fault_and_tells_its_live_ids(made):
    entry = made.segment([("a", "one"), ("b", "two"), ("c", "three")])
    found = verify_segment(made.store, entry, 3, [1], made.plan, True)
    assert found.faults == () and found.rows[["segment", "row"]].tolist() == [(3, 0), (3, 2)]


@pytest.mark.parametrize("name", ["index.faiss", "passages.arrow"])
def test_a_flipped_byte_is_found_and_its_file_named(made, name):
    entry = made.segment([("a", "one"), ("b", "two")])
    path = Path(made.store.root, entry.files[name].key)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (fault,) = faults(made, entry)
    assert entry.files[name].key in fault and "is damaged" in fault


def test_a_file_that_is_gone_is_named(made):
    entry = made.segment([("a", "one")])
    made.store.delete(entry.files["index.faiss"].key)
    (fault,) = faults(made, entry)
    assert fault.startswith(f"{made.store.uri}/{entry.files['index.faiss'].key} is missing")
    assert verify_file(made.store, entry.files["passages.arrow"]) == []


def test_a_wrong_count_and_impossible_deletions_are_told(made):
    entry = made.segment([("a", "one"), ("b", "two")])
    assert "has 2 rows, the version says 3" in faults(made, SegmentEntry(entry.segment, 3, entry.files))[0]
    for deleted in ((0, 0), (2,), (-1,)):
        assert "deletions that are not" in faults(made, entry, deleted)[0]


def test_an_id_in_two_segments_is_found_unless_one_of_the_two_is_deleted(made):
    entries = [made.segment([("a", "one"), ("b", "two")]), made.segment([("b", "other"), ("c", "three")])]

    def found(deleted: list[int]) -> list[str]:
        both = [verify_segment(made.store, entry, i, deleted if i == 0 else [], made.plan, True).rows for i, entry in enumerate(entries)]
        return compare_rows(np.concatenate(both), None, lambda row: f"row {row['row']} of {row['segment']}")

    assert len(found([])) == 1 and "1 ids are in the version twice, such as row" in found([])[0]
    assert found([1]) == []


def test_the_catalogue_must_have_every_passage_where_and_as_it_is(made):
    entry = made.segment([("a", "one"), ("b", "two")])
    located = verify_segment(made.store, entry, 0, [], made.plan, True).rows
    rows = segment_rows(made.store, entry, 0, NONE, {})
    assert compare_rows(located, rows, str) == []
    swapped = rows.copy()
    swapped["row"] = swapped["row"][::-1]
    altered = rows.copy()
    altered["metadata"][0] = b"another hash"
    for wrong in (swapped, rows[:1], altered):
        assert "differ between the segments and the catalogue" in compare_rows(located, wrong, str)[0]
    shadow = np.zeros(1, ROW)
    shadow["id"], shadow["segment"] = hash_texts(["s"]), -1
    assert compare_rows(located, np.concatenate([rows, shadow]), str) == []


def test_versions_are_contrasted_by_id_whatever_segments_they_share(made):
    shared = made.segment([("a", "one"), ("b", "two"), ("c", "three"), ("d", "four")])
    edited = made.segment([("b", "zwei"), ("e", "five"), ("a", "one")])
    restated = made.segment([("d", "four")], metadata='{"year":1}')
    first, second = made.version(shared), made.version(shared, edited, restated, deletions={shared.segment: [0, 1, 2, 3]})
    (found,) = contrast(made.store, first, second)

    def names(rows: np.ndarray, *ids: str) -> bool:
        return sorted(rows["id"].tolist()) == sorted(hash_texts(ids).tolist())

    assert names(found.added, "e") and names(found.removed, "c") and names(found.edited, "b") and names(found.restated, "d")
    (back,) = contrast(made.store, second, first)
    assert names(back.added, "c") and names(back.removed, "e") and names(back.edited, "b")
    (same,) = contrast(made.store, second, second)
    assert not any(map(len, (same.added, same.removed, same.edited, same.restated)))
