"""What the drivers tell the report: plain frozen values, filled once at the end of a run.

In: nothing. Out: the argument of `document.report_json`. Knows neither Ray, nor torch, nor the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.evaluation.bootstrap import Interval
from actors.evaluation.measures import Measures


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What one stage did in this run. Resumed units are counted, their rows and tokens are not: rates are of this run's work."""

    name: str
    seconds: float
    units: int
    """Units of the stage, those taken over from an earlier run included."""
    units_resumed: int
    rows: int
    """Rows (passages, queries or pairs) worked on in this run."""
    tokens: int
    """Tokens without padding; 0 where the stage has none."""
    padded_tokens: int
    """Tokens the device saw, padding included; 0 where the stage has none."""
    truncated: int
    """Texts cut at the maximum length."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """One segment of the index version."""

    segment: str
    kind: str
    """FAISS kind, such as flat or ivf_sq8."""
    rows: int
    bytes: int
    recall_k: int
    """The k of `recall`."""
    recall: float | None
    """Recall against exact search on a sample, 0 to 1; none where it was not measured."""


@dataclass(frozen=True, slots=True)
class RejectFacts:
    """Rows of one input that were refused."""

    total_rows: int
    """Rows read, the rejected ones included."""
    rejected: int
    by_reason: Mapping[str, int]
    examples: tuple[Mapping[str, Any], ...] = ()
    """A few rejects as flat mappings (source, row, reason, id). No text of passages."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreFacts:
    """The scores of one ranking of all queries."""

    scores: np.ndarray
    """[queries, k] float, best first, NaN where a query has fewer results."""
    relevant: np.ndarray | None = None
    """[n] float: the scores, among those, of passages judged relevant; none without qrels."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportFacts:
    """Everything that report.json and report.html tell."""

    name: str
    run: str
    version: int
    """Index version that was searched."""
    created: str
    """ISO 8601 time."""
    stages: tuple[StageFacts, ...]
    segments: tuple[SegmentFacts, ...]
    rejects: Mapping[str, RejectFacts]
    """By input: corpus, queries."""
    queries: int
    passages: int
    config: Mapping[str, Any]
    """The resolved config. Must hold no secrets: the page shows it."""
    environment: Mapping[str, str]
    """Versions and machine."""
    retrieved: Measures | None = None
    """Of the candidates; none without qrels."""
    reranked: Measures | None = None
    """Of the rankings; none without qrels or without a reranker."""
    retrievers: Mapping[str, Measures] = field(default_factory=dict)
    """Of each retriever alone, where the candidates are several retrievers' fused; none without qrels."""
    gain: Mapping[str, Interval] = field(default_factory=dict)
    """By measure: reranked over retrieved."""
    retrieval: ScoreFacts | None = None
    """Similarities of the candidates."""
    rerank: ScoreFacts | None = None
    """Scores of the reranker."""
    notes: tuple[str, ...] = ()
    """Sentences worth telling, such as judged queries that had no result."""
    wall_seconds: float | None = None
    """Wall time of the run; none takes the sum of the stages, which is too much where stages overlap."""
