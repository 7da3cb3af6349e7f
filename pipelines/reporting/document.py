"""Facts to report.json: one JSON object of bounded size that holds all that the figures and the page show.

In: `ReportFacts`. Out: dicts, lists, strings, finite numbers and nulls; NaN and infinities become null. Knows neither
matplotlib nor HTML, so a report can be drawn again from its JSON alone.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from actors.evaluation.measures import Measures
from pipelines.reporting.facts import RejectFacts, ReportFacts, ScoreFacts, StageFacts
from pipelines.reporting.scores import describe_scores

SCHEMA = 1
HEADLINE = "ndcg_at_10"
"""The measure of the per-query gains, as BEIR and MTEB report it; without that cut, `mrr`."""
CURVE_POINTS = 400
EXAMPLES = 10
UNCHANGED = 1e-9
"""Changes of a measure within this are rounding."""


def report_json(facts: ReportFacts) -> dict[str, Any]:
    """The whole report as a JSON-serialisable dict (also under `json.dumps(..., allow_nan=False)`).

    Its size does not grow with the corpus or the queries: scores become histograms, per-query gains a curve of at most
    `CURVE_POINTS` points and the `EXAMPLES` largest either way.
    """
    document = {
        "schema": SCHEMA,
        "name": facts.name,
        "run": facts.run,
        "version": facts.version,
        "created": facts.created,
        "passages": facts.passages,
        "queries": facts.queries,
        "wall_seconds": sum(stage.seconds for stage in facts.stages) if facts.wall_seconds is None else facts.wall_seconds,
        "judged": _judged(facts),
        "metrics": {
            "retrieved": facts.retrieved.means if facts.retrieved else None,
            "reranked": facts.reranked.means if facts.reranked else None,
        },
        "retrievers": {kind: measures.means for kind, measures in facts.retrievers.items()},
        "gain": {measure: asdict(interval) for measure, interval in facts.gain.items()},
        "per_query": _per_query(facts.retrieved, facts.reranked),
        "stages": [_stage(stage) for stage in facts.stages],
        "segments": [asdict(segment) for segment in facts.segments],
        "rejects": {source: _rejects(rejects) for source, rejects in facts.rejects.items()},
        "score_distribution": {"retrieved": _scores(facts.retrieval), "reranked": _scores(facts.rerank)},
        "config": facts.config,
        "environment": facts.environment,
        "notes": facts.notes,
    }
    return {key: jsonable(value) for key, value in document.items()}


def jsonable(value: Any) -> Any:
    """`value` in JSON's types: numpy becomes Python, tuples and sets lists, what is not finite null, anything else text."""
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return [jsonable(item) for item in sorted(value, key=str)]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _stage(stage: StageFacts) -> dict[str, Any]:
    timed = stage.seconds > 0
    return asdict(stage) | {
        "rows_per_s": stage.rows / stage.seconds if timed and stage.rows else None,
        "tokens_per_s": stage.tokens / stage.seconds if timed and stage.tokens else None,
        "padding_waste": 1 - stage.tokens / stage.padded_tokens if stage.padded_tokens else None,
    }


def _judged(facts: ReportFacts) -> dict[str, int] | None:
    measures = facts.reranked or facts.retrieved
    return {"queries": measures.queries, "unanswered": measures.unanswered} if measures else None


def _rejects(rejects: RejectFacts) -> dict[str, Any]:
    by_reason = dict(sorted(rejects.by_reason.items(), key=lambda item: (-item[1], item[0])))
    return {
        "total_rows": rejects.total_rows,
        "rejected": rejects.rejected,
        "share": rejects.rejected / rejects.total_rows if rejects.total_rows else 0.0,
        "by_reason": by_reason,
        "examples": rejects.examples[:EXAMPLES],
    }


def _scores(facts: ScoreFacts | None) -> dict[str, Any] | None:
    return describe_scores(facts.scores, facts.relevant) if facts else None


def _per_query(before: Measures | None, after: Measures | None) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    measure = HEADLINE if HEADLINE in before.means else "mrr"
    queries = list(before.per_query)
    first, second = before.values(measure), after.values(measure)
    gains = second - first
    order = np.argsort(-gains, kind="stable")
    shown = order[np.linspace(0, order.size - 1, min(order.size, CURVE_POINTS)).round().astype(int)]
    hurt = order[::-1][:EXAMPLES]

    def rows(chosen: np.ndarray) -> list[dict[str, Any]]:
        return [{"query": queries[row], "before": first[row], "after": second[row], "change": gains[row]} for row in chosen]

    return {
        "measure": measure,
        "improved": int((gains > UNCHANGED).sum()),
        "hurt": int((gains < -UNCHANGED).sum()),
        "unchanged": int((np.abs(gains) <= UNCHANGED).sum()),
        "curve": gains[shown],
        "most_improved": rows(order[:EXAMPLES][gains[order[:EXAMPLES]] > UNCHANGED]),
        "most_hurt": rows(hurt[gains[hurt] < -UNCHANGED]),
    }
