"""What only a store on a disk can get wrong: temporary files, crashes, folders that are in the way."""

import subprocess
import sys

import pytest

from actors.storage.local_store import LocalStore
from actors.storage.objects import probe
from configs.errors import UserError

CRASH = """
import os, sys
from pathlib import Path
from actors.storage.local_store import LocalStore
setattr(os, sys.argv[3], lambda *_: os._exit(9))
getattr(LocalStore(Path(sys.argv[1])), sys.argv[2])("commits/unit.json", b"half done")
"""


@pytest.mark.parametrize(("operation", "last_step"), [("put_if_absent", "link"), ("put", "replace")])
def test_a_crash_before_the_last_step_leaves_nothing_visible(tmp_path, operation, last_step):
    code = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path), operation, last_step], check=False).returncode
    store = LocalStore(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert code == 9 and len(left) == 1, "the crash must come after the bytes and before the name"
    assert list(store.list("")) == []
    with pytest.raises(FileNotFoundError):
        store.get("commits/unit.json")
    assert store.put_if_absent("commits/unit.json", b"again") is True


def test_files_on_their_way_are_not_listed(tmp_path):
    store = LocalStore(tmp_path)
    store.put("commits/unit.json", b"1")
    (tmp_path / "commits" / ".tmp-0123").write_bytes(b"half")
    (store.scratch() / "segment.part").write_bytes(b"half")
    assert [item.key for item in store.list("")] == ["commits/unit.json"]


def test_no_temporary_file_outlives_a_write(tmp_path):
    store = LocalStore(tmp_path)
    store.put("a/1", b"1")
    store.put_if_absent("a/2", b"2")
    store.put_if_absent("a/2", b"lost")
    (tmp_path / "a" / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        store.put("a/folder", b"3")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["1", "2", "folder"]


def test_a_store_below_a_file_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"Cannot create the folder .*file/store.*store\.uri"):
        probe(LocalStore(tmp_path / "file" / "store"), unsafe_single_writer=False)


def test_a_folder_that_can_not_be_read_is_an_error_and_no_shorter_list(tmp_path):
    store = LocalStore(tmp_path)
    store.put("commits/a/1", b"1")
    (tmp_path / "commits" / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        list(store.list("commits/"))
