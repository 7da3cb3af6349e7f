"""Scored candidates in, rankings out: one row per query and passage, ordered, with both scores, both ranks and metadata."""

import json

import pyarrow as pa

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
    """Orders each query's candidates by rerank score (ties by passage id); those beyond the depth keep retrieval order."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        queries, unique = parcel.tables["passages"], parcel.tables["unique"]
        metadata = unique["metadata"].to_pylist()
        rows: list[tuple[object, ...]] = []
        for query in queries.to_pylist():
            rows.extend(_ranking(query, metadata))
        columns = list(zip(*rows, strict=True)) or [()] * len(RANKING_SCHEMA)
        table = pa.table([pa.array(c, field.type) for c, field in zip(columns, RANKING_SCHEMA, strict=True)], schema=RANKING_SCHEMA)
        asked = queries.select(["id"])  # so that a query without candidates is known to have been asked
        header = {"counts": {**parcel.header["counts"], "candidates": len(rows)}}
        return Parcel({**parcel.header, **header}, {"rankings": table, "queries": asked}).pack()


def _ranking(query: dict, metadata: list[str]) -> list[tuple[object, ...]]:
    ids, scores = query["candidate_ids"], query["candidate_scores"]
    reranked = query.get("rerank_scores") or []
    depth = len(reranked)
    order = sorted(range(depth), key=lambda i: (-reranked[i], ids[i])) + list(range(depth, len(ids)))
    query_metadata = query["metadata"] if json.loads(query["metadata"]) else None
    return [
        (
            query["id"],
            ids[i],
            rank,
            reranked[i] if i < depth else scores[i],
            i + 1,
            scores[i],
            reranked[i] if i < depth else None,
            metadata[query["candidate_unique"][i]],
            query_metadata,
        )
        for rank, i in enumerate(order, 1)
    ]
