"""A text that was embedded once is found again, under any id, and its vector is taken over as it is."""

import numpy as np
import pyarrow as pa
import pytest

from actors.catalogue.hashing import hash_texts
from actors.catalogue.reuse import find_known
from actors.parcels import Parcel
from actors.pieces import vectors_of
from actors.recaller import Recaller, Rejoiner
from tests.actors.catalogue.conftest import DIMENSION, passages, vector


def recalled(made, rows: list[tuple[str, str]], *units: str) -> Parcel:
    header = {"unit": "new", "counts": {}, "recall": list(units)}
    return Parcel.unpack(Recaller(made.place("vectors/f"))(Parcel(header, {"passages": passages(rows)}).pack()))


def test_units_that_embedded_a_text_are_found_by_what_they_embedded(made):
    made.vectors([("a", "one"), ("b", "two")])
    made.vectors([("c", "three")])
    hashes = hash_texts(["one", "three", "four"])
    order = np.argsort(hashes)
    found = find_known(made.store, "vectors/f", ["unit1", "unit2"], 5, hashes[order])
    assert found.tolist() == np.array([5, 6, -1])[order].tolist()


def test_known_texts_get_their_old_vectors_and_the_others_are_left_to_the_model(made):
    made.vectors([("a", "one"), ("b", "two")])
    made.vectors([("c", "three")])
    parcel = recalled(made, [("x", "three"), ("y", "new"), ("z", "one"), ("w", "one")], "unit1", "unit2")
    known = parcel.tables["known"]
    assert parcel.tables["passages"]["id"].to_pylist() == ["y"] and parcel.header["counts"] == {"recalled": 3}
    vectors = dict(zip(known["id"].to_pylist(), vectors_of(known), strict=True))
    assert {name: row.tobytes() for name, row in vectors.items()} == {
        "z": vector("one").tobytes(),
        "w": vector("one").tobytes(),
        "x": vector("three").tobytes(),
    }


def test_what_was_embedded_and_what_was_recalled_is_one_unit_again(made):
    made.vectors([("a", "one")])
    parcel = recalled(made, [("x", "one"), ("y", "new")], "unit1")
    fresh = parcel.tables["passages"]
    embedded = fresh.append_column("vector", pa.FixedSizeListArray.from_arrays(pa.array(vector("new")), DIMENSION))
    whole = Parcel.unpack(Rejoiner()(parcel.replace(passages=embedded).pack())).tables
    assert list(whole) == ["passages"] and whole["passages"]["id"].to_pylist() == ["y", "x"]
    assert vectors_of(whole["passages"]).tobytes() == vector("new").tobytes() + vector("one").tobytes()


def test_a_unit_that_is_all_known_needs_no_model(made):
    made.vectors([("a", "one")])
    whole = Parcel.unpack(Rejoiner()(recalled(made, [("x", "one")], "unit1").pack())).tables["passages"]
    assert whole["id"].to_pylist() == ["x"] and vectors_of(whole).tobytes() == vector("one").tobytes()


def test_a_text_that_nobody_embedded_never_becomes_a_passage_without_a_vector(made):
    made.vectors([("a", "one")])
    with pytest.raises(ValueError, match="1 texts are not in the units that should have embedded them"):
        Rejoiner()(recalled(made, [("x", "lost")], "unit1").pack())
