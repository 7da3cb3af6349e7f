"""The node on which segments are built dies, or is cut off, in a run and in a re-index: no row is lost and no segment is built in vain."""

import pytest

from tests.faults.nodes import two_nodes
from tests.faults.outcomes import IN_HAND, SECTIONS, check_none_done_again, check_rankings, committed, in_hand, outcome, start, wait_for
from tests.jobs import tiny_config, tiny_settings, write_config

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

MANY = {"kind": "flat", "segment_rows": 20}
"""Segments, so that there is time to kill a node between the first and the last."""
FATES = {"dead": True, "cut off": False}


@pytest.mark.parametrize("fate", FATES)
def test_a_node_that_dies_while_it_builds_segments_costs_no_rows(fate, inputs, reference, tally, tmp_path):
    store = tmp_path / "store"
    path = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store, **{**SECTIONS, "index": MANY}))
    with two_nodes(head_cpus=0) as (address, replace):
        process = start(path, {"RAY_ADDRESS": address})
        wait_for(lambda: len(committed(store, "segments")) >= 3 and bool(in_hand(store, "segments")), process)
        workers = replace(FATES[fate])
        built = len(committed(store, "segments"))
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert built < 30, "all segments were there before the node was gone"
    config = tiny_config(inputs, store, **{**SECTIONS, "index": MANY})
    check_rankings(config, reference)
    tally(f"node {fate} while it indexes, with its workers", workers, outcome(config), IN_HAND["index"])
    check_none_done_again(config)


@pytest.mark.parametrize("fate", FATES)
def test_a_node_that_dies_while_a_reindex_builds_segments_costs_no_rows(fate, changed, tally):
    job = changed(edits=440, index=MANY)
    with two_nodes(head_cpus=0) as (address, replace):
        before, process = job.committed("segments"), job.start({"RAY_ADDRESS": address})
        wait_for(lambda: job.committed("segments") >= before + 3 and bool(in_hand(job.store.root, "segments")), process)
        workers = replace(FATES[fate])
        built = job.committed("segments") - before
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert built < job.committed("segments") - before, "all segments were there before the node was gone"
    tally(f"node {fate} while a re-index indexes, with its workers", workers, job.outcome(), IN_HAND["index"])
    check_none_done_again(job.config)
