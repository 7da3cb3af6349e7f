"""Do the judgements speak of the queries and passages that are there?

In: qrels and the known ids. Out: nothing or a count; a `UserError` where judgements and data do not belong together, since
measures over them would be low for the wrong reason. Knows neither files nor the index.
"""

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

from configs.errors import UserError

EXAMPLES = 3
LOOKUP_IDS = 10_000
"""Ids of one look-up: bounds the memory of a callable that asks an index."""

Judgements = Mapping[str, Mapping[str, int]]


def check_ids(qrels: Judgements, query_ids: AbstractSet[str], name: str) -> int:
    """The number of judged queries that are not among `query_ids`, the queries of the run. They will count as 0.

    Raises:
        UserError: not one judged query is among them.
    """
    missing = sum(query not in query_ids for query in qrels)
    if missing == len(qrels):
        judged, asked = _examples(list(islice(qrels, EXAMPLES))), _examples(list(islice(query_ids, EXAMPLES)))
        raise UserError(
            f"{name}: none of its {missing:,} judged queries (such as {judged}) is among the {len(query_ids):,} queries of the run"
            f" (such as {asked or 'none'}): give the qrels that belong to these queries"
        )
    return missing


def check_query_ids(qrels: Judgements, query_ids: AbstractSet[str], name: str) -> None:
    """Raises UserError where the qrels judge queries that the queries file does not hold; gives examples and the count."""
    unknown = [query for query in qrels if query not in query_ids]
    if unknown:
        raise UserError(
            f"{name}: {len(unknown):,} of {len(qrels):,} judged query ids are not in the queries file (such as"
            f" {_examples(unknown)}): give the qrels of these queries, or map queries.columns.id to the column that holds these ids"
        )


def check_passage_ids(qrels: Judgements, known: AbstractSet[str] | Callable[[list[str]], AbstractSet[str]], name: str) -> None:
    """Raises UserError where the qrels name passages that the corpus does not hold; gives examples and the count.

    Args:
        known: the ids of the corpus, or a function from a list of at most `LOOKUP_IDS` ids to those of them that the corpus has.
        name: what the error calls the qrels file.
    """
    passages = sorted({passage for judged in qrels.values() for passage in judged})
    unknown: list[str] = []
    for start in range(0, len(passages), LOOKUP_IDS):
        asked = passages[start : start + LOOKUP_IDS]
        found = known(asked) if callable(known) else known
        unknown.extend(passage for passage in asked if passage not in found)
    if unknown:
        raise UserError(
            f"{name}: {len(unknown):,} of {len(passages):,} judged passage ids are not in the corpus (such as {_examples(unknown)}):"
            " give the qrels of this corpus, or map corpus.columns.id to the column that holds these ids"
        )


def _examples(ids: Collection[str]) -> str:
    return ", ".join(repr(one) for one in islice(ids, EXAMPLES))
