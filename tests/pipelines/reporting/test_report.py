"""The page and the Python report: self-contained, escaped, and whole whatever is missing."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from actors.evaluation.bootstrap import measure_gains
from actors.evaluation.measures import evaluate
from configs.errors import UserError
from pipelines.reporting.facts import RejectFacts, ReportFacts, ScoreFacts, SegmentFacts, StageFacts
from pipelines.reporting.report import Report

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br", "use", "path", "rect", "image", "line"}


class Page(HTMLParser):
    """Reads a page: its tags and its text, and refuses tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def facts() -> ReportFacts:
    random = np.random.default_rng(0)
    queries = [EVIL, *(f"q{row}" for row in range(20))]
    qrels = {query: {"right": 1} for query in queries}
    near, far = [("right", 0.9), ("x", 0.8)], [("x", 0.9), ("right", 0.8)]
    before = evaluate({query: far if row % 3 == 0 else near for row, query in enumerate(queries)}, qrels, (1, 10, 100))
    after = evaluate({query: far if row % 7 == 1 else near for row, query in enumerate(queries)}, qrels, (1, 10, 100))
    return ReportFacts(
        name="scifact",
        run="scifact-1",
        version=7,
        created="2026-11-21T10:00:00+00:00",
        stages=(StageFacts("embed $x_1$", 60.0, 4, 1, 300, 9_000, 10_000, 2), StageFacts("index", 2.0, 1, 0, 300, 0, 0, 0)),
        segments=(SegmentFacts("seg-1", "ivf_sq8", 300, 1_000_000, 100, 0.9871), SegmentFacts("seg-2", "flat", 5, 1_000, 100, None)),
        rejects={"corpus": RejectFacts(305, 5, {f"bad {EVIL}": 5}, ({"id": EVIL, "row": 3},)), "queries": RejectFacts(21, 0, {})},
        queries=21,
        passages=300,
        config={"name": "scifact", "s3": {"endpoint_url": "http://minio:9000"}, "note": EVIL},
        environment={"python": "3.11"},
        retrieved=before,
        reranked=after,
        gain=measure_gains(before, after, ("ndcg_at_10",), 200, 0.95, 0),
        retrieval=ScoreFacts(np.sort(random.normal(0.75, 0.05, (21, 10)))[:, ::-1], random.normal(0.8, 0.03, 21)),
        rerank=ScoreFacts(np.sort(random.normal(-4, 3, (21, 10)))[:, ::-1]),
        notes=(f"a note on {EVIL}",),
        wall_seconds=65.0,
    )


def test_the_page_tells_the_main_figures(facts):
    report = Report.of(facts)
    text = Page(report.to_html()).text
    before, after = report.metrics["retrieved"], report.metrics["reranked"]
    assert before is not None and after is not None
    for wanted in (f"{before['ndcg_at_10']:.3f}", f"{after['ndcg_at_10']:.3f}", "95% interval", "1 min 5 s", "0.9871 @100", "not measured"):
        assert wanted in text, wanted
    assert "Why are most similarities above 0.6?" in text
    assert text.count("keeps 95% of the relevant") == 1


def test_the_page_needs_nothing_from_outside_and_runs_no_script(facts):
    page = Page(Report.of(facts).to_html())
    assert page.tags.count("svg") == 5
    assert not {"script", "link", "iframe", "img", "object", "embed", "base"} & set(page.tags)
    outside = [(name, value) for name, value in page.attributes if re.search(r"//|javascript:|data:", value) or name.startswith("on")]
    assert outside == []
    assert "url(http" not in page.text and "@import" not in Report.of(facts).to_html()


def test_markup_in_ids_and_reasons_is_shown_and_not_run(facts):
    html = Report.of(facts).to_html()
    assert "<script" not in html
    # In the list of queries, the reasons, the examples, the note and the config.
    assert Page(html).text.count(EVIL) >= 5


def test_a_stage_name_with_dollar_signs_is_no_formula(facts):
    assert "embed $x_1$" in Page(Report.of(facts).to_html()).text


def test_a_run_without_qrels_says_so(facts):
    report = Report.of(replace(facts, retrieved=None, reranked=None, gain={}, retrieval=ScoreFacts(facts.retrieval.scores)))
    page = Page(report.to_html())
    assert "No qrels were given" in page.text and "none judged" in page.text
    assert page.tags.count("svg") == 3
    assert report.metrics == {"retrieved": None, "reranked": None}
    with pytest.raises(UserError, match=r"queries\.qrels"):
        report.plot_metrics()


def test_a_run_without_a_reranker_shows_the_retrieval_alone(facts):
    report = Report.of(replace(facts, reranked=None, gain={}, rerank=None))
    page = Page(report.to_html())
    assert "retrieval alone" in page.text and "Reranking" not in page.text and "Most improved" not in page.text
    assert page.tags.count("svg") == 3
    for plot in (report.plot_gains, lambda: report.plot_scores("reranked")):
        with pytest.raises(UserError, match="rerank"):
            plot()


def test_a_run_that_did_nothing_new_still_has_a_page(facts):
    idle = tuple(replace(stage, seconds=0.0, rows=0, tokens=0, padded_tokens=0) for stage in facts.stages)
    text = Page(Report.of(replace(facts, stages=idle)).to_html()).text
    assert "1 of 5 units were taken over" in text
    bare = replace(facts, stages=(), segments=(), rejects={}, notes=(), retrieval=None, rerank=None, environment={})
    assert "No stage was recorded" in Page(Report.of(bare).to_html()).text


def test_judged_queries_without_results_are_told(facts):
    measures = replace(facts.retrieved, unanswered=3)
    text = Page(Report.of(replace(facts, retrieved=measures, reranked=None, gain={}, rerank=None)).to_html()).text
    assert "3 of them had no result and count 0" in text


def test_a_loss_is_called_a_loss(facts):
    swapped = Report.of(replace(facts, retrieved=facts.reranked, reranked=facts.retrieved, gain={}))
    assert swapped.plot_metrics().get_suptitle().startswith("Reranking lowers nDCG@10 from")
    assert Report.of(facts).plot_metrics().get_suptitle().startswith("Reranking lifts nDCG@10 from")


def test_figures_say_their_finding_in_the_title(facts):
    report = Report.of(facts)
    gains = report.document["per_query"]
    assert report.plot_gains().get_suptitle().startswith(f"Reranking improved {gains['improved']} queries, hurt {gains['hurt']}")
    assert report.plot_stages().get_suptitle() == "Embed $x_1$ takes 97% of the 1 min 2 s of stage time"
    assert "98% of 210 scores" in report.plot_scores().get_suptitle()


def test_a_notebook_can_show_a_figure_and_the_report(facts):
    report = Report.of(facts, "s3://bucket/runs/<1>/report.html")
    assert report.plot_scores()._repr_png_().startswith(b"\x89PNG")
    summary = report._repr_html_()
    assert "s3://bucket/runs/&lt;1&gt;/report.html" in summary and f"{report.metrics['reranked']['ndcg_at_10']:.3f}" in summary


def test_a_report_is_drawn_again_from_its_json(facts, tmp_path):
    report = Report.of(facts)
    again = Report.from_json(report.to_json())
    assert again.document == report.document
    path = again.save_html(tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == report.to_html()


def test_the_report_is_made_without_ray_torch_or_a_display():
    code = "import sys; import pipelines.reporting.report; sys.exit(bool({'ray', 'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


def test_the_page_of_a_hybrid_shows_what_each_retriever_finds_alone_and_calls_no_score_a_similarity(facts):
    search = {"retrievers": ["dense", "bm25"], "fusion": "rrf"}
    report = Report.of(replace(facts, retrievers={"dense": facts.retrieved, "bm25": facts.reranked}, config={"search": search}))
    text = Page(report.to_html()).text
    assert "What each retriever finds alone, and all together (reciprocal rank fusion)" in text
    assert text.index("dense") < text.index("bm25") < text.index("fused") < text.index("Measures at every cut")
    assert report.retrievers["bm25"] == report.metrics["reranked"]
    assert "sums of weight / (60 + rank)" in text and "similarit" not in text.lower()
    assert "What each retriever" not in Page(Report.of(facts).to_html()).text
