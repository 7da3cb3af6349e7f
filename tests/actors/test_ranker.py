"""Scored candidates to rankings, alone and between the rerankers of a cascade."""

import pyarrow as pa

from actors.parcels import Parcel
from actors.ranker import Ranker, Reorder

IDS = ["a", "b", "c", "d"]


def scored(scores: list[float], table: pa.Table | None = None) -> pa.Table:
    """A parcel of one query with the four candidates, or those of `table`, the first ones scored."""
    if table is None:
        query = {"id": "q", "text": "?", "metadata": "{}", "candidate_ids": IDS, "candidate_scores": [0.9, 0.8, 0.7, 0.6]}
        table = pa.Table.from_pylist([{**query, "candidate_rows": [5, 6, 7, 8], "candidate_segments": [0, 0, 1, 1]}])
    table = table.append_column("candidate_unique", pa.array([[0, 1, 2, 3]], pa.list_(pa.int32())))
    table = table.append_column("rerank_scores", pa.array([scores], pa.list_(pa.float32())))
    unique = pa.table({"metadata": ['{"n": 0}', '{"n": 1}', '{"n": 2}', '{"n": 3}']})
    return Parcel({"unit": "u", "attempt": "1", "counts": {}}, {"passages": table, "unique": unique}).pack()


def ranked(parcel: pa.Table) -> pa.Table:
    return Parcel.unpack(Ranker()(parcel)).tables["rankings"]


def test_the_reranked_come_first_by_score_and_the_rest_keep_their_order():
    rows = ranked(scored([1.0, 2.0])).to_pylist()
    assert [row["passage_id"] for row in rows] == ["b", "a", "c", "d"]
    assert [row["rerank_score"] for row in rows] == [2.0, 1.0, None, None]
    assert [row["retrieval_rank"] for row in rows] == [2, 1, 3, 4]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["metadata"] == '{"n": 1}'


def test_equal_scores_go_by_passage_id():
    assert ranked(scored([1.0, 1.0, 1.0]))["passage_id"].to_pylist() == IDS


def test_a_second_reranker_works_on_the_order_of_the_first():
    between = Parcel.unpack(Reorder()(scored([1.0, 2.0, 3.0]))).tables["passages"]
    assert between["candidate_ids"].to_pylist() == [["c", "b", "a", "d"]]
    assert between["candidate_rows"].to_pylist() == [[7, 6, 5, 8]]
    assert between["candidate_ranks"].to_pylist() == [[3, 2, 1, 4]]
    rows = ranked(scored([10.0, 20.0], between)).to_pylist()
    assert [row["passage_id"] for row in rows] == ["b", "c", "a", "d"]
    assert [row["rerank_score"] for row in rows] == [20.0, 10.0, 1.0, None]
    assert [row["retrieval_rank"] for row in rows] == [2, 3, 1, 4]
    assert [round(row["retrieval_score"], 1) for row in rows] == [0.8, 0.7, 0.9, 0.6]
