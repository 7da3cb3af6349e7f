"""Catalogues in the store: whole again in any number of partitions, and in the terms of a new version."""

import numpy as np
import pytest

from actors.catalogue.hashing import hash_texts, partition_count, partition_of
from actors.catalogue.partitions import commit_catalogue, find_catalogue, load_rows, settle_rows, write_partition
from actors.catalogue.rows import LOCATED, PENDING, ROW, SHADOW, segment_rows
from tests.actors.catalogue.conftest import Made


def made_rows(count: int) -> np.ndarray:
    rows = np.zeros(count, ROW)
    for name in ("id", "content", "embedding", "metadata"):
        rows[name] = hash_texts(f"{name} {i}" for i in range(count))
    rows["file"], rows["segment"], rows["row"] = np.arange(count) % 3, np.arange(count) % 5, np.arange(count)
    return rows


def committed(made: Made, rows: np.ndarray, parts: int):
    partition = partition_of(rows["id"], parts)
    files = [write_partition(made.store, "v", part, rows[partition == part]) for part in range(parts)]
    return commit_catalogue(made.store, "v", "run", files, len(rows))


@pytest.mark.parametrize("written", [1, 4, 16])
@pytest.mark.parametrize("read", [1, 2, 8, 32])
def test_a_catalogue_is_read_back_in_any_number_of_partitions(made, written, read):
    rows = made_rows(500)
    record = committed(made, rows, written)
    parts = [load_rows(made.store, record, part, read) for part in range(read)]
    assert all((partition_of(part["id"], read) == number).all() for number, part in enumerate(parts))
    assert sorted(np.concatenate(parts).tolist()) == sorted(rows.tolist())


def test_partitions_are_sorted_by_id_and_hold_hashes_with_zero_bytes_whole(made):
    rows = made_rows(2)
    rows["id"] = np.frombuffer(bytes(31) + b"\x01", "S16")
    loaded = load_rows(made.store, committed(made, rows[::-1], 1), 0, 1)
    assert loaded.tobytes() == rows.tobytes()


def test_a_version_without_a_catalogue_has_none(made):
    assert find_catalogue(made.store, made.version(made.segment([("a", "text")]))) is None


def test_segments_are_renumbered_and_what_is_built_anew_is_found_by_its_id():
    rows = made_rows(4)
    rows["segment"] = [0, 1, 1, SHADOW]
    located = np.zeros(2, LOCATED)
    located["id"], located["segment"], located["row"] = rows["id"][[2, 1]], 1, [7, 8]
    settled = settle_rows(rows, located, np.array([0, PENDING], np.int32))
    assert settled["segment"].tolist() == [0, 1, 1, SHADOW] and settled["row"].tolist() == [0, 8, 7, 3]


def test_partitions_are_powers_of_two_so_that_any_two_numbers_of_them_nest():
    assert [partition_count(rows) for rows in (0, 1, 2_000_000, 2_000_001, 10**9)] == [1, 1, 1, 2, 512]


def test_the_rows_of_a_segment_name_its_live_passages_and_their_files(made):
    entry = made.segment([("a", "one"), ("b", "two"), ("c", "three")], source="s3://bucket/x")
    rows = segment_rows(made.store, entry, 4, np.array([1]), {"s3://bucket/x": 2})
    assert rows[["file", "segment", "row"]].tolist() == [(2, 4, 0), (2, 4, 2)]
    assert (rows["id"] == hash_texts(["a", "c"])).all() and (rows["embedding"] == hash_texts(["one", "three"])).all()
    assert segment_rows(made.store, entry, 0, np.array([], np.int64), {})["file"].tolist() == [-1, -1, -1]
