"""Every reason to refuse a row, with its file and number; the text itself never shows."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.corpus.rejects import decode_rejects, encode_rejects
from actors.corpus.schema import Reject
from configs.errors import UserError

GOOD = b'{"_id": "good", "text": "fine"}\n'


@pytest.mark.parametrize(
    ("line", "reason", "id_"),
    [
        (b'{"_id": null, "text": "secret"}', "no id", None),
        (b'{"text": "secret"}', "no id", None),
        (b'{"_id": "  ", "text": "secret"}', "no id", None),
        (b'{"_id": "' + "ä".encode() * 257 + b'", "text": "secret"}', "id is longer than 512 bytes", None),
        (b'{"_id": "a\\tb", "text": "secret"}', "id holds a control character", None),
        (b'{"_id": true, "text": "secret"}', "id is true or false, not text or an integer", None),
        (b'{"_id": 1.0, "text": "secret"}', "id is a number, not text or an integer", None),
        (b'{"_id": "\\ud800", "text": "secret"}', "not UTF-8", None),
        (b'{"_id": "a", "text": ""}', "empty text", "a"),
        (b'{"_id": "a", "text": " \\n"}', "empty text", "a"),
        (b'{"_id": "a"}', "empty text", "a"),
        (b'{"_id": "a", "text": 7}', "text is a number, not text", "a"),
        (b'{"_id": "a", "text": ["secret"]}', "text is a list, not text", "a"),
        (b'{"_id": "a", "text": "secret", "title": {}}', "title is an object, not text", "a"),
        (b'{"_id": "a", "text": "secret\\udfff"}', "not UTF-8", "a"),
        (b'{"_id": "a", "text": "secret", "url": "\\udfff"}', "not UTF-8", "a"),
        (b'{"_id": "a", "text": "secret\xff"}', "not UTF-8", None),
        (b'{"_id": "a", "text": "secret"', "not JSON: Expecting ',' delimiter at character 30", None),
        (b'{"_id": ' + b"9" * 5000 + b', "text": "secret"}', "not JSON: a number has too many digits", None),
        (b"[" * 100_000, "not JSON: nested too deeply", None),
        (b'["secret"]', "not a JSON object", None),
        (b"null", "not a JSON object", None),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason(write, read, line, reason, id_):
    path = write("a.jsonl", GOOD + line + b"\n" + GOOD.replace(b"good", b"better"))
    (unit,) = read(path, columns={"title": "title", "metadata": ["url"]})
    assert unit.rejects == (Reject(str(path), 1, reason, id_),)
    assert unit.table["source_row"].to_pylist() == [0, 2] and unit.rows_read == 3
    assert b"secret" not in encode_rejects(unit.rejects)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"1,x,y", "wrong number of fields"),
        (b"1", "wrong number of fields"),
        (b",x", "no id"),
        (b"1,", "empty text"),
        (b"1,caf\xe9", "not UTF-8"),
        (b'1,"x"y', "not CSV: ',' expected after '\"'"),
    ],
)
def test_a_bad_csv_record_is_rejected_with_its_reason(write, read, record, reason):
    path = write("a.csv", b"_id,text\n0,x\n" + record + b"\n2,y\n")
    (unit,) = read(path)
    assert [(reject.row, reject.reason) for reject in unit.rejects] == [(1, reason)]
    assert unit.table["id"].to_pylist() == ["0", "2"] and unit.rows_read == 3


def test_a_quote_that_is_never_closed_breaks_the_file(write, read):
    path = write("a.csv", b'_id,text\n0,x\n1,"open\n2,y\n')
    with pytest.raises(UserError, match=r"a\.csv breaks at row 1: a quote is opened in that record and never closed"):
        read(path)
    (unit,) = read(path, broken_files="reject")
    assert unit.table["id"].to_pylist() == ["0"]
    assert [reject.reason for reject in unit.rejects] == [
        "file breaks at row 1 (at least 1 rows given up): a quote is opened in that record and never closed"
    ]


def test_bad_bytes_in_parquet_cost_one_row(write, read):
    texts = pa.Array.from_buffers(pa.string(), 3, pa.array([b"x", b"\xff\xfe", b"y"]).buffers())
    sink = io.BytesIO()
    pq.write_table(pa.table({"_id": ["0", "1", "2"], "text": texts}), sink)
    (unit,) = read(write("a.parquet", sink.getvalue()))
    assert [(reject.row, reject.reason, reject.id) for reject in unit.rejects] == [(1, "not UTF-8", "1")]
    assert unit.table["text"].to_pylist() == ["x", "y"]


def test_nulls_in_parquet_are_rejected(write, read):
    table = pa.table({"_id": ["0", None, "2"], "text": ["x", "y", None]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    (unit,) = read(write("a.parquet", sink.getvalue()))
    assert [(reject.row, reject.reason) for reject in unit.rejects] == [(1, "no id"), (2, "empty text")]


def test_the_first_of_two_equal_ids_wins_across_the_files_of_a_unit(write, read, tmp_path):
    first = write("a.jsonl", [{"_id": "x", "text": ""}, {"_id": "x", "text": "first"}])
    second = write("b.jsonl", [{"_id": "y", "text": "other"}, {"_id": "x", "text": "second"}])
    (unit,) = read(tmp_path)
    assert unit.table["text"].to_pylist() == ["first", "other"]
    assert unit.rejects[1] == Reject(str(second), 1, f"duplicate id in this unit: first seen at {first} row 1", "x")


def test_an_integer_and_its_text_are_the_same_id(write, read):
    (unit,) = read(write("a.jsonl", [{"_id": 7, "text": "x"}, {"_id": "7", "text": "y"}]))
    assert unit.table["id"].to_pylist() == ["7"] and len(unit.rejects) == 1


def test_metadata_nested_too_deeply_is_rejected(write, read):
    deep = b'{"_id": 1, "text": "x", "m": ' + b"[" * 900 + b"]" * 900 + b"}\n"
    (unit,) = read(write("a.jsonl", deep), columns={"metadata": ["m"]})
    assert [reject.reason for reject in unit.rejects] == ["metadata is nested too deeply"]


def test_rejects_survive_as_ordered_json_lines():
    rejects = [Reject("b", 0, "no id", None), Reject("a", 10, "empty text", "ü\u2028"), Reject("a", 2, "no id", None)]
    data = encode_rejects(rejects)
    assert [json.loads(line)["row"] for line in data.splitlines()] == [2, 10, 0]
    assert decode_rejects(data) == [rejects[2], rejects[1], rejects[0]]
    assert encode_rejects(reversed(rejects)) == data
    assert encode_rejects([]) == b"" and decode_rejects(b"") == []


def test_a_date_that_python_does_not_know_costs_one_row(write, read):
    days = pa.array([0, 2**30, 1], pa.int32()).cast(pa.date32())
    sink = io.BytesIO()
    pq.write_table(pa.table({"_id": ["0", "1", "2"], "text": ["x", "y", "z"], "day": days}), sink)
    (unit,) = read(write("a.parquet", sink.getvalue()), columns={"metadata": ["day"]})
    (reject,) = unit.rejects
    assert reject.row == 1 and reject.reason.startswith("a date or time beyond the years 1 to 9999")
    assert unit.table["id"].to_pylist() == ["0", "2"]


@pytest.mark.parametrize(("columns", "near"), [({"title": "titel"}, "title"), ({"metadata": ["yearr"]}, "year")])
def test_a_slip_of_the_pen_in_an_optional_column_of_json_lines_is_told(write, read, columns, near):
    path = write("a.jsonl", b'{"_id": "0", "title": "t", "text": "x", "year": 1}\n')
    with pytest.raises(UserError, match=rf"Nearest: .*{near}"):
        read(path, columns=columns)
    (unit,) = read(path, columns={"title": "heading", "metadata": ["author", "updated"]})
    assert unit.table.num_rows == 1
