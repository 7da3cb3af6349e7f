"""What a store that was repaired goes on to: re-indexing, another index, garbage collection."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.storage.commits import committed_units, read_commits
from actors.storage.local_store import LocalStore
from actors.storage.manifests import newest_version
from configs.errors import UserError
from configs.schema import Config
from pipelines import run
from pipelines.collect import collect
from pipelines.reindex import reindex
from pipelines.repair import repair
from pipelines.verify import verify
from tests.faults.outcomes import PASSAGES, SECTIONS, folders, outcome
from tests.faults.test_damage import DAMAGES, IN_INDEX, cut, damages, flip, some_file
from tests.jobs import tiny_config

pytestmark = pytest.mark.cluster
IVF = {"kind": "ivf_flat", "nlist": 8, "nprobe": 8, "segment_rows": 100}


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> LocalStore:
    return LocalStore(shutil.copytree(finished, tmp_path / "store"))


@pytest.fixture
def configured(inputs: Path, tmp_path: Path) -> Callable[..., Config]:
    """The job without queries, so that a re-index searches nothing."""

    def configured(**sections) -> Config:
        return tiny_config(inputs, tmp_path / "store", **{**SECTIONS, "queries": None, "rerank": None, **sections})

    return configured


def harm(store: LocalStore, damage: str) -> str:
    """Returns the key of the file that is harmed."""
    kind, name, how = DAMAGES[damage]
    file = some_file(store, kind, name)
    how(Path(store.uri) / file.key)
    return file.key


@pytest.mark.parametrize("damage", damages(IN_INDEX, of=[name for name, (kind, *_) in DAMAGES.items() if kind != "vectors"]))
def test_a_reindex_makes_anew_what_a_repair_withdrew(damage, store, configured):
    config = configured()
    harm(store, damage)
    assert len(repair(config).withdrawn) == 1
    done = reindex(config)
    assert done.manifest.version == 2 and verify(config).faults == ()
    found = outcome(config)
    assert (found.lost, found.doubled, found.redone) == (0, 0, 1)
    assert reindex(config).manifest.version == 2, "and then all is as it should be"


@pytest.mark.chaos
def test_vectors_that_were_made_anew_serve_another_index(store, configured):
    key = harm(store, "a truncated vector file")
    assert len(repair(configured()).withdrawn) == 1
    run(configured())
    collect(configured(), keep=1, grace_s=0, delete=True)
    assert not (Path(store.uri) / key).exists()
    done = reindex(configured(index=IVF, reindex={"max_recall_drop": 1}))
    assert done.manifest.index["plan"]["factory"].startswith("IVF") and verify(configured()).faults == ()


def test_a_reindex_embeds_again_what_lost_its_vectors_and_nothing_else(store, configured):
    (folder,) = [folder for folder in folders(store) if folder.startswith("vectors")]
    of_before: set[str] = set()
    for _ in range(2):  # loses a unit of the first version, then one of a re-index, which comes back with the same bytes
        units = committed_units(store, folder)
        lost = max(read_commits(store, folder, sorted(units - of_before)), key=lambda record: record.counts.get("tokens", 0))
        cut(Path(store.uri) / lost.files["data"].key)
        repair(configured())
        done = reindex(configured())
        assert (done.manifest.version, done.manifest.rows, done.tokens) == (2, PASSAGES, lost.counts["tokens"])
        assert lost.counts["rows"] <= done.counts["mended"] < PASSAGES == done.counts["mended"] + done.counts["unchanged"]
        assert repair(configured()).faults == verify(configured()).faults == ()
        assert reindex(configured()).counts == {}, "and then all is as it should be"
        of_before = units
    assert reindex(configured(index=IVF, reindex={"max_recall_drop": 1})).manifest.version == 3


@pytest.mark.chaos
def test_a_segment_of_one_unit_is_healed_by_the_same_bytes_again_and_again(local_ray, configured, tmp_path):
    whole = {"embed": {"unit_rows": 1000}, "index": {"segment_rows": 1000}}
    run(configured(**whole))
    store = LocalStore(tmp_path / "store")
    (folder,) = [folder for folder in folders(store) if folder.startswith("vectors")]
    for _ in range(3):
        (unit,) = committed_units(store, folder)
        cut(Path(store.uri) / read_commits(store, folder, [unit])[0].files["data"].key)
        repair(configured(**whole))
        done = reindex(configured(**whole))
        assert (done.manifest.version, done.manifest.rows, done.counts["mended"]) == (1, PASSAGES, PASSAGES)
        assert reindex(configured(**whole)).counts == {} and verify(configured(**whole)).faults == ()
    assert reindex(configured(embed=whole["embed"], index=IVF, reindex={"max_recall_drop": 1})).manifest.version == 2


@pytest.mark.chaos
def test_a_segment_that_lost_its_index_and_its_vectors_is_taken_in_again(store, configured):
    key = harm(store, IN_INDEX)
    records = read_commits(store, "segments", committed_units(store, "segments"))
    (segment,) = [record for record in records if key in {file.key for file in record.files.values()}]
    cut(Path(store.uri) / segment.details["pieces"][0]["file"]["key"])
    assert len(repair(configured()).withdrawn) == 2
    done = reindex(configured())
    assert done.manifest.version == 2 and done.manifest.rows == PASSAGES and verify(configured()).faults == ()


def test_an_upsert_leaves_lost_vectors_and_says_what_makes_them_anew(store, configured):
    harm(store, "a truncated vector file")
    repair(configured())
    upsert = {"reindex": {"mode": "upsert"}}
    assert reindex(configured(**upsert)).manifest.version == 1
    with pytest.raises(UserError, match=r"have to be built again and their stored vectors are damaged .*--mode snapshot"):
        reindex(configured(index=IVF, **upsert))
    assert verify(configured()).faults == ()


def test_without_its_list_of_files_a_version_is_compared_with_all_of_them(store, configured):
    newest = newest_version(store)
    assert newest is not None and newest.sources is not None
    flip(Path(store.uri) / newest.sources.key)
    done = reindex(configured())
    assert done.manifest.version == 1 and verify(configured()).faults == ()
    (Path(store.uri) / newest.sources.key).unlink()
    with pytest.raises(UserError, match="--mode snapshot"):
        reindex(configured(reindex={"mode": "upsert"}))


def test_gc_leaves_the_sound_files_of_a_withdrawn_segment_that_a_version_names(store, configured):
    harm(store, IN_INDEX)
    repair(configured())
    before = {path.name for path in (Path(store.uri) / "segments" / "data").iterdir()}
    collect(configured(), keep=1, grace_s=0, delete=True)
    assert {path.name for path in (Path(store.uri) / "segments" / "data").iterdir()} == before
    assert reindex(configured()).manifest.version == 2 and verify(configured()).faults == ()


def test_repairing_twice_at_once_harms_nothing(store, configured):
    harm(store, IN_INDEX)
    first, second = repair(configured()), repair(configured())
    assert len(first.withdrawn) == 1 and second.withdrawn == () and second.faults == ()
