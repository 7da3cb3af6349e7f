"""The segments of a version and what is deleted of them in, those that are better written anew out. Decides; moves no bytes."""

from collections.abc import Mapping, Sequence

import numpy as np

from actors.storage.manifests import SegmentEntry
from configs.schema import ReindexConfig


def worn_segments(
    segments: Sequence[SegmentEntry], deletions: Mapping[str, np.ndarray], policy: ReindexConfig, segment_rows: int, more: int
) -> set[str]:
    """Names of the segments to merge: hollow ones, and all small ones when there would be too many.

    `segment_rows` are the rows of a full segment; `more` passages are coming, whose last segment may be a small one too.
    """
    deleted = {entry.segment: len(deletions.get(entry.segment, ())) for entry in segments}
    hollow = {e.segment for e in segments if deleted[e.segment] > policy.hollow_share * e.rows or deleted[e.segment] == e.rows}
    least = policy.small_share * segment_rows
    small = {entry.segment for entry in segments if entry.rows - deleted[entry.segment] < least} - hollow
    coming = 0 < more % segment_rows < least
    return hollow | small if len(small) + coming > policy.small_segments else hollow
