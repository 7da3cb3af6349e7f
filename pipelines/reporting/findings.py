"""What the numbers say, as sentences: titles of figures and captions of the page.

In: the report document (see `document.report_json`). Out: plain text. Knows neither matplotlib nor HTML.
"""

from typing import Any

from pipelines.reporting.formats import duration, measure_name, plural, share, short, signed, value

Document = dict[str, Any]
WITHIN = 0.0005
"""Means that differ by less look the same in three decimals."""


def headline_measure(document: Document) -> str | None:
    """nDCG@10 where it was taken, else the first measure; None without qrels."""
    means = document["metrics"]["retrieved"]
    if not means:
        return None
    return "ndcg_at_10" if "ndcg_at_10" in means else str(next(iter(means)))


def metrics_finding(document: Document) -> str:
    """Title of the measures' figure."""
    measure = headline_measure(document)
    if measure is None:
        return "No measures: the run has no qrels"
    before, reranked = document["metrics"]["retrieved"][measure], document["metrics"]["reranked"]
    name = measure_name(measure)
    if not reranked:
        return f"Retrieval reaches {name} {value(before)}"
    after = reranked[measure]
    if abs(after - before) < WITHIN:
        return f"Reranking leaves {name} at {value(after)}"
    verb = "lifts" if after > before else "lowers"
    return f"Reranking {verb} {name} from {value(before)} to {value(after)}{_interval_in_brackets(document, measure)}"


def interval_text(interval: dict[str, Any] | None) -> str:
    """+0.067, 95% interval +0.041 to +0.092; empty without an interval."""
    if not interval:
        return ""
    confidence = f"{100 * interval['confidence']:g}%"
    return f"{signed(interval['mean_gain'])}, {confidence} interval {signed(interval['low'])} to {signed(interval['high'])}"


def gains_finding(document: Document) -> str:
    """Title of the per-query figure."""
    gains = document["per_query"]
    improved = plural(gains["improved"], "query", "queries")
    return f"Reranking improved {improved}, hurt {gains['hurt']:,} and left {gains['unchanged']:,} unchanged"


def scores_finding(document: Document, which: str) -> str:
    """Title of a score figure; `which` is retrieved or reranked."""
    scores = document["score_distribution"][which]
    band = f"98% of {short(scores['count'])} scores lie between {value(scores['p1'])} and {value(scores['p99'])}"
    if which == "reranked":
        return f"Reranker: {band}"
    return f"Similarities: {band}" if dense_alone(document) else f"Retrieval scores: {band}"


def dense_alone(document: Document) -> bool:
    """Whether the candidates' scores are similarities of vectors."""
    return bool(document["config"].get("search", {}).get("retrievers", ["dense"]) == ["dense"])


def scores_caption(document: Document, which: str) -> str:
    """What the scores of `which` mean and what they do not, with the measured numbers."""
    scores = document["score_distribution"][which]
    if which == "reranked":
        opening = _reranker_caption(scores, document["config"].get("rerank") or {})
    else:
        opening = _similarity_caption(scores) if dense_alone(document) else _retrieval_caption(scores, document["config"]["search"])
    return f"{opening} {_threshold_caption(scores)}"


def stages_finding(document: Document) -> str:
    """Title of the stages' figure."""
    stages = document["stages"]
    total = sum(stage["seconds"] for stage in stages)
    if not total:
        return "All work was taken over from earlier runs"
    longest = max(stages, key=lambda stage: stage["seconds"])
    return f"{longest['name'].capitalize()} takes {share(longest['seconds'] / total)} of the {duration(total)} of stage time"


def stages_caption(document: Document) -> str:
    """How much of the work padding wasted, and what was resumed."""
    stages = document["stages"]
    padded = sum(stage["padded_tokens"] for stage in stages)
    tokens = sum(stage["tokens"] for stage in stages if stage["padded_tokens"])
    resumed = sum(stage["units_resumed"] for stage in stages)
    parts = ["Rates count the work of this run alone."]
    if padded:
        parts.append(f"{share(1 - tokens / padded)} of the {short(padded)} tokens that the models saw were padding.")
    if resumed:
        of_units = plural(sum(stage["units"] for stage in stages), "unit")
        parts.append(f"{resumed:,} of {of_units} were taken over from an earlier run.")
    return " ".join(parts)


def _interval_in_brackets(document: Document, measure: str) -> str:
    text = interval_text(document["gain"].get(measure))
    return f" ({text})" if text else ""


def _similarity_caption(scores: dict[str, Any]) -> str:
    first = scores["first"]
    measured = (
        f"{share(scores['share_above_0.6'])} of all candidates are above 0.6; the median is {value(scores['p50'])}"
        f" ({value(first['p50'])} at rank 1)."
    )
    if scores["share_above_0.6"] >= 0.5:
        return (
            f"Why are most similarities above 0.6? {measured} Contrastive training with a low temperature (0.01 for BGE) needs only a"
            " small margin between right and wrong, so the cosines crowd into a narrow band. What matters is their order, not their value."
        )
    return f"{measured} The range depends on how the model was trained: compare scores of one model only, and trust their order."


def _retrieval_caption(scores: dict[str, Any], search: dict[str, Any]) -> str:
    units = {
        "bm25": "BM25 scores",
        "sparse": "sums of products of lexical weights",
        "weighted": "weighted sums of the retrievers' scores",
        "rrf": "sums of weight / (60 + rank) over the retrievers",
    }
    unit = search["fusion"] if len(search["retrievers"]) > 1 else search["retrievers"][0]
    return f"Scores are {units[unit]}, without a fixed range; the median is {value(scores['p50'])}. They order the passages of one query."


def _reranker_caption(scores: dict[str, Any], config: dict[str, Any]) -> str:
    unit = "raw outputs of the model, without a fixed range"
    if config.get("kind") == "late_interaction":
        unit = "the mean over the query's tokens of their best cosine with a token of the passage (MaxSim), at most 1"
    if config.get("normalize"):
        unit = "sigmoids, between 0 and 1"
    median = f"the median is {value(scores['p50'])} ({value(scores['first']['p50'])} at rank 1)"
    return f"Scores are {unit}; {median}. They order the passages of one query."


def _threshold_caption(scores: dict[str, Any]) -> str:
    threshold = scores["threshold"]
    if not threshold:
        return "A threshold, if you need one, is best chosen on judged queries: with qrels, this figure shows where relevant passages lie."
    return (
        f"If you need a threshold, choose it here: {value(threshold['score'])} keeps {share(threshold['keeps_relevant'])} of the relevant"
        f" candidates and drops {share(threshold['drops_all'])} of all."
    )
