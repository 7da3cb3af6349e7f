"""Which segments are written anew: those with many holes, and small ones when there are many."""

import numpy as np

from actors.catalogue.compacting import worn_segments
from actors.storage.manifests import SegmentEntry
from configs.schema import ReindexConfig


def worn(live: dict[str, tuple[int, int]], more: int = 0, **policy: float) -> set[str]:
    """`live`: by segment its rows and how many of them are deleted; a full segment has 1,000."""
    entries = [SegmentEntry(name, rows, {}) for name, (rows, _) in live.items()]
    deletions = {name: np.arange(deleted) for name, (_, deleted) in live.items() if deleted}
    return worn_segments(entries, deletions, ReindexConfig(**policy), 1000, more)


def test_a_segment_with_more_holes_than_allowed_is_written_anew():
    assert worn({"a": (1000, 201), "b": (1000, 200), "c": (1000, 0)}, hollow_share=0.2) == {"a"}


def test_a_segment_of_which_nothing_is_left_always_goes():
    assert worn({"a": (10, 10), "b": (1000, 0)}, hollow_share=1.0) == {"a"}


def test_small_segments_are_merged_when_there_are_more_than_allowed():
    few = {"big": (1000, 0), **{f"s{i}": (50, 0) for i in range(3)}}
    assert worn(few, small_segments=3, small_share=0.1) == set()
    assert worn({**few, "s3": (120, 22)}, small_segments=3, small_share=0.1) == {"s0", "s1", "s2", "s3"}
    assert worn(few, more=30, small_segments=3, small_share=0.1) == {"s0", "s1", "s2"}


def test_a_coming_segment_that_is_not_small_does_not_count():
    few = {f"s{i}": (50, 0) for i in range(3)}
    assert worn(few, more=1000, small_segments=3) == worn(few, more=500, small_segments=3) == set()
