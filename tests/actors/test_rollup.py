"""Rankings of passages to rankings of documents."""

import pyarrow as pa
import pytest

from actors.parcels import Parcel
from actors.ranker import RANKING_SCHEMA
from actors.rollup import RollUp, best_documents

# (query, passage, retrieval rank): two queries' rankings in their final order.
RANKED = [
    ("p", "a#2", 3),
    ("p", "b#0", 2),
    ("p", "a#0", 1),
    ("p", "c#x#1", 5),
    ("p", "b#7", 4),
    ("q", "b#1", 2),
    ("q", "b#0", 1),
]


def rankings(rows: list[tuple[str, str, int]]) -> pa.Table:
    made = []
    for place, (query, passage, retrieved) in enumerate(rows):
        rank = 1 + sum(row[0] == query for row in rows[:place])
        scores = {"score": 10.0 - rank, "rerank_score": 10.0 - rank, "retrieval_score": 1.0 - retrieved / 10}
        made.append({"query_id": query, "passage_id": passage, "rank": rank, "retrieval_rank": retrieved, "metadata": passage, **scores})
    return pa.Table.from_pylist(made, RANKING_SCHEMA)


def rolled(rows: list[tuple[str, str, int]], **tables: pa.Table) -> Parcel:
    queries = pa.table({"id": ["p", "q", "nothing found"]})
    parcel = Parcel({"unit": "u", "counts": {"rows": 3}}, {"rankings": rankings(rows), "queries": queries, **tables})
    return Parcel.unpack(RollUp()(parcel.pack()))


def test_a_document_stands_once_where_its_best_passage_stood_and_names_it():
    rows = rolled(RANKED).tables["rankings"].to_pylist()
    named = [(row["query_id"], row["document_id"], row["passage_id"], row["rank"]) for row in rows]
    assert named == [("p", "a", "a#2", 1), ("p", "b", "b#0", 2), ("p", "c#x", "c#x#1", 3), ("q", "b", "b#1", 1)]
    assert [row["score"] for row in rows] == [9.0, 8.0, 6.0, 9.0]
    assert [row["metadata"] for row in rows] == ["a#2", "b#0", "c#x#1", "b#1"]


def test_retrieval_rank_and_score_are_those_of_the_document_not_of_the_passage_that_won():
    rows = rolled(RANKED).tables["rankings"].to_pylist()
    assert [row["retrieval_rank"] for row in rows] == [1, 2, 3, 1]
    assert [row["retrieval_score"] for row in rows] == pytest.approx([0.9, 0.8, 0.5, 0.9])


def test_queries_without_candidates_are_still_known_to_have_been_asked():
    parcel = rolled([])
    assert parcel.tables["rankings"].num_rows == 0 and "document_id" in parcel.tables["rankings"].column_names
    assert parcel.tables["queries"].num_rows == 3 and parcel.header["counts"] == {"rows": 3, "documents": 0}


def test_the_rankings_of_single_retrievers_are_rolled_up_too():
    found = [("p", "dense", "a#1", 0.9), ("p", "bm25", "a#1", 7.0), ("p", "dense", "a#0", 0.8), ("p", "dense", "b#0", 0.7)]
    columns = zip(*found, strict=True)
    table = pa.table(dict(zip(["query_id", "retriever", "passage_id", "score"], map(list, columns), strict=True)))
    rows = rolled(RANKED, retrieved=table).tables["retrieved"].to_pylist()
    assert [(row["retriever"], row["document_id"], row["passage_id"], row["score"]) for row in rows] == [
        ("dense", "a", "a#1", 0.9),
        ("bm25", "a", "a#1", 7.0),
        ("dense", "b", "b#0", 0.7),
    ]


def test_the_best_documents_of_scored_passages():
    assert best_documents([("a#1", 3.0), ("b#0", 2.0), ("a#0", 1.0)]) == [("a", 3.0), ("b", 2.0)]
