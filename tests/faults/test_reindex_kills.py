"""kill -9 of a re-index's driver, of its embedding actors and of their node: nothing lost or doubled, each new text embedded once."""

import pytest

from tests.faults.nodes import ON_THE_SECOND, two_nodes
from tests.faults.outcomes import IN_HAND, SECTIONS, check_none_done_again, kill_driver, kill_workers, wait_for
from tests.jobs import raytrieve

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

# What a worker does -> its title, and the folder where a commit must have come first.
WORKERS = {"reads": ("_scan", None), "embeds": ("Embedder", "vectors"), "indexes": ("call_kept", "segments")}


@pytest.mark.parametrize("folder", ["vectors", "segments", "catalogues"])
def test_a_killed_reindex_goes_on_where_it_was_and_embeds_each_new_text_once(folder, changed, tally):
    job = changed(edits=440)
    before, process = job.committed(folder), job.start()
    kill_driver(process, lambda: job.committed(folder) > before)
    done = raytrieve("reindex", str(job.path))
    assert done.returncode == 0, done.stderr
    tally(f"kill -9 of a re-index after a commit in {folder}", 1, job.outcome(), IN_HAND["reindex" if folder == "vectors" else "index"])
    check_none_done_again(job.config)


@pytest.mark.parametrize("what", WORKERS)
def test_workers_that_die_in_a_reindex_are_replaced(what, changed, tally):
    job, (title, folder) = changed(edits=440), WORKERS[what]
    before, process = folder and job.committed(folder), job.start()
    victims = kill_workers(process, title, lambda: folder is None or job.committed(folder) > before)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    tally(f"kill -9 of what {what} in a re-index", victims, job.outcome(), victims)
    check_none_done_again(job.config)


@pytest.mark.parametrize("whole", [True, False], ids=["dead", "cut off"])
def test_a_node_that_dies_in_a_reindex_costs_no_rows(whole, changed, tally):
    job = changed(edits=440, embed={**SECTIONS["embed"], **ON_THE_SECOND})
    with two_nodes() as (address, replace):
        before, process = job.committed("vectors"), job.start({"RAY_ADDRESS": address})
        wait_for(lambda: job.committed("vectors") > before + 3, process)
        workers = replace(whole)
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    tally(f"node {'dead' if whole else 'cut off'} in a re-index, with its workers", workers, job.outcome(), IN_HAND["reindex"])
    check_none_done_again(job.config)
