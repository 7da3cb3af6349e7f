"""Scored candidates in, rankings out: one row per query and passage, ordered, with both scores, both ranks and metadata.

Between two rerankers of a cascade `Reorder` puts the candidates into the order so far and keeps what the ranking will need.
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.parcels import Parcel

RANKING_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("passage_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("retrieval_rank", pa.int32()),
        ("retrieval_score", pa.float32()),
        ("rerank_score", pa.float32()),
        ("metadata", pa.string()),
        ("query_metadata", pa.string()),
    ]
)


class Ranker:
    """Orders each query's candidates by rerank score (ties by passage id); those beyond the depth keep retrieval order.

    `retrievers`, where several were fused: each one's own score of a passage becomes the column <retriever>_score (null where it did
    not find it), and their own rankings the table `retrieved`.
    """

    def __init__(self, retrievers: Sequence[str] = ()) -> None:
        self._retrievers = tuple(retrievers)
        self._schema = pa.schema([*RANKING_SCHEMA, *((f"{kind}_score", pa.float32()) for kind in self._retrievers)])

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        queries, unique = parcel.tables["passages"], parcel.tables["unique"]
        metadata = unique["metadata"].to_pylist()
        rows: list[tuple[object, ...]] = []
        for query in queries.to_pylist():
            rows.extend(_ranking(query, metadata, self._retrievers))
        columns = list(zip(*rows, strict=True)) or [()] * len(self._schema)
        table = pa.table([pa.array(c, field.type) for c, field in zip(columns, self._schema, strict=True)], schema=self._schema)
        asked = queries.select(["id"])  # so that a query without candidates is known to have been asked
        header = {"counts": {**parcel.header["counts"], "candidates": len(rows)}}
        tables = {"rankings": table, "queries": asked}
        if self._retrievers:
            tables["retrieved"] = pa.concat_tables([_own_ranking(queries, kind) for kind in self._retrievers])
        return Parcel({**parcel.header, **header}, tables).pack()


def _own_ranking(queries: pa.Table, kind: str) -> pa.Table:
    """What one retriever alone found: a row per query and passage."""
    ids, scores = queries[f"{kind}_ids"].combine_chunks(), queries[f"{kind}_scores"].combine_chunks()
    rows = pc.list_parent_indices(ids)
    return pa.table(
        {
            "query_id": queries["id"].take(rows),
            "retriever": pa.array([kind] * len(rows), pa.string()),
            "passage_id": ids.flatten(),
            "score": scores.flatten(),
        }
    )


class Reorder:
    """Candidates as the reranker before ordered them, for the next one. Adds `candidate_ranks` (places in the retrieval) and
    `candidate_reranked` (the latest rerank score, null for what none reached); `rerank_scores` and the table `unique` go."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        queries = parcel.tables["passages"].drop_columns(["candidate_unique"])
        rows = [_reordered(query) for query in queries.to_pylist()]
        lists = {name: queries.schema.field(name).type for name in queries.column_names if name.startswith("candidate_")}
        lists |= {"candidate_ranks": pa.list_(pa.int32()), "candidate_reranked": pa.list_(pa.float32())}
        table = queries.drop_columns([name for name in (*lists, "rerank_scores", "rerank_layers") if name in queries.column_names])
        for name, kind in lists.items():
            table = table.append_column(name, pa.array([row[name] for row in rows], kind))
        return Parcel(parcel.header, {"passages": table}).pack()


def _reordered(query: dict[str, Any]) -> dict[str, list[Any]]:
    order, latest = _order(query), _latest_scores(query)
    ranks = query.get("candidate_ranks") or range(1, len(order) + 1)
    known = {name: values for name, values in query.items() if name.startswith("candidate_")}
    known |= {"candidate_ranks": ranks, "candidate_reranked": latest}
    return {name: [values[i] for i in order] for name, values in known.items()}


def _order(query: dict[str, Any]) -> list[int]:
    """Places of the candidates: those the last reranker scored by score (ties by passage id), then the others as they stood.

    Where it let some go at an early layer, those that came further stand first: scores of different layers do not compare.
    """
    ids, scores = query["candidate_ids"], query.get("rerank_scores") or []
    layers = query.get("rerank_layers") or [0] * len(scores)
    return sorted(range(len(scores)), key=lambda i: (-layers[i], -scores[i], ids[i])) + list(range(len(scores), len(ids)))


def _latest_scores(query: dict[str, Any]) -> list[float | None]:
    """The score of the last reranker that reached each candidate."""
    scores = query.get("rerank_scores") or []
    before = query.get("candidate_reranked") or [None] * len(query["candidate_ids"])
    return [*scores, *before[len(scores) :]]


def _ranking(query: dict[str, Any], metadata: list[str], retrievers: Sequence[str]) -> list[tuple[object, ...]]:
    ids, scores, reranked, order = query["candidate_ids"], query["candidate_scores"], _latest_scores(query), _order(query)
    ranks = query.get("candidate_ranks") or range(1, len(ids) + 1)
    query_metadata = query["metadata"] if json.loads(query["metadata"]) else None
    return [
        (
            query["id"],
            ids[i],
            rank,
            scores[i] if reranked[i] is None else reranked[i],
            ranks[i],
            scores[i],
            reranked[i],
            metadata[query["candidate_unique"][i]],
            query_metadata,
            *(query[f"candidate_{kind}"][i] for kind in retrievers),
        )
        for rank, i in enumerate(order, 1)
    ]
