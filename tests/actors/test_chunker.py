"""A unit of documents read, cut and accounted for: one row in, many passages out."""

import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.chunker import Chunker
from actors.corpus.checking import content_hash
from actors.corpus.listing import list_files
from actors.corpus.planning import count_rows, plan_units
from actors.corpus.rejects import decode_rejects
from actors.corpus.schema import CHUNK_SCHEMA, document_of
from actors.duplicates import find_repeats, locate, read_hashes
from actors.loading import EncoderSpec
from actors.parcels import Parcel
from actors.reader import Reader, Workplace
from actors.storage.commits import committed_units, read_commits
from actors.storage.objects import Store, open_store
from actors.writer import Writer
from configs.errors import UserError
from configs.schema import ChunkingConfig, ColumnsConfig, CorpusConfig, EncoderConfig, S3Config, StoreConfig
from tests.jobs import CHECKPOINTS, sentence

SPEC = EncoderSpec(EncoderConfig(model=str(CHECKPOINTS / "tiny-bge-en")), "fp32", S3Config())
Rows = list[dict[str, Any]]


def document(seed: int, sentences: int = 12) -> str:
    rng = random.Random(seed)
    return " ".join(f"{sentence(rng).capitalize()}." for _ in range(sentences))


def corpus(path: Path, tokens: int = 64, **chunking: Any) -> CorpusConfig:
    columns = ColumnsConfig(title="title", metadata=("year",))
    return CorpusConfig(path=str(path), columns=columns, chunking=ChunkingConfig(tokens=tokens, **chunking))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreConfig(uri=str(tmp_path / "store")), S3Config())


@pytest.fixture
def read(tmp_path: Path, store: Store):
    """read(rows, unit_rows): the parcels of all units, as the reader of a stage makes them."""

    def read(rows: Rows, unit_rows: int = 100, **header: Any) -> list[Parcel]:
        path = tmp_path / "corpus.jsonl"
        path.write_text("".join(json.dumps({"title": "", "year": 2000, **row}) + "\n" for row in rows))
        spec = corpus(path)
        units = plan_units([count_rows(file, S3Config(), unit_rows) for file in list_files(spec, S3Config(), "corpus")], unit_rows, "")
        reader = Reader(spec, S3Config(), "corpus", Workplace(store, "vectors/x", "run"), chunker=Chunker(SPEC, spec))
        parcels = [Parcel({"units": [unit.to_json()], **header}) for unit in units]
        return [Parcel.unpack(made) for parcel in parcels for made in reader(parcel.pack())]

    return read


def passages(parcels: list[Parcel]) -> Rows:
    return [row for parcel in parcels for row in parcel.tables["passages"].to_pylist()]


def test_every_passage_bears_its_document_title_metadata_and_source(read):
    rows = [{"_id": f"d{i}", "title": f"Title {i}", "text": document(i), "year": 1990 + i} for i in range(4)]
    (parcel,) = read(rows)
    assert parcel.tables["passages"].schema.equals(CHUNK_SCHEMA)
    found = passages([parcel])
    for i, row in enumerate(rows):
        mine = [passage for passage in found if passage["document_id"] == row["_id"]]
        assert [passage["id"] for passage in mine] == [f"d{i}#{k}" for k in range(len(mine))] and len(mine) > 2
        assert all(passage["text"].startswith(f"Title {i} ") for passage in mine)
        assert " ".join(passage["text"].removeprefix(f"Title {i} ") for passage in mine) == row["text"]
        assert {passage["metadata"] for passage in mine} == {f'{{"year":{1990 + i}}}'}
        assert {passage["source_row"] for passage in mine} == {i}
    assert len({passage["content_hash"] for passage in found}) == len(found)


def test_no_passage_is_longer_than_the_budget_as_the_encoder_reads_it(read):
    found = passages(read([{"_id": "d", "title": "A title", "text": document(1, 80)}]))
    tokens = SPEC.tokenizer().passages([passage["text"] for passage in found])
    assert tokens.lengths.max() <= 64 and tokens.truncated == 0
    assert np.median(tokens.lengths) > 40


def test_a_document_that_fits_is_one_passage_with_the_text_it_had_without_chunking(read):
    (passage,) = passages(read([{"_id": "d", "title": "A title", "text": "And a text."}]))
    assert (passage["id"], passage["document_id"], passage["text"]) == ("d#0", "d", "A title And a text.")


def test_ids_with_a_number_sign_stay_distinct_and_lead_back_to_their_documents(read):
    names = ["a", "a#0", "a#1", "a#0#0", "#", "7#"]
    found = passages(read([{"_id": name, "text": document(i)} for i, name in enumerate(names)]))
    assert len({passage["id"] for passage in found}) == len(found)
    assert all(document_of(passage["id"]) == passage["document_id"] for passage in found)
    assert list(dict.fromkeys(passage["document_id"] for passage in found)) == names


def test_rows_read_and_rejected_are_documents_and_rows_are_passages(read, store):
    rows = [{"_id": "a", "text": document(1)}, {"_id": "a", "text": document(2)}, {"_id": "", "text": "x"}, {"_id": "b", "text": " "}]
    (parcel,) = read([*rows, {"_id": "c", "text": document(3)}])
    counts = parcel.header["counts"]
    assert (counts["rows_read"], counts["rejected"]) == (5, 3)
    assert counts["rows"] == parcel.tables["passages"].num_rows > 6
    assert {passage["document_id"] for passage in passages([parcel])} == {"a", "c"}
    rejects = decode_rejects(store.get(parcel.header["files"]["rejects"]["key"]))
    assert [(reject.row, reject.id) for reject in rejects] == [(1, "a"), (2, None), (3, "b")]


def test_a_document_of_which_one_passage_kills_its_worker_is_rejected_whole_and_once(read, tmp_path, store):
    rows = [{"_id": name, "text": document(i)} for i, name in enumerate("abc")]
    (parcel,) = read(rows, poison=[[str(tmp_path / "corpus.jsonl"), 1, "killed its worker"]])
    assert {passage["document_id"] for passage in passages([parcel])} == {"a", "c"}
    (reject,) = decode_rejects(store.get(parcel.header["files"]["rejects"]["key"]))
    assert (reject.row, reject.id, parcel.header["counts"]["rejected"]) == (1, "b", 1)


def test_of_a_repeated_document_the_first_is_kept_whole_and_the_others_go_whole(read, store):
    long, short, other = document(1, 30), document(2, 8), document(3)
    rows = [{"_id": "a", "text": short}, {"_id": "b", "text": other}, {"_id": "a", "text": long}, {"_id": "c", "text": other}]
    parcels = read(rows, unit_rows=2)
    writer = Writer(Workplace(store, "vectors/x", "run"), "passages", hash_ids=True)
    for parcel in parcels:
        writer(parcel.pack())
    names = [parcel.header["unit"] for parcel in parcels]
    assert committed_units(store, "vectors/x") == set(names)
    records = read_commits(store, "vectors/x", names)
    repeats = find_repeats(read_hashes(store, [(i, record.files["ids"]) for i, record in enumerate(records)], 1))
    second = parcels[1].tables["passages"]["document_id"].to_pylist()
    assert repeats[:, :2].tolist() == [[1, row] for row, name in enumerate(second) if name == "a"]
    assert len(repeats) > sum(name == "a" for name in parcels[0].tables["passages"]["document_id"].to_pylist())
    located = locate(store, records[1].files["data"], repeats[:, 1].tolist())
    assert {(name, row) for name, _, row in located} == {("a", 2)}


def test_passages_that_are_whole_records_are_compared_by_their_own_ids(store):
    place = Workplace(store, "vectors/y", "run")
    for number, names in enumerate([["a", "b"], ["b#0", "a"], ["a", "c"]]):
        table = pa.table({"id": names, "text": names, "source": ["f"] * 2, "source_row": [0, 1]})
        header = {"unit": str(number), "attempt": "0", "files": {}, "counts": {}, "reasons": {}, "started": 0.0}
        Writer(place, "passages", hash_ids=True)(Parcel(header, {"passages": table}).pack())
    records = read_commits(store, place.folder, ["0", "1", "2"])
    repeats = find_repeats(read_hashes(store, [(i, record.files["ids"]) for i, record in enumerate(records)], 1))
    assert sorted(map(tuple, repeats.tolist())) == [(1, 1, 0, 0), (2, 0, 0, 0)]


def test_a_chunker_that_crossed_to_another_process_cuts_alike(read, tmp_path):
    spec = corpus(tmp_path / "x", overlap=16)
    there = pickle.loads(pickle.dumps(Chunker(SPEC, spec)))
    text = document(1, 60)
    pieces = Chunker(SPEC, spec).open()("", text)[1]
    assert there.open()("", text)[1] == pieces
    assert len(pieces) > len(Chunker(SPEC, corpus(tmp_path / "x")).open()("", text)[1])


def test_an_inserted_sentence_leaves_the_texts_of_all_other_passages_as_they_were(read):
    text = "\n\n".join(document(i, 4) for i in range(60))
    before = passages(read([{"_id": "d", "title": "T", "text": text}]))
    after = passages(read([{"_id": "d", "title": "T", "text": text.replace("\n\n", "\n\nA new sentence stands here. ", 1)}]))
    fresh = {passage["text"] for passage in after} - {passage["text"] for passage in before}
    assert len(before) > 100 and 1 <= len(fresh) <= 4
    same = [passage for passage in before if passage["id"] == "d#0"]
    assert [passage for passage in after if passage["id"] == "d#0"] == same
    assert same[0]["content_hash"] == content_hash("d#0", "T ", same[0]["text"].removeprefix("T "))


def test_passages_that_the_model_could_not_read_whole_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"corpus.chunking.tokens is 9999 but embed.model reads \d+ tokens of a passage: lower it"):
        Chunker(SPEC, corpus(tmp_path, tokens=9999)).open()
