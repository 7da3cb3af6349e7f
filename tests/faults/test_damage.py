"""Files of the store that are cut short, gone or changed by a bit: named before they are used, and made anew on request."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from actors.storage.commits import DataFile, committed_units, read_commits
from actors.storage.local_store import LocalStore
from actors.storage.verified import default_cache
from pipelines import run
from pipelines.cli import guarded
from pipelines.repair import repair
from pipelines.verify import verify
from tests.faults.outcomes import SECTIONS, check_rankings, folders, outcome
from tests.jobs import tiny_config

pytestmark = pytest.mark.cluster


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


IN_INDEX = "a flipped bit in a FAISS index"
# The fault, whose file, which, how it is harmed, and in how many places the store then needs work.
DAMAGES: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "a truncated vector file": ("vectors", "data", cut),
    "a commit record without its file": ("vectors", "data", Path.unlink),
    IN_INDEX: ("segments", "index.faiss", flip),
    "a flipped bit in the passages of a segment": ("segments", "passages.arrow", flip),
    "a flipped bit in the trained template": ("quantizers", "template", flip),
}


def some_file(store: LocalStore, kind: str, name: str) -> DataFile:
    (folder,) = [folder for folder in folders(store) if folder.startswith(kind)]
    unit = sorted(committed_units(store, folder))[1 if kind != "quantizers" else 0]
    return read_commits(store, folder, [unit])[0].files[name]


def damages(*quick: str, of: Iterable[str] = DAMAGES) -> list:
    """Parameters: some that CI runs, and the others."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.chaos) for name in of]


@pytest.mark.parametrize("damage", damages(IN_INDEX))
def test_a_damaged_unit_is_named_withdrawn_and_made_anew_and_no_other(damage, finished, reference, inputs, tally, tmp_path):
    kind, name, harm = DAMAGES[damage]
    path = tmp_path / "store"
    shutil.copytree(finished, path)
    config, store = tiny_config(inputs, path, **SECTIONS), LocalStore(path)
    file = some_file(store, kind, name)
    harm(path / file.key)
    found = repair(config)
    (fault,) = found.faults
    assert file.key in fault and ("is missing" in fault or "is damaged" in fault)
    assert len(found.withdrawn) == 1 and not (path / found.withdrawn[0]).exists()
    if kind != "vectors":
        assert any(file.key in fault for fault in verify(config).faults)
    run(config)
    check_rankings(config, reference)
    after = outcome(config)
    tally(damage, 1, after, 1)
    assert after.redone == 1 and repair(config).faults == ()


@pytest.mark.parametrize("damage", damages(IN_INDEX, of=[IN_INDEX, "a flipped bit in the passages of a segment"]))
def test_nothing_is_searched_in_a_damaged_segment(damage, finished, inputs, tmp_path, capsys):
    kind, name, harm = DAMAGES[damage]
    path = tmp_path / "store"
    shutil.copytree(finished, path)
    file = some_file(LocalStore(path), kind, name)
    harm(path / file.key)
    (default_cache() / file.sha256).unlink(missing_ok=True)  # a verified copy, kept since a test on S3 stored the same bytes, would do
    config = tiny_config(inputs, path, **{**SECTIONS, "search": {"top_k": 11}})
    assert guarded(lambda: run(config)) == 2
    assert f"{file.key} is damaged" in (told := capsys.readouterr().err) and "raytrieve repair CONFIG" in told


def test_vectors_that_are_damaged_are_not_indexed(finished, inputs, tmp_path, capsys):
    path = tmp_path / "store"
    shutil.copytree(finished, path)
    key = some_file(LocalStore(path), "vectors", "data").key
    flip(path / key)
    config = tiny_config(inputs, path, **{**SECTIONS, "index": {"segment_rows": 200}})
    assert guarded(lambda: run(config)) == 2
    assert f"{key} is damaged" in capsys.readouterr().err
