"""What `pipelines.run` gives back: the figures of one run, to look at in a notebook or to save.

In: the document of `document.report_json`. Out: JSON, HTML, figures. Knows neither Ray nor the store.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from configs.errors import UserError
from pipelines.reporting import plots
from pipelines.reporting.document import report_json
from pipelines.reporting.facts import ReportFacts
from pipelines.reporting.page import render_page, render_summary


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one run."""

    document: dict[str, Any]
    """All of report.json."""
    uri: str | None = None
    """Where the run's report lies; none where it was not written."""

    @classmethod
    def of(cls, facts: ReportFacts, uri: str | None = None) -> "Report":
        """The report of what the drivers found."""
        return cls(report_json(facts), uri)

    @classmethod
    def from_json(cls, text: str | bytes, uri: str | None = None) -> "Report":
        """The report of a report.json."""
        return cls(json.loads(text), uri)

    @property
    def metrics(self) -> dict[str, dict[str, float] | None]:
        """`metrics["retrieved"]["ndcg_at_10"]`, and the same under "reranked"; None without qrels or reranker."""
        metrics: dict[str, dict[str, float] | None] = self.document["metrics"]
        return metrics

    @property
    def retrievers(self) -> dict[str, dict[str, float]]:
        """`retrievers["bm25"]["ndcg_at_10"]`: what each of several fused retrievers reaches alone; empty where one does it all."""
        retrievers: dict[str, dict[str, float]] = self.document["retrievers"]
        return retrievers

    def to_json(self) -> str:
        """report.json: indented, without NaN."""
        return json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_html(self) -> str:
        """report.html: one page without outside resources."""
        return render_page(self.document)

    def save_html(self, path: str | Path) -> Path:
        """Write report.html to a local path and return it."""
        target = Path(path)
        target.write_text(self.to_html(), encoding="utf-8")
        return target

    def plot_metrics(self) -> Figure:
        """Measures before and after reranking. Raises UserError without qrels."""
        self._require(self.metrics["retrieved"], "measures to plot: set queries.qrels")
        return plots.plot_metrics(self.document)

    def plot_gains(self) -> Figure:
        """Change per query through reranking. Raises UserError without qrels or without a reranker."""
        self._require(self.document["per_query"], "gains to plot: they need queries.qrels and rerank")
        return plots.plot_gains(self.document)

    def plot_scores(self, which: str = "retrieved") -> Figure:
        """Score distribution of "retrieved" or "reranked". Raises UserError where the run has no such scores."""
        self._require(
            self.document["score_distribution"].get(which), f"{which!r} scores to plot: choose 'retrieved', or 'reranked' after a rerank"
        )
        return plots.plot_scores(self.document, which)

    def plot_stages(self) -> Figure:
        """Time, throughput and padding waste per stage. Raises UserError where the run recorded no stage."""
        self._require(self.document["stages"], "stages to plot")
        return plots.plot_stages(self.document)

    def _require(self, part: object, what: str) -> None:
        if not part:
            raise UserError(f"run {self.document['run']} has no {what}")

    def _repr_html_(self) -> str:
        return render_summary(self.document, self.uri)
