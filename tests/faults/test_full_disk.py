"""A disk that is full half-way: one sentence, and the same command goes on when there is room."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import run
from pipelines.cli import guarded
from tests.faults.outcomes import IN_HAND, SECTIONS, all_attempts, check_rankings, committed, outcome
from tests.jobs import tiny_config

pytestmark = pytest.mark.cluster


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    prefix = next((prefix for prefix in ([], ["sudo", "-n"]) if _succeeds(*prefix, *mount)), None)
    if prefix is None:
        pytest.skip("a full disk needs a small one, and mounting is not permitted here")
    yield folder
    subprocess.run([*prefix, "umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_in_one_sentence(inputs, small_disk, local_ray, capfd):
    assert guarded(lambda: run(tiny_config(inputs, small_disk / "store", **SECTIONS))) == 2
    told = capfd.readouterr().err
    assert told.splitlines()[-1].startswith("raytrieve: The disk is full") and "Traceback" not in told
    assert "free some space or set store.uri" in told


@pytest.mark.chaos
def test_the_same_command_goes_on_when_a_full_disk_has_room(inputs, reference, small_disk, tally, tmp_path):
    assert guarded(lambda: run(tiny_config(inputs, small_disk / "store", **SECTIONS))) == 2
    done = committed(small_disk / "store", "vectors").keys()
    larger = Path(shutil.copytree(small_disk / "store", tmp_path / "store"))
    config = tiny_config(inputs, larger, **SECTIONS)
    run(config)
    check_rankings(config, reference)
    tally("a disk that is full half-way", 1, outcome(config), IN_HAND["embed"])
    tried = [unit for unit, _, _ in all_attempts(larger)]
    assert done and all(tried.count(unit) == 1 for unit in done), "what was committed before the disk was full is computed again"


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
