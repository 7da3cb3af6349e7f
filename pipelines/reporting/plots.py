"""The figures of the report, each from the report document alone.

In: the document of `document.report_json`. Out: matplotlib figures whose titles say the finding. Knows neither HTML nor the run.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from pipelines.reporting import findings
from pipelines.reporting.drawing import AFTER, BEFORE, DOWN, GRID, INK, MUTED, SOFT, UP, Plot, drawn, grid
from pipelines.reporting.formats import duration, measure_name, share, short, signed, value

Document = dict[str, Any]
WIDTH = 9.6
SHOWN = ("ndcg_at_10", "mrr_at_10", "map_at_100", "precision_at_1", "recall_at_10", "recall_at_100")
LOOSE = 1.12
"""Room past the longest bar for its label."""


def plot_metrics(document: Document) -> Plot:
    """The main measures, before and after reranking."""
    before, after = document["metrics"]["retrieved"], document["metrics"]["reranked"]
    names = [name for name in SHOWN if name in before] or list(before)[: len(SHOWN)]
    columns = [(before, BEFORE, "retrieved")] + ([(after, AFTER, "reranked")] if after else [])
    width = 0.76 / max(2, len(columns))
    with drawn(findings.metrics_finding(document), WIDTH, 3.3) as figure:
        axes = figure.add_subplot()
        for column, (means, colour, label) in enumerate(columns):
            at = np.arange(len(names)) + (column - (len(columns) - 1) / 2) * (width + 0.02)
            heights = [means[name] for name in names]
            bars = axes.bar(at, heights, width, color=colour if after else AFTER, label=label)
            axes.bar_label(bars, labels=[value(height) for height in heights], padding=2, fontsize=8.5, color=INK)
        axes.set_xticks(range(len(names)), [measure_name(name) for name in names], fontsize=10, color=INK)
        axes.set_ylim(0, 1.06)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
        grid(axes, "y")
        if after:
            _legend(axes)
    return figure


def plot_gains(document: Document) -> Plot:
    """The change of the headline measure per query, sorted."""
    gains = document["per_query"]
    curve = np.array(gains["curve"], dtype=np.float64)
    queries = gains["improved"] + gains["hurt"] + gains["unchanged"]
    edges = np.linspace(0, queries, curve.size + 1)
    with drawn(findings.gains_finding(document), WIDTH, 3.0) as figure:
        axes = figure.add_subplot()
        axes.stairs(np.maximum(curve, 0), edges, fill=True, color=UP)
        axes.stairs(np.minimum(curve, 0), edges, fill=True, color=DOWN)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        extent = max(0.05, float(np.abs(curve).max())) * LOOSE
        axes.set_ylim(-extent, extent)
        axes.set_xlim(0, queries)
        axes.set_xlabel("queries, from most improved to most hurt")
        axes.set_ylabel(f"change of {measure_name(gains['measure'])}")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: signed(number).removesuffix("0")))
        grid(axes, "y")
        _corner(axes, (0.01, 0.06), f"improved {gains['improved']:,} ({share(gains['improved'] / queries)})", UP)
        _corner(axes, (0.99, 0.94), f"hurt {gains['hurt']:,} ({share(gains['hurt'] / queries)})", DOWN)
    return figure


def plot_scores(document: Document, which: str) -> Plot:
    """Distribution of the scores of all candidates, of rank 1 and of relevant ones; `which` is retrieved or reranked."""
    scores = document["score_distribution"][which]
    edges = np.array(scores["histogram"]["edges"])
    with drawn(findings.scores_finding(document, which), WIDTH, 3.0) as figure:
        axes = figure.add_subplot()
        for group, label, colour in (("all", "all candidates", BEFORE), ("first", "rank 1", AFTER), ("relevant", "judged relevant", UP)):
            counts = scores["histogram"][group]
            if counts is None or not sum(counts):
                continue
            shares = np.array(counts) / sum(counts)
            look: dict[str, Any] = {"fill": True, "color": SOFT} if group == "all" else {"color": colour, "linewidth": 1.8}
            summary = scores if group == "all" else scores[group]
            axes.stairs(shares, edges, label=f"{label} (median {value(summary['p50'])})", **look)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.set_xlim(edges[0], edges[-1])
        if scores["threshold"]:
            _mark(axes, scores["threshold"])
        similarity = "similarity" if findings.dense_alone(document) else "retrieval score"
        axes.set_xlabel(similarity if which == "retrieved" else "reranker score")
        axes.set_ylabel("share of the group")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{100 * number:g}%"))
        grid(axes, "y")
        _legend(axes)
    return figure


def plot_stages(document: Document) -> Plot:
    """Time, rows per second and padding waste of every stage."""
    stages = document["stages"]
    with drawn(findings.stages_finding(document), WIDTH, 1.2 + 0.42 * max(2, len(stages))) as figure:
        panels = figure.subplots(1, 3, sharey=True, width_ratios=(1.35, 1, 1))
        seconds = [stage["seconds"] for stage in stages]
        _bars(panels[0], "time", seconds, [duration(number) for number in seconds], AFTER)
        rates = [stage["rows_per_s"] for stage in stages]
        _dots(panels[1], "rows per second (log)", rates, [short(rate) for rate in rates])
        waste = [stage["padding_waste"] for stage in stages]
        _bars(
            panels[2], "padding, share of tokens", waste, [share(number) if number is not None else "no tokens" for number in waste], BEFORE
        )
        panels[0].set_yticks(range(len(stages)), [stage["name"] for stage in stages], fontsize=10, color=INK)
        panels[0].set_ylim(len(stages) - 0.45, -0.55)
    return figure


def _corner(axes: Axes, at: tuple[float, float], text: str, colour: str) -> None:
    sides = ("left", "bottom") if at[0] < 0.5 else ("right", "top")
    axes.text(*at, text, transform=axes.transAxes, ha=sides[0], va=sides[1], color=colour, fontweight="bold")


def _mark(axes: Axes, threshold: dict[str, float]) -> None:
    score, top = threshold["score"], axes.get_ylim()[1]
    axes.axvline(score, color=UP, linewidth=1, linestyle=(0, (4, 3)))
    left, right = axes.get_xlim()
    towards = "left" if score < (left + right) / 2 else "right"
    text = f" {value(score)} keeps {share(threshold['keeps_relevant'])} of the relevant "
    axes.text(score, top * 0.62, text, color=UP, fontsize=8.5, ha=towards, va="top")


def _legend(axes: Axes) -> None:
    # Above the axes, where it can not lie over the data.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handlelength=1.4, columnspacing=1.8)


def _bars(axes: Axes, title: str, values: list[float | None], labels: list[str], colour: str) -> None:
    lengths = [number or 0.0 for number in values]
    bars = axes.barh(range(len(values)), lengths, 0.62, color=colour)
    axes.bar_label(bars, labels=labels, padding=4, fontsize=9, color=INK)
    axes.set_xlim(0, max(lengths, default=0.0) * 1.3 or 1.0)
    _panel(axes, title)


def _dots(axes: Axes, title: str, values: list[float | None], labels: list[str]) -> None:
    known = [number for number in values if number]
    axes.set_xscale("log")
    axes.set_xlim(min(known, default=1.0) / 4, max(known, default=10.0) * 12)
    for row, (number, label) in enumerate(zip(values, labels, strict=True)):
        if number:
            axes.hlines(row, axes.get_xlim()[0], number, color=GRID, linewidth=2)
            axes.plot(number, row, "o", color=AFTER, markersize=7)
        axes.annotate(label, (number or axes.get_xlim()[0], row), (9, 0), textcoords="offset points", va="center", fontsize=9, color=INK)
    _panel(axes, title)


def _panel(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xticks([], [])
    axes.tick_params(axis="x", which="both", labelbottom=False)
    axes.spines["bottom"].set_visible(False)
