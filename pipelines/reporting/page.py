"""The report document to one self-contained HTML page.

In: the document of `document.report_json`. Out: HTML text, every string from the data escaped. Knows neither the run nor the store.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.reporting import findings, formats, plots
from pipelines.reporting.drawing import Plot, to_svg

Document = dict[str, Any]
FILTERS: dict[str, Callable[..., str]] = {
    "value": formats.value,
    "signed": formats.signed,
    "share": formats.share,
    "whole": formats.whole,
    "short": formats.short,
    "size": formats.size,
    "duration": formats.duration,
    "measure": formats.measure_name,
}


def render_page(document: Document) -> str:
    """report.html: figures as inline SVG, no script, no outside resource."""
    return _render(
        "page.html.jinja",
        report=document,
        tiles=list(_tiles(document)),
        quality=list(_quality_figures(document)),
        scores=list(_score_figures(document)),
        work=_figure(plots.plot_stages(document), findings.stages_caption(document)) if document["stages"] else None,
        measures=_measure_table(document["metrics"]),
        retrievers=_retriever_table(document),
        config=yaml.safe_dump(document["config"], sort_keys=False, allow_unicode=True),
    )


def render_summary(document: Document, uri: str | None) -> str:
    """A small table for a notebook: the tiles, and where the report lies."""
    return _render("summary.html.jinja", report=document, tiles=list(_tiles(document)), uri=uri)


def _render(template: str, **values: Any) -> str:
    # Autoescape is on whatever the template's name: ids and reasons come from the user's data.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    return environment.get_template(template).render(values)


def _figure(plot: Plot, caption: str) -> dict[str, str]:
    # The one text that is not escaped: matplotlib has escaped the names in it.
    return {"svg": Markup(to_svg(plot)), "caption": caption}


def _quality_figures(document: Document) -> Iterator[dict[str, str]]:
    judged = document["judged"]
    if not judged:
        return
    about = f"Means over {formats.plural(judged['queries'], 'judged query', 'judged queries')}."
    if judged["unanswered"]:
        about += f" {judged['unanswered']:,} of them had no result and count 0."
    yield _figure(plots.plot_metrics(document), about)
    if document["per_query"]:
        name = formats.measure_name(document["per_query"]["measure"])
        yield _figure(plots.plot_gains(document), f"{name} of each query after reranking, less its {name} before.")


def _score_figures(document: Document) -> Iterator[dict[str, str]]:
    for which, scores in document["score_distribution"].items():
        if scores:
            yield _figure(plots.plot_scores(document, which), findings.scores_caption(document, which))


def _tiles(document: Document) -> Iterator[dict[str, str]]:
    measure = findings.headline_measure(document)
    if measure is None:
        yield _tile("measures", formats.DASH, "no qrels were given")
    else:
        yield _measure_tile(document, measure)
        if "recall_at_100" in document["metrics"]["retrieved"] and measure != "recall_at_100":
            yield _measure_tile(document, "recall_at_100")
    yield _tile("passages", formats.whole(document["passages"]), f"index version {document['version']}")
    yield _tile("queries", formats.whole(document["queries"]), _judged_text(document))
    yield _tile("wall time", formats.duration(document["wall_seconds"]), _resumed_text(document))


def _tile(label: str, figure: str, detail: str, before: str = "") -> dict[str, str]:
    return {"label": label, "figure": figure, "detail": detail, "before": before}


def _measure_tile(document: Document, measure: str) -> dict[str, str]:
    name, before, after = formats.measure_name(measure), document["metrics"]["retrieved"], document["metrics"]["reranked"]
    if not after:
        return _tile(name, formats.value(before[measure]), "retrieval alone")
    if abs(after[measure] - before[measure]) < findings.WITHIN:
        return _tile(name, formats.value(after[measure]), "the same before reranking")
    detail = findings.interval_text(document["gain"].get(measure)) or "after reranking"
    return _tile(name, formats.value(after[measure]), detail, before=formats.value(before[measure]))


def _judged_text(document: Document) -> str:
    return f"{document['judged']['queries']:,} judged" if document["judged"] else "none judged"


def _resumed_text(document: Document) -> str:
    resumed = sum(stage["units_resumed"] for stage in document["stages"])
    return f"{formats.plural(resumed, 'unit')} resumed" if resumed else f"{formats.plural(len(document['stages']), 'stage')}"


def _retriever_table(document: Document) -> dict[str, Any] | None:
    """The main measures of each retriever alone and of all together."""
    alone = document["retrievers"]
    if not alone:
        return None
    fused = document["metrics"]["retrieved"]
    names = [name for name in plots.SHOWN if name in fused]
    rows = [{"name": name, "cells": [means[key] for key in names]} for name, means in {**alone, "fused": fused}.items()]
    return {"names": names, "rows": rows, "fusion": document["config"]["search"]["fusion"]}


def _measure_table(metrics: dict[str, dict[str, float] | None]) -> dict[str, Any] | None:
    before, after = metrics["retrieved"], metrics["reranked"]
    if not before:
        return None
    cuts = sorted({int(name.partition("_at_")[2]) for name in before if "_at_" in name})
    kinds = list(dict.fromkeys(name.partition("_at_")[0] for name in before))

    def cell(name: str) -> dict[str, float | None]:
        return {"before": before.get(name), "after": after.get(name) if after else None}

    rows = [{"name": formats.measure_name(kind), "cells": [cell(f"{kind}_at_{cut}") for cut in cuts] + [cell(kind)]} for kind in kinds]
    return {"cuts": cuts, "rows": rows, "reranked": bool(after)}
