"""Which files a config section means, and what is said when it means none."""

import gzip
import os

import pytest

from actors.corpus.listing import list_files
from configs.errors import UserError
from configs.schema import InputConfig, S3Config

ROWS = [{"_id": "a", "text": "one"}]


def listed(path, role="corpus", **config):
    return list_files(InputConfig(path=path, **config), S3Config(), role)


def names(files):
    return [file.uri.rpartition("/")[2] for file in files]


def test_a_folder_is_searched_recursively_and_sorted(write, tmp_path):
    for name in ("b.jsonl", "a/z.parquet", "c.tsv.gz", "d.csv.zst", "e.ndjson", "f.pq", ".hidden.jsonl", "_tmp/x.jsonl", "README.md"):
        write(name, b"x")
    files = listed(str(tmp_path))
    assert [file.uri for file in files] == sorted(
        str(tmp_path / name) for name in ("a/z.parquet", "b.jsonl", "c.tsv.gz", "d.csv.zst", "e.ndjson", "f.pq")
    )
    assert [(file.format, file.compression) for file in files] == [
        ("parquet", ""),
        ("jsonl", ""),
        ("tsv", "gz"),
        ("csv", "zst"),
        ("jsonl", ""),
        ("parquet", ""),
    ]


def test_the_tag_of_a_local_file_is_its_size_and_time(write):
    path = write("a.jsonl", ROWS)
    status = os.stat(path)
    assert listed(str(path))[0].etag == f"{status.st_size}-{status.st_mtime_ns}"


def test_a_file_named_twice_is_listed_once(write, tmp_path):
    write("a.jsonl", ROWS)
    assert names(listed([str(tmp_path), str(tmp_path / "a.jsonl"), str(tmp_path / "*.jsonl"), str(tmp_path / "x" / ".." / "a.jsonl")])) == [
        "a.jsonl"
    ]


def test_a_glob_takes_files_and_whole_folders(write, tmp_path):
    for name in ("part-1/a.jsonl", "part-2/deep/b.jsonl", "other/c.jsonl", "part-3.jsonl"):
        write(name, ROWS)
    assert names(listed(str(tmp_path / "part-*"))) == ["a.jsonl", "b.jsonl", "part-3.jsonl"]
    assert names(listed(str(tmp_path / "**" / "c.jsonl"))) == ["c.jsonl"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(write):
    assert names(listed(str(write("a[1].jsonl", ROWS)))) == ["a[1].jsonl"]


def test_a_named_format_holds_for_files_without_suffix(write):
    assert listed(str(write("part-00000", ROWS and b"{}")), format="jsonl")[0].format == "jsonl"


def test_a_named_format_that_contradicts_the_name_is_refused(write):
    with pytest.raises(UserError, match=r"a\.parquet is parquet by its name, but corpus\.format says csv"):
        listed(str(write("a.parquet", b"x")), format="csv")


def test_a_beir_folder_yields_the_file_of_the_role(write, tmp_path):
    write("corpus.jsonl.gz", ROWS)
    write("queries.jsonl", ROWS)
    write("qrels/test.tsv", b"x")
    assert names(listed(str(tmp_path))) == ["corpus.jsonl.gz"]
    assert names(listed(str(tmp_path), role="queries")) == ["queries.jsonl"]
    assert all(file.beir for file in listed(str(tmp_path)))


def test_a_folder_without_queries_is_beir_only_when_told(write, tmp_path):
    write("corpus.jsonl", ROWS)
    write("more.jsonl", ROWS)
    assert names(listed(str(tmp_path))) == ["corpus.jsonl", "more.jsonl"]
    assert names(listed(str(tmp_path), format="beir")) == ["corpus.jsonl"]
    with pytest.raises(UserError, match=r"has no queries\.jsonl"):
        listed(str(tmp_path), role="queries", format="beir")


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere does not exist: correct queries\.path"):
        listed(str(tmp_path / "nowhere"), role="queries")


def test_an_empty_folder_is_named(write, tmp_path):
    write("_SUCCESS", b"")
    with pytest.raises(UserError, match="is an empty folder"):
        listed(str(tmp_path))


def test_a_folder_of_unknown_suffixes_says_what_it_saw(write, tmp_path):
    write("notes.txt", b"")
    write("x.parquet.gz", b"")
    with pytest.raises(UserError, match=r"it has: notes\.txt, x\.parquet\.gz"):
        listed(str(tmp_path))


def test_a_glob_without_match_is_named(tmp_path):
    with pytest.raises(UserError, match="matches no file"):
        listed(str(tmp_path / "*.jsonl"))


def test_a_dangling_link_is_named(tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone.jsonl")
    with pytest.raises(UserError, match=r"a\.jsonl is a link to a file that does not exist"):
        listed(str(tmp_path))


def test_links_to_folders_are_followed_once(write, tmp_path):
    write("real/a.jsonl", ROWS)
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "real")
    assert names(listed(str(tmp_path / "in"))) == ["a.jsonl"]


def test_compressed_parquet_is_refused(write):
    with pytest.raises(UserError, match="compressed Parquet"):
        listed(str(write("x.gz", gzip.compress(b"x"))), format="parquet")
