"""Rankings of passages in, rankings of documents out: a document is as good as its best passage.

In: table `rankings`, each query's rows by rank, and `retrieved`, where several retrievers were fused. Out: the same with one row
for each query and document: its best passage, and the column `document_id`. Ranks count documents; retrieval rank and score are the
document's own, those of its passage that was retrieved first.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import pyarrow as pa

from actors.corpus.schema import document_of
from actors.parcels import Parcel


class RollUp:
    """Keeps of each document the passage that ranks first."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        parcel = Parcel.unpack(batch)
        tables = {"rankings": _ranked(_with_documents(parcel.tables["rankings"]))}
        if "retrieved" in parcel.tables:
            tables["retrieved"] = _first_of_each(_with_documents(parcel.tables["retrieved"]), "query_id", "retriever")
        counts = {**parcel.header["counts"], "documents": tables["rankings"].num_rows}
        return parcel.replace({"counts": counts}, **tables).pack()


def best_documents(hits: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """(passage, score) pairs, best first, as (document, score) pairs."""
    best: dict[str, float] = {}
    for passage, score in hits:
        best.setdefault(document_of(passage), score)
    return list(best.items())


def _ranked(passages: pa.Table) -> pa.Table:
    best = _first_of_each(passages, "query_id")
    retrieved = _first_of_each(passages.sort_by("retrieval_rank"), "query_id")
    first = zip(_places(retrieved["query_id"]), retrieved["retrieval_score"].to_pylist(), strict=True)
    by_document = dict(zip(_keys(retrieved, "query_id", "document_id"), first, strict=True))
    found = [by_document[key] for key in _keys(best, "query_id", "document_id")]
    columns = {"rank": _places(best["query_id"]), "retrieval_rank": [rank for rank, _ in found], "retrieval_score": [s for _, s in found]}
    for name, values in columns.items():
        position = best.schema.get_field_index(name)
        best = best.set_column(position, best.schema.field(name), pa.array(values, best.schema.field(name).type))
    return best


def _with_documents(table: pa.Table) -> pa.Table:
    documents = pa.array(map(document_of, table["passage_id"].to_pylist()), pa.string())
    return table.add_column(table.schema.get_field_index("passage_id") + 1, "document_id", documents)


def _first_of_each(table: pa.Table, *names: str) -> pa.Table:
    """For each document under those columns its first row, in order."""
    first: dict[tuple[object, ...], int] = {}
    for row, key in enumerate(_keys(table, *names, "document_id")):
        first.setdefault(key, row)
    return table.take(pa.array(first.values(), pa.int64()))


def _keys(table: pa.Table, *names: str) -> Iterable[tuple[object, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _places(queries: pa.ChunkedArray) -> list[int]:
    """1, 2, 3 ... for the rows of each query."""
    seen: Counter[str] = Counter()
    places = []
    for query in queries.to_pylist():
        seen[query] += 1
        places.append(seen[query])
    return places
