"""Versions of the index: numbered without gaps, never overwritten, published once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from actors.storage.commits import DataFile
from actors.storage.manifests import Manifest, SegmentEntry, newest_version, publish, read_version, version_numbers
from configs.errors import UserError


def draft(*segments, run="run", deletions=None, fingerprint="f1"):
    entries = tuple(SegmentEntry(name, 10, {"index": DataFile(f"segments/{name}/index", 5, "0" * 64)}) for name in segments)
    return Manifest(
        0, {"fingerprint": fingerprint}, {"plan": "flat", "template": {"key": "quantizers/t"}}, entries, deletions or {}, 0, run, 0.0, ""
    )


def test_versions_are_numbered_from_one_and_know_their_parent(store):
    first, second = publish(store, draft("s1")), publish(store, draft("s1", "s2"))
    assert [(each.version, each.parent) for each in (first, second)] == [(1, 0), (2, 1)]
    assert version_numbers(store) == [1, 2]
    assert read_version(store, 1) == first and newest_version(store) == second


def test_more_than_nine_versions_keep_their_order(store):
    for number in range(11):
        publish(store, draft(f"s{number}"))
    newest = newest_version(store)
    assert newest is not None and newest.version == 11 and newest.segments[0].segment == "s10"


def test_an_empty_store_has_no_version(store):
    assert newest_version(store) is None and version_numbers(store) == []


def test_publishing_the_same_content_again_makes_no_new_version(store):
    first = publish(store, draft("s1", run="one"))
    assert publish(store, draft("s1", run="two")) == first
    assert version_numbers(store) == [1]


@pytest.mark.parametrize("other", [draft("s2"), draft("s1", deletions={"s1": [3]}), draft("s1", fingerprint="f2"), draft("s1", "s2")])
def test_other_content_makes_a_new_version(store, other):
    publish(store, draft("s1"))
    assert publish(store, other).version == 2


def test_a_segment_that_was_built_again_makes_a_new_version(store):
    first = publish(store, draft("s1"))
    again = replace(first.segments[0], files={"index": DataFile("segments/s1/index-of-another-attempt", 5, "0" * 64)})
    assert publish(store, replace(draft("s1"), segments=(again,))).version == 2


def test_going_back_to_old_content_is_a_new_version(store):
    publish(store, draft("s1"))
    publish(store, draft("s2"))
    assert publish(store, draft("s1")).version == 3


def test_live_rows_leave_out_the_deleted(store):
    assert publish(store, draft("s1", "s2", deletions={"s1": [0, 4]})).rows == 18


def test_an_unknown_version_is_named_with_the_known_ones(store):
    with pytest.raises(UserError, match=r"has no version 9; it has none yet"):
        read_version(store, 9)
    publish(store, draft("s1"))
    with pytest.raises(UserError, match=r"has no version 9; it has \[1\]"):
        read_version(store, 9)


def test_whatever_else_lies_beside_the_manifests_is_passed_over(store):
    publish(store, draft("s1"))
    store.put("versions/README.json", b"{}")
    store.put("versions/notes.txt", b"")
    assert version_numbers(store) == [1]


class Racing:
    """A store in front of another one, in which all publishers see the same newest version before any of them writes."""

    def __init__(self, store, publishers):
        self.store, self.uri, self.barrier = store, store.uri, threading.Barrier(publishers)

    def list(self, prefix):
        return self.store.list(prefix)

    def get(self, key):
        return self.store.get(key)

    def put_if_absent(self, key, data):
        self.barrier.wait(30)
        return self.store.put_if_absent(key, data)


def outcomes(store, drafts):
    racing = Racing(store, len(drafts))

    def attempt(each):
        try:
            return publish(racing, each)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(len(drafts)) as pool:
        return list(pool.map(attempt, drafts))


def test_of_two_publishers_one_wins_and_the_other_is_told_whom_it_lost_to(store):
    publish(store, draft("s0"))
    found = outcomes(store, [draft("s1", run="one"), draft("s2", run="two")])
    (winner,) = [each for each in found if isinstance(each, Manifest)]
    (sentence,) = [each for each in found if isinstance(each, str)]
    assert version_numbers(store) == [1, 2] and read_version(store, 2) == winner
    assert f"Another run ({winner.run}) published version 2 first" in sentence


def test_two_publishers_of_the_same_content_both_succeed(store):
    one, two = outcomes(store, [draft("s1", run="one"), draft("s1", run="two")])
    assert one == two == read_version(store, 1)
    assert version_numbers(store) == [1]
