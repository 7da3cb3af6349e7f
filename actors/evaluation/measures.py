"""Rankings and judgements to the measures of trec_eval.

In: ranked passage ids per query, and qrels. Out: a value per query and measure, and their means. Knows neither files nor where
the rankings came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytrec_eval

from actors.evaluation.trec import Rankings

CUT_MEASURES = {"ndcg_at": "ndcg_cut", "recall_at": "recall", "map_at": "map_cut", "precision_at": "P"}
"""Our prefix -> trec_eval's. mrr_at is not trec_eval's own: it is recip_rank where the rank is within the cut, else 0."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures such as ndcg_at_10, recall_at_100, map_at_5, precision_at_1, mrr_at_10, mrr and map, all from 0 to 1."""

    means: dict[str, float]
    """Measure -> mean over the evaluated queries."""
    per_query: dict[str, dict[str, float]]
    """Query id -> measure -> value, in the order of the ids."""
    unanswered: int
    """Evaluated queries that had no result; each counts 0 in every mean."""

    @property
    def queries(self) -> int:
        """Evaluated queries: judged, with at least one relevant passage."""
        return len(self.per_query)

    def values(self, measure: str) -> np.ndarray:
        """The values of one measure, float64 [queries], in the order of the query ids: two runs over one qrels align."""
        return np.array([values[measure] for values in self.per_query.values()], dtype=np.float64)


def evaluate(rankings: Rankings, qrels: Mapping[str, Mapping[str, int]], cuts: Sequence[int]) -> Measures:
    """The measures of `rankings` at every cut, by trec_eval's code (pytrec_eval) and BEIR's rules.

    The order of each ranking decides, not its scores: trec_eval would reorder equal scores by id. The mean is over the queries
    of the qrels that have a passage of grade 1 or more (for the others recall and nDCG are undefined); those without results
    count 0, queries of the run that nobody judged are left out. nDCG takes the grade as gain.

    Args:
        rankings: query id -> (passage id, score), best first.
        qrels: query id -> passage id -> grade.
        cuts: ranks, 1 or more.

    Raises:
        ValueError: a ranking holds a passage twice, or no query of the qrels has a relevant passage.
    """
    judged = {query: dict(grades) for query, grades in sorted(qrels.items()) if any(grade > 0 for grade in grades.values())}
    if not judged:
        raise ValueError("no query of the qrels has a relevant passage (a grade of 1 or more)")
    run = {query: _descending(query, rankings[query]) for query in judged if rankings.get(query)}
    ranks = ",".join(str(cut) for cut in sorted(set(cuts)))
    wanted = {"map", "recip_rank"} | {f"{theirs}.{ranks}" for theirs in CUT_MEASURES.values() if ranks}
    found = pytrec_eval.RelevanceEvaluator(judged, wanted).evaluate(run)
    zeros = dict.fromkeys(_renamed({}, cuts), 0.0)
    per_query = {query: _renamed(found[query], cuts) if query in found else dict(zeros) for query in judged}
    means = {measure: float(np.mean([values[measure] for values in per_query.values()])) for measure in zeros}
    return Measures(means, per_query, unanswered=len(judged) - len(found))


def _descending(query: str, ranking: Sequence[tuple[str, float]]) -> dict[str, float]:
    # Whole numbers are exact in trec_eval's 32-bit scores up to 16 million ranks.
    scores = {passage: float(len(ranking) - row) for row, (passage, _) in enumerate(ranking)}
    if len(scores) != len(ranking):
        raise ValueError(f"the ranking of query {query!r} holds a passage twice")
    return scores


def _renamed(found: Mapping[str, float], cuts: Sequence[int]) -> dict[str, float]:
    values = {
        f"{ours}_{cut}": float(found.get(f"{theirs}_{cut}", 0.0)) for ours, theirs in CUT_MEASURES.items() for cut in sorted(set(cuts))
    }
    reciprocal = float(found.get("recip_rank", 0.0))
    rank = round(1 / reciprocal) if reciprocal else None
    values |= {f"mrr_at_{cut}": reciprocal if rank is not None and rank <= cut else 0.0 for cut in sorted(set(cuts))}
    return values | {"mrr": reciprocal, "map": float(found.get("map", 0.0))}
