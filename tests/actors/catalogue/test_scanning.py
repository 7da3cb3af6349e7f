"""Files to hashes: through the reader that every run uses."""

import json
from pathlib import Path

import numpy as np

from actors.catalogue.hashing import hash_texts
from actors.catalogue.rows import segment_rows
from actors.catalogue.scanning import REPEATED, scan_units
from actors.corpus.listing import list_files
from actors.corpus.planning import count_rows, mapping_salt, plan_units
from actors.reader import Reader
from configs.schema import InputConfig, S3Config


def write(path: Path, *rows: dict) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def scan(made, folder: Path, unit_rows: int = 100):
    spec, s3 = InputConfig(path=str(folder)), S3Config()
    files = list_files(spec, s3, "corpus")
    units = plan_units([count_rows(file, s3, unit_rows, "stop", "corpus") for file in files], unit_rows, mapping_salt(spec))
    return scan_units(Reader(spec, s3, "corpus", made.place("")), units, 0, {file.uri: i for i, file in enumerate(files)})


def test_a_scan_says_of_each_passage_what_a_segment_of_it_says(made, tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", *({"_id": f"a{i}", "text": f"text {i}"} for i in range(5)))
    write(tmp_path / "in" / "b.jsonl", *({"_id": f"b{i}", "text": f"text {i}"} for i in range(3)))
    found = scan(made, tmp_path / "in", unit_rows=2)
    assert found.rows_read == 8 and found.rejects == () and not made.store.root.exists()
    places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 3, 0), (1, 3, 1), (1, 4, 0)]
    assert found.rows[["file", "unit", "row"]].tolist() == places
    entry = made.segment([(f"a{i}", f"text {i}") for i in range(5)])
    held = segment_rows(made.store, entry, 0, np.array([], np.int64), {})
    for field in ("id", "content", "embedding", "metadata"):
        assert (found.rows[field][:5] == held[field]).all()


def test_a_row_refused_for_its_id_claims_it_for_its_file(made, tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.jsonl", {"_id": "1", "text": "one"})
    write(tmp_path / "in" / "b.jsonl", {"_id": "1", "text": "again"}, {"_id": "", "text": "no id"}, {"_id": "2", "text": "two"})
    found = scan(made, tmp_path / "in")
    claim = found.rows[found.rows["row"] == REPEATED]
    assert claim["file"].tolist() == [1] and (claim["id"] == hash_texts(["1"])).all()
    assert len(found.rejects) == 2 and len(found.rows) == 3
