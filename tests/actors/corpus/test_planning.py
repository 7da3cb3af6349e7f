"""Counting, packing, cutting and naming of work units."""

import gzip
import json
import os

import pytest

from actors.corpus.listing import SourceFile, list_files
from actors.corpus.planning import FileRows, WorkUnit, count_rows, group_for_reading, mapping_salt, plan_units
from configs.errors import UserError
from configs.schema import ColumnsConfig, InputConfig, S3Config

S3 = S3Config()


def counted(name, rows, format_="jsonl", compression="", etag="t"):
    return FileRows(SourceFile(name, format_, compression, 1, etag), rows, (), 4)


def only_file(path):
    return list_files(InputConfig(path=str(path)), S3, "corpus")[0]


def shape(units):
    return [[(part.file.uri, part.start, part.rows) for part in unit.slices] for unit in units]


def test_big_files_are_cut_and_small_ones_packed():
    units = plan_units([counted("a", 9), counted("b", 1), counted("c", 2), counted("d", 0), counted("e", 4)], 4, "s")
    assert shape(units) == [[("a", 0, 4)], [("a", 4, 4)], [("a", 8, 1), ("b", 0, 1), ("c", 0, 2)], [("e", 0, 4)]]
    assert [unit.rows for unit in units] == [4, 4, 4, 4]


def test_unit_ids_of_a_file_do_not_depend_on_its_neighbours():
    alone = {unit.unit_id for unit in plan_units([counted("b", 8)], 4, "s")}
    later = {unit.unit_id for unit in plan_units([counted("a", 3), counted("b", 8)], 4, "s")}
    assert alone < later and all(len(unit_id) == 24 for unit_id in later)


@pytest.mark.parametrize("other", [[counted("a", 4, etag="u")], [counted("b", 4)], [counted("a", 3)]])
def test_another_tag_path_or_length_is_another_unit(other):
    assert plan_units(other, 4, "s")[0].unit_id != plan_units([counted("a", 4)], 4, "s")[0].unit_id


def test_the_mapping_changes_the_ids_and_reject_limits_do_not():
    base = InputConfig(path="x")
    salts = {
        mapping_salt(spec)
        for spec in (
            base,
            InputConfig(path="x", columns=ColumnsConfig(text="body")),
            InputConfig(path="x", columns=ColumnsConfig(metadata=("url",))),
            InputConfig(path="x", title_separator="\n"),
            InputConfig(path="x", format="jsonl"),
            InputConfig(path="x", broken_files="reject"),
        )
    }
    assert len(salts) == 6
    assert mapping_salt(InputConfig(path="y", max_reject_share=0.5)) == mapping_salt(base)
    assert plan_units([counted("a", 4)], 4, "s")[0].unit_id != plan_units([counted("a", 4)], 4, "t")[0].unit_id


def test_a_unit_survives_json():
    for unit in plan_units([counted("ü", 9), counted("b", 1, "csv", "gz")], 4, "s"):
        assert WorkUnit.from_json(unit.to_json()) == unit


def test_units_of_a_sequential_file_are_read_together():
    parquet = FileRows(SourceFile("p", "parquet", "", 1, "t"), 8, (), 4, (0, 4))
    plain = FileRows(SourceFile("j", "jsonl", "", 1, "t"), 8, (0, 40), 4)
    units = plan_units([counted("c", 12, "csv"), counted("g", 8, compression="gz"), parquet, plain], 4, "s")
    assert [len(group) for group in group_for_reading(units)] == [3, 2, 1, 1, 1, 1]


def test_units_inside_one_large_row_group_are_read_together():
    parquet = FileRows(SourceFile("p", "parquet", "", 1, "t"), 44, (), 4, (0, 40))
    assert [len(group) for group in group_for_reading(plan_units([parquet], 4, "s"))] == [10, 1]


def test_a_plain_jsonl_is_entered_at_the_byte_of_its_row(write):
    lines = [json.dumps({"_id": str(number), "text": "ä" * number}) + "\n" for number in range(7)]
    path = write("a.jsonl", "".join(lines).encode())
    rows = count_rows(only_file(path), S3, 3)
    assert (rows.rows, rows.stride) == (7, 3)
    assert rows.offsets == tuple(len("".join(lines[:start]).encode()) for start in (0, 3, 6))


def test_a_last_line_without_newline_and_blank_lines_count(write):
    assert count_rows(only_file(write("a.jsonl", b"{}\n\n  \n{}")), S3, 2).rows == 4
    assert count_rows(only_file(write("b.jsonl.gz", b"{}\n\n  \n{}")), S3, 2).rows == 4
    assert count_rows(only_file(write("c.jsonl", b"")), S3, 2).rows == 0


def test_newlines_in_quotes_are_no_rows(write):
    assert count_rows(only_file(write("a.csv", b'_id,text\n1,"a\nb"\n2,"c"\n')), S3, 2).rows == 2


def test_a_truncated_gzip_is_named_with_its_row(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 1000)[:-9])
    with pytest.raises(
        UserError, match=r"a\.jsonl\.gz breaks at row \d+: the compressed data is cut short: replace the file, or set queries\.broken_files"
    ):
        count_rows(only_file(path), S3, 4, role="queries")


def test_a_broken_footer_is_named(write):
    with pytest.raises(UserError, match=r"a\.parquet breaks at row 0: .*footer.*replace the file"):
        count_rows(only_file(write("a.parquet", b"PAR1 this is no footer at all")), S3, 4)


def test_a_file_that_changed_since_it_was_listed_is_not_counted(write):
    path = write("a.jsonl", b"{}\n")
    file = only_file(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="it has changed since it was listed: run again"):
        count_rows(file, S3, 4)
    path.unlink()
    with pytest.raises(UserError, match="it is gone since it was listed"):
        count_rows(file, S3, 4)
