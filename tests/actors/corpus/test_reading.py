"""Every format and compression gives the same passages, each row once, whatever the cut."""

import datetime
import decimal
import gzip
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.corpus.checking import content_hash
from actors.corpus.listing import list_files
from actors.corpus.planning import count_rows, mapping_salt, plan_units
from actors.corpus.reading import read_units
from actors.corpus.schema import PASSAGE_SCHEMA
from configs.errors import UserError
from configs.schema import InputConfig, S3Config

KINDS = ["parquet", *(f"{kind}{suffix}" for kind in ("jsonl", "csv", "tsv") for suffix in ("", ".gz", ".zst"))]
ROWS = [
    {"_id": f"d{n}", "title": f"Tïtle {n}" if n % 2 else "", "text": f'line one, "quoted"\nline\ttwo {n}', "url": f"u{n}"}
    for n in range(11)
]


def merged(units):
    return pa.concat_tables([unit.table for unit in units])


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_and_compression_gives_the_same_passages(write, read, kind):
    path = write(f"corpus.{kind}", ROWS)
    units = read(path, unit_rows=4, columns={"title": "title", "metadata": ["url"]})
    table = merged(units)
    assert table.schema.equals(PASSAGE_SCHEMA)
    assert [unit.table.num_rows for unit in units] == [4, 4, 3]
    assert table["id"].to_pylist() == [row["_id"] for row in ROWS]
    assert table["text"].to_pylist() == [f"{row['title']} {row['text']}".strip() for row in ROWS]
    assert table["metadata"].to_pylist() == [f'{{"url":"{row["url"]}"}}' for row in ROWS]
    assert table["content_hash"].to_pylist() == [content_hash(row["_id"], row["title"], row["text"]) for row in ROWS]
    assert table["source"].to_pylist() == [str(path)] * 11
    assert table["source_row"].to_pylist() == list(range(11))
    assert sum(unit.rows_read for unit in units) == 11 and not any(unit.rejects for unit in units)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_read_alone_equals_the_same_unit_read_in_one_pass(write, kind):
    spec, s3 = InputConfig(path=str(write(f"corpus.{kind}", ROWS))), S3Config()
    units = plan_units([count_rows(file, s3, 4) for file in list_files(spec, s3, "corpus")], 4, mapping_salt(spec))
    together = [passages.table for _, passages in read_units(units, spec, s3)]
    backwards = [passages.table for unit in reversed(units) for _, passages in read_units([unit], spec, s3)]
    in_wrong_order = [passages.table for _, passages in read_units(list(reversed(units)), spec, s3)]
    assert together == backwards[::-1] == in_wrong_order[::-1]


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5), unit_rows=st.integers(1, 7), kinds=st.data())
def test_every_row_of_every_file_is_in_exactly_one_unit(sizes, unit_rows, kinds):
    with tempfile.TemporaryDirectory() as folder:
        expected = []
        for number, size in enumerate(sizes):
            rows = [{"_id": f"{number}-{row}", "text": "x"} for row in range(size)]
            expected += [row["_id"] for row in rows]
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
            suffix = kinds.draw(st.sampled_from(["jsonl", "jsonl.gz", "csv", "parquet"]))
            path = Path(folder, f"{number}.{suffix}")
            if suffix == "csv":
                data = b"_id,text\n" + "".join(f"{row['_id']},x\n" for row in rows).encode()
            if suffix == "parquet":
                pq.write_table(
                    pa.table({"_id": pa.array([row["_id"] for row in rows], pa.string()), "text": ["x"] * size}), path, row_group_size=2
                )
            else:
                path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
        spec, s3 = InputConfig(path=folder), S3Config()
        units = plan_units([count_rows(file, s3, unit_rows) for file in list_files(spec, s3, "corpus")], unit_rows, "s")
        assert len({unit.unit_id for unit in units}) == len(units)
        assert all(unit.rows <= unit_rows for unit in units)
        found = [id_ for _, passages in read_units(units, spec, s3) for id_ in passages.table["id"].to_pylist()]
        assert found == expected


def test_gzip_members_and_zstd_frames_in_a_row_are_all_read(read, tmp_path):
    lines = [json.dumps({"_id": str(n), "text": "x" * 1000}).encode() + b"\n" for n in range(300)]
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(gzip.compress(line) for line in lines) + b"\0" * 70000)
    (tmp_path / "b.jsonl.zst").write_bytes(b"".join(zstandard.compress(line) for line in lines))
    for name in ("a.jsonl.gz", "b.jsonl.zst"):
        assert merged(read(tmp_path / name, unit_rows=100))["id"].to_pylist() == [str(n) for n in range(300)]


def test_beir_titles_are_read_without_being_named(write, read, tmp_path):
    write("corpus.jsonl", [{"_id": "1", "title": "T", "text": "x"}, {"_id": "2", "text": "y"}])
    write("queries.jsonl", [{"_id": "q", "text": "z"}])
    assert merged(read(tmp_path))["text"].to_pylist() == ["T x", "y"]
    assert merged(read(tmp_path, role="queries"))["text"].to_pylist() == ["z"]
    assert merged(read(tmp_path / "corpus.jsonl"))["text"].to_pylist() == ["x", "y"]
    assert merged(read(tmp_path / "corpus.jsonl", format="beir"))["text"].to_pylist() == ["T x", "y"]


def test_title_separator_and_blank_titles(write, read):
    path = write("a.jsonl", [{"_id": 1, "t": "T", "text": "x"}, {"_id": 2, "t": " ", "text": " y "}, {"_id": 3, "t": "only", "text": None}])
    table = merged(read(path, columns={"title": "t"}, title_separator=": "))
    assert table["text"].to_pylist() == ["T: x", "y", "only"]
    assert table["id"].to_pylist() == ["1", "2", "3"]


def test_a_byte_order_mark_belongs_to_no_value(write, read):
    assert merged(read(write("a.csv", b"\xef\xbb\xbf_id,text\n1,x\n")))["id"].to_pylist() == ["1"]
    assert merged(read(write("a.jsonl", b'\xef\xbb\xbf{"_id": "1", "text": "x"}\n')))["id"].to_pylist() == ["1"]


def test_blank_lines_are_skipped_and_keep_their_number(write, read):
    units = read(write("a.jsonl", b'\n{"_id": 1, "text": "x"}\r\n \n{"_id": 2, "text": "y"}\n\n'), unit_rows=2)
    assert merged(units)["source_row"].to_pylist() == [1, 3]
    assert sum(unit.rows_read for unit in units) == 2
    assert merged(read(write("b.csv", b"_id,text\n\n1,x\n\n2,y\n")))["source_row"].to_pylist() == [1, 3]


def test_fields_longer_than_the_csv_default_are_read(write, read):
    assert merged(read(write("a.csv", [{"_id": "1", "text": "x" * 300_000}])))["text"].to_pylist() == ["x" * 300_000]


def test_metadata_is_canonical_json(write, read):
    when = datetime.datetime(2024, 1, 2, 3, 4, 5)
    table = pa.table(
        {
            "_id": ["1"],
            "text": ["x"],
            "when": pa.array([when], pa.timestamp("ns")),
            "price": [decimal.Decimal("1.50")],
            "raw": [b"\xff\x00"],
            "score": [float("nan")],
            "tags": [["b", "ä"]],
            "box": [{"z": 1, "a": None}],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    units = read(write("a.parquet", sink.getvalue()), columns={"metadata": ["when", "price", "raw", "score", "tags", "box"]})
    assert merged(units)["metadata"][0].as_py() == (
        '{"box":{"a":null,"z":1},"price":"1.50","raw":"ff00","score":null,"tags":["b","ä"],"when":"2024-01-02T03:04:05"}'
    )
    jsonl = write("a.jsonl", b'{"_id": 1, "text": "x", "n": 1, "f": 0.5, "inf": Infinity}\n')
    assert (
        merged(read(jsonl, columns={"metadata": ["n", "f", "inf", "absent"]}))["metadata"][0].as_py()
        == '{"absent":null,"f":0.5,"inf":null,"n":1}'
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_column_is_named_with_those_that_exist(write, read, kind):
    path = write(f"corpus.{kind}", [{"_id": "1", "title": "t", "text": "x"}] * 3)
    with pytest.raises(UserError, match=r"has no column 'txt'; it has: _id, title, text\. Set corpus\.columns\.text\. Nearest: text\b"):
        read(path, columns={"text": "txt"})
    with pytest.raises(UserError, match=r"has no column 'id'; .* Set queries\.columns\.id\."):
        read(path, role="queries", columns={"id": "id"})


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_missing_metadata_column_is_named(write, read, kind):
    with pytest.raises(UserError, match=r"has no column 'url'; .* Set corpus\.columns\.metadata"):
        read(write(f"a.{kind}", [{"_id": "1", "text": "x"}]), columns={"metadata": ["url"]})


def test_a_key_missing_in_the_first_hundred_rows_only_is_a_wrong_mapping(write, read):
    rows = [{"_id": str(n), "body": "x"} for n in range(100)]
    with pytest.raises(UserError, match="no column 'text'; it has: _id, body"):
        read(write("a.jsonl", [*rows, {"_id": "z", "text": "x"}]), unit_rows=500)
    units = read(write("b.jsonl", [*rows[:99], {"_id": "z", "text": "x"}]), unit_rows=500)
    assert len(units[0].rejects) == 99 and units[0].table.num_rows == 1


def test_a_column_that_is_twice_in_a_header_is_refused(write, read):
    with pytest.raises(UserError, match="has the column 'text' twice"):
        read(write("a.csv", b"_id,text,text\n1,x,y\n"))


def test_a_json_array_is_told_from_json_lines(write, read):
    with pytest.raises(UserError, match="is a JSON array, not JSON Lines"):
        read(write("a.json", b'[\n{"_id": 1, "text": "x"}\n]\n'))


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("text", pa.array([1.5])),
        ("text", pa.array([b"bytes"])),
        ("id", pa.array([1.5])),
        ("id", pa.array([True])),
        ("title", pa.array([["x"]])),
    ],
)
def test_a_column_of_an_impossible_type_is_named(write, read, field, column):
    columns = {"_id": pa.array(["1"]), "text": pa.array(["x"]), "title": pa.array(["t"])}
    columns["_id" if field == "id" else field] = column
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    with pytest.raises(UserError, match=rf"a\.parquet holds .* in column '_?{field}' where .*text.* is needed; it has: .*columns\.{field}"):
        read(write("a.parquet", sink.getvalue()), columns={"title": "title"})


@pytest.mark.parametrize("type_", [pa.int32(), pa.uint64(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_integer_and_string_ids_of_every_kind_are_read(write, read, type_):
    ids = pa.array([1, 2] if pa.types.is_integer(type_) else ["1", "2"]).cast(type_)
    sink = io.BytesIO()
    pq.write_table(pa.table({"_id": ids, "text": pa.array(["x", "y"], pa.large_string())}), sink)
    assert merged(read(write("a.parquet", sink.getvalue())))["id"].to_pylist() == ["1", "2"]


class Armed(pa.ExtensionType):
    """An extension type that notes when a file brings it to life."""

    woken: list[bytes] = []  # noqa: RUF012

    def __init__(self):
        super().__init__(pa.string(), "test.armed")

    def __arrow_ext_serialize__(self):
        return b"payload"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        cls.woken.append(serialized)
        return cls()


@pytest.fixture
def armed_file(write):
    pa.register_extension_type(Armed())
    armed = pa.ExtensionArray.from_storage(Armed(), pa.array(["x"]))
    nested = pa.StructArray.from_arrays([armed], names=["inside"])
    sink = io.BytesIO()
    pq.write_table(pa.table({"_id": ["1"], "text": ["plain"], "armed": armed, "nested": nested}), sink)
    Armed.woken.clear()
    yield write("a.parquet", sink.getvalue())
    pa.unregister_extension_type("test.armed")


def test_an_extension_type_is_refused_before_it_wakes(read, armed_file):
    with pytest.raises(UserError, match=r"a\.parquet holds the extension type 'test\.armed' in column 'armed'.*corpus\.columns\.text"):
        read(armed_file, columns={"text": "armed"})
    with pytest.raises(UserError, match=r"extension type 'test\.armed' in column 'nested'"):
        read(armed_file, columns={"metadata": ["nested"]})
    assert Armed.woken == []


def test_an_extension_type_in_an_unread_column_stays_asleep(read, armed_file):
    assert merged(read(armed_file))["text"].to_pylist() == ["plain"]
    assert Armed.woken == []
    pq.read_table(armed_file)
    assert set(Armed.woken) == {b"payload"}
