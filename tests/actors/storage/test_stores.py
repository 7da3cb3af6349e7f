"""What every store promises, on a local folder and on a real S3 alike."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.storage.objects import open_store, probe
from configs.errors import UserError
from configs.schema import S3Config, StoreConfig


def keys(store, prefix=""):
    return [item.key for item in store.list(prefix)]


def test_what_is_put_comes_back_whole(store):
    body = bytes(range(256)) * 4000
    store.put("a/b/c.bin", body)
    assert store.get("a/b/c.bin") == body
    store.put("a/b/c.bin", b"")
    assert store.get("a/b/c.bin") == b""


def test_a_listing_has_every_key_of_the_prefix_in_order_with_sizes(store):
    for key in ("v/10", "v/2", "v/1/deep", "vv/1", "w/x"):
        store.put(key, key.encode())
    assert keys(store, "v/") == ["v/1/deep", "v/10", "v/2"]
    assert keys(store, "v") == ["v/1/deep", "v/10", "v/2", "vv/1"]
    assert keys(store) == ["v/1/deep", "v/10", "v/2", "vv/1", "w/x"]
    assert keys(store, "v/1") == ["v/1/deep", "v/10"]
    assert [item.size for item in store.list("v/")] == [8, 4, 3]
    assert all(item.modified > 1.7e9 for item in store.list("v/"))


def test_a_listing_of_nothing_is_empty(store):
    assert keys(store, "none/") == []


def test_a_missing_key_is_named_on_every_reading(store, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        store.get("a/none.bin")
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        store.local_copy("a/none.bin", tmp_path / "copies")


def test_deleting_removes_one_key_and_a_missing_one_is_no_error(store):
    store.put("a/1", b"x")
    store.put("a/2", b"x")
    store.delete("a/1")
    store.delete("a/1")
    store.delete("other/none")
    assert keys(store) == ["a/2"]


def test_an_upload_moves_the_file_into_the_store(store):
    local = store.scratch() / "part-of-test"
    local.write_bytes(b"content" * 1000)
    store.upload(local, "data/x.bin")
    assert store.get("data/x.bin") == b"content" * 1000
    assert not local.exists() and keys(store) == ["data/x.bin"]


def test_a_local_copy_has_the_bytes_of_the_object(store, tmp_path):
    store.put("data/x.bin", b"content")
    assert store.local_copy("data/x.bin", tmp_path / "copies").read_bytes() == b"content"


@pytest.mark.parametrize(
    "key", ["../evil", "a/../../evil", "/etc/evil", "a/..", "file:///etc/evil", "http://evil/x", "a\\..\\evil", "a\0b"]
)
def test_a_key_that_leaves_the_store_is_refused_by_every_operation(store, tmp_path, key):
    local = tmp_path / "file"
    local.write_bytes(b"x")
    operations = (
        lambda: store.get(key),
        lambda: store.put(key, b"x"),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.upload(local, key),
        lambda: store.local_copy(key, tmp_path / "copies"),
        lambda: list(store.list(key)),
        lambda: store.delete(key),
    )
    for operation in operations:
        with pytest.raises(UserError, match="leaves the store"):
            operation()
    assert local.exists()


def test_the_first_of_two_conditional_writes_stands(store):
    assert store.put_if_absent("c/unit.json", b"first") is True
    assert store.put_if_absent("c/unit.json", b"second") is False
    assert store.get("c/unit.json") == b"first"


def test_a_conditional_write_repeated_with_its_own_bytes_is_still_ours(store):
    assert store.put_if_absent("c/unit.json", b"nonce 1") is True
    assert store.put_if_absent("c/unit.json", b"nonce 1") is True


def test_of_eight_writers_at_once_one_wins_and_its_bytes_are_stored(store):
    start = threading.Barrier(8)

    def write(number):
        start.wait()
        return store.put_if_absent("c/race.json", b"writer %d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert store.get("c/race.json") == b"writer %d" % won.index(True)
    assert keys(store) == ["c/race.json"]


def test_the_probe_accepts_a_store_that_honours_conditions_every_time(store):
    probe(store, unsafe_single_writer=False)
    probe(store, unsafe_single_writer=False)


def test_a_store_crosses_processes(store):
    store.put("a", b"1")
    assert pickle.loads(pickle.dumps(store)).get("a") == b"1"


class OverwritingStore:
    """As rclone's or an old MinIO's S3: conditions are ignored."""

    uri = "s3://careless/store"

    def __init__(self):
        self.objects = {}

    def put_if_absent(self, key, data):
        self.objects[key] = data
        return True


def test_a_store_that_ignores_conditions_is_refused_with_the_remedy():
    with pytest.raises(UserError, match=r"s3://careless/store ignores conditional writes.*store\.unsafe_single_writer=true"):
        probe(OverwritingStore(), unsafe_single_writer=False)


def test_a_store_that_ignores_conditions_is_accepted_for_a_single_writer():
    probe(OverwritingStore(), unsafe_single_writer=True)


def test_a_uri_opens_the_store_it_names(tmp_path, s3_environment):
    local = open_store(StoreConfig(uri=str(tmp_path / "store")), S3Config())
    remote = open_store(StoreConfig(uri="s3://store/opened/"), S3Config())
    for store in (local, remote):
        store.put("a", store.uri.encode())
    assert (tmp_path / "store" / "a").read_text() == str(tmp_path / "store")
    assert remote.get("a") == b"s3://store/opened"


def test_a_file_uri_is_the_same_folder_as_its_path(tmp_path):
    open_store(StoreConfig(uri=f"file://{tmp_path}/with#sign"), S3Config()).put("a", b"1")
    assert (tmp_path / "with#sign" / "a").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://bucket/x", "gs://, which is not supported"),
        ("s3:///x", "names no bucket"),
        ("s3://no bucket/x", "names no bucket"),
        ("file://server/x", "names the host server"),
        ("s3://KEY:hunter2@bucket/x", "carries credentials"),
        ("s3://KEY:hunter2/more@bucket/x", "carries credentials"),
        ("s3://bucket/x?secret=hunter2", "carries credentials"),
    ],
)
def test_a_uri_that_is_no_store_is_refused_without_showing_secrets(uri, expected):
    with pytest.raises(UserError) as caught:
        open_store(StoreConfig(uri=uri), S3Config())
    assert expected in str(caught.value) and "hunter2" not in str(caught.value)


def test_threads_that_begin_together_share_one_client(s3_store):
    """Sixteen that fetch ahead would otherwise open one each, at a third of a second of the processor."""
    store = s3_store()
    with ThreadPoolExecutor(16) as pool:
        clients = list(pool.map(lambda _: store._client, range(16)))
    assert len(set(map(id, clients))) == 1
