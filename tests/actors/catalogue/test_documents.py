"""Documents that were cut into passages are owned, replaced and deleted as a whole."""

import numpy as np

from actors.catalogue.hashing import documents_of, hash_passages_of, hash_texts, partition_of
from actors.catalogue.reconciling import Reconciled, Rules, reconcile
from actors.catalogue.rows import NOWHERE, PENDING, ROW, SCANNED, SHADOW

Texts = dict[str, list[str]]
NONE = np.zeros(0, SCANNED)


def claims(dtype: np.dtype, file: int, documents: Texts) -> np.ndarray:
    """The passages of a file, by document."""
    flat = [(name, number, text) for name, texts in documents.items() for number, text in enumerate(texts)]
    rows = np.zeros(len(flat), dtype)
    rows["id"] = hash_passages_of([name for name, _, _ in flat], [number for _, number, _ in flat])
    rows["content"] = hash_texts(f"{name}#{number} {text}" for name, number, text in flat)
    rows["embedding"] = hash_texts(text for _, _, text in flat)
    rows["metadata"] = hash_texts("{}" for _ in flat)
    rows["file"], rows["row"] = file, np.arange(len(rows))
    return rows


def held(file: int, documents: Texts) -> np.ndarray:
    """Passages that the index holds, in one segment a file."""
    rows = claims(ROW, file, documents)
    rows["segment"] = file
    return rows


def read(*files: tuple[int, Texts]) -> np.ndarray:
    parts = [NONE]
    for unit, (file, documents) in enumerate(files):
        rows = claims(SCANNED, file, documents)
        rows["unit"] = unit
        parts.append(rows)
    return np.concatenate(parts)


def follow(old: np.ndarray, scanned: np.ndarray, moved: list[int], upsert: bool = False, doomed: tuple[str, ...] = ()) -> Reconciled:
    return reconcile(old, scanned, Rules(np.array([*moved, NOWHERE], np.int32), upsert, hash_texts(doomed), cut=True))


def owners(rows: np.ndarray, segment: int) -> list[bytes]:
    return documents_of(rows["id"][rows["segment"] == segment]).tolist()


def test_passages_of_a_document_lie_in_one_partition_and_are_told_from_all_others():
    names = [f"document {i}" for i in range(500)]
    ids = hash_passages_of([name for name in names for _ in range(300)], list(range(300)) * 500)
    assert len(np.unique(ids)) == 150_000 and len(np.unique(documents_of(ids))) == 500
    assert (partition_of(ids, 64).reshape(500, 300) == partition_of(ids[::300], 64)[:, None]).all()
    assert (documents_of(ids[::300]) == documents_of(hash_texts(names))).all()


def test_of_a_document_in_two_files_all_passages_come_from_the_first():
    found = follow(held(0, {}), read((1, {"d": ["other", "words", "and", "more"]}), (0, {"d": ["one", "two"], "e": ["x"]})), [0])
    assert set(found.wanted["unit"].tolist()) == {1}
    assert found.counts["added"] == 3 and found.counts["repeated"] == 1
    assert len(owners(found.rows, PENDING)) == 3 and len(owners(found.rows, SHADOW)) == 4


def test_when_the_owner_of_a_document_goes_the_other_file_is_read_and_gives_all_of_it():
    other = {"d": ["other", "words", "and", "more"]}
    shadows = claims(ROW, 1, other)
    shadows["segment"] = SHADOW
    old = np.concatenate([held(0, {"d": ["one", "two"]}), shadows])
    asked = follow(old, NONE, [NOWHERE, 0])
    assert asked.unread.tolist() == [0]
    found = follow(old, read((0, other)), [NOWHERE, NOWHERE])
    assert len(found.wanted) == 4 and found.removed.tolist() == [[0, 0], [0, 1]]
    assert found.counts["edited"] == 2 and found.counts["added"] == 2 and not len(found.unread)


def test_an_upserted_document_that_became_shorter_loses_its_last_passages():
    old = held(0, {"d": ["one", "two", "three", "four"], "e": ["x", "y"]})
    found = follow(old, read((1, {"d": ["one", "2"]})), [0], upsert=True)
    assert found.wanted["row"].tolist() == [1]
    assert sorted(found.removed[:, 1].tolist()) == [1, 2, 3]
    assert {name: found.counts[name] for name in ("unchanged", "edited", "added", "deleted")} == {
        "unchanged": 3,
        "edited": 1,
        "added": 0,
        "deleted": 2,
    }


def test_a_document_deleted_by_name_goes_with_all_its_passages():
    old = held(0, {"d": ["one", "two", "three"], "d#0": ["x"], "e": ["y"]})
    found = follow(old, NONE, [0], upsert=True, doomed=("d",))
    assert sorted(found.removed[:, 1].tolist()) == [0, 1, 2] and found.counts["deleted"] == 3


def test_an_edit_of_one_paragraph_takes_in_one_passage():
    old = held(0, {"d": ["one", "two", "three"], "e": ["x"]})
    found = follow(old, read((0, {"d": ["one", "zwei", "three"], "e": ["x"]})), [NOWHERE])
    assert found.wanted["row"].tolist() == [1] and found.removed.tolist() == [[0, 1]]
    assert found.counts["unchanged"] == 3 and found.counts["repeated"] == 0
