"""Nothing that data or a forged record says makes a run read or write outside its inputs and its store, or speak to an address."""

import json
import os
import socket
import tempfile
from collections.abc import Iterator

import pytest
import zstandard
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from actors.models.download import fetch_folder
from actors.opening import linked_folder
from actors.storage.commits import DataFile, put_data
from actors.storage.local_store import LocalStore
from actors.storage.manifests import SegmentEntry
from actors.storage.s3_store import S3Store
from actors.storage.verified import read_verified
from configs.errors import UserError
from configs.schema import InputConfig, S3Config
from pipelines.cli import app, guarded
from pipelines.planning import plan_input
from pipelines.safeguards import deletions_by_name
from tests.jobs import make_corpus, tiny_config, tiny_settings, write_config

FIELDS = ["store.uri", "corpus.path", "queries.path", "queries.qrels", "embed.model", "embed.adapter", "rerank.model", "rerank.adapter"]
FORGED = ["../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x", "data/../../x"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """An address that a run could be lured to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("scheme", ["http", "gs", "ftp", "hdfs"])
def test_an_address_of_another_scheme_is_one_sentence_and_nobody_is_called(field, scheme, tmp_path, capfd, listener):
    make_corpus(tmp_path, passages=60, queries=6)
    config = write_config(tmp_path / "job.yaml", tiny_settings(tmp_path, tmp_path / "store"))
    address = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"
    status = guarded(lambda: app(["run", str(config), "--set", f"{field}={address}"]))
    (told,) = capfd.readouterr().err.splitlines()
    assert status == 2 and told.startswith("raytrieve: ") and address in told and "s3://bucket/" in told
    with pytest.raises(TimeoutError):
        listener.accept()


def test_an_address_of_another_scheme_has_no_deletions(tmp_path, listener):
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"
    config = tiny_config(tmp_path, tmp_path / "store", reindex={"mode": "upsert", "deletions": address})
    with pytest.raises(UserError, match=f"{address} has the scheme http://.*s3://bucket/"):
        deletions_by_name(config)
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("key", FORGED)
def test_a_record_that_names_an_object_outside_the_store_is_one_sentence(key, tmp_path):
    (tmp_path / "x").write_text("beside the store")
    with pytest.raises(UserError, match=r"leaves the store.*remove that record or version"):
        read_verified(LocalStore(tmp_path / "store"), DataFile(key, 1, "0" * 64))


def test_a_segment_of_a_forged_name_is_opened_where_all_segments_are(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    store = LocalStore(tmp_path / "store")
    entry = SegmentEntry("../../../evil", 1, {"vectors.npy": put_data(store, "segments", "x.npy", b"1"), "../../y": DataFile("y", 1, "0")})
    folder = linked_folder(store, entry, {"vectors.npy"})
    assert folder.resolve().parent == (tmp_path / "tmp" / f"raytrieve-{os.getuid()}" / "segments").resolve()
    assert [path.name for path in folder.iterdir()] == ["vectors.npy"]


def test_a_forged_plan_cannot_say_what_is_read(tmp_path):
    make_corpus(tmp_path, passages=30, queries=3)
    spec, store = InputConfig(path=(f"{tmp_path}/corpus.parquet",)), LocalStore(tmp_path / "store")
    honest = plan_input(spec, S3Config(), "corpus", 10, store)
    (plan,) = (item.key for item in store.list("plans/"))
    counted = json.loads(zstandard.decompress(store.get(plan)))
    counted[0]["file"]["uri"] = "/etc/passwd"
    store.put(plan, zstandard.compress(json.dumps(counted).encode()))
    assert plan_input(spec, S3Config(), "corpus", 10, store) == honest


def test_a_remote_model_folder_cannot_write_beside_the_cache(tmp_path):
    bucket = MemoryFileSystem()
    bucket.store = {name: MemoryFile(bucket, name, b"{}") for name in ("/bucket/model/config.json", "/bucket/model/../../../evil.json")}
    with pytest.raises(UserError, match=r"'\.\./\.\./\.\./evil\.json', which leads out of the model's folder"):
        fetch_folder(bucket, "/bucket/model", "s3://bucket/model", tmp_path / "a" / "b" / "cache")
    assert not list(tmp_path.rglob("evil.json"))


@pytest.mark.parametrize("trap", ["link", "open to others"])
def test_a_scratch_folder_that_another_user_prepared_is_refused(trap, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder, elsewhere = tmp_path / f"raytrieve-scratch-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if trap == "link":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(UserError, match=r"is not a folder of this user alone: remove it, or set TMPDIR"):
        S3Store("s3://bucket/x", S3Config(), 1).scratch()
