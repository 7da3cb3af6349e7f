"""Qrels and run files: both formats in, exact bytes out, and one clear sentence for what is malformed."""

import numpy as np
import pytest
import pytrec_eval

from actors.evaluation.trec import format_run, parse_qrels, parse_run, read_qrels, write_qrels
from configs.errors import UserError


def test_beir_qrels_are_read_with_and_without_their_header():
    wanted = {"q1": {"p1": 1, "p2": 0}, "q2": {"p1": 2}}
    rows = b"q1\tp1\t1\nq1\tp2\t0\nq2\tp1\t2\n"
    assert parse_qrels(b"query-id\tcorpus-id\tscore\n" + rows, "qrels.tsv") == wanted
    assert parse_qrels(rows, "qrels.tsv") == wanted


def test_beir_ids_may_hold_blanks():
    assert parse_qrels(b"query-id\tcorpus-id\tscore\nwhat is it\tAlbert Einstein\t1\n", "q") == {"what is it": {"Albert Einstein": 1}}


@pytest.mark.parametrize("separator", [b"\t", b" "])
def test_trec_qrels_are_read_with_tabs_or_blanks(separator):
    lines = separator.join([b"q1", b"0", b"p1", b"3"]) + b"\n" + separator.join([b"q1", b"0", b"p2", b"-1"]) + b"\r\n\n"
    assert parse_qrels(lines, "qrels.txt") == {"q1": {"p1": 3, "p2": -1}}


def test_qrels_survive_writing_and_reading(tmp_path):
    qrels = {"q1": {"p ä": 1, "p2": 0}, "q2": {"p1": 2}}
    path = tmp_path / "qrels.tsv"
    path.write_bytes(write_qrels(qrels))
    assert read_qrels(path) == qrels


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"q1\tp1\t1\nq1\tp2\tyes\n", "my.tsv, line 2: the grade 'yes' is not an integer"),
        (b"q1\tp1\t1\nq1\tp2\t1.5\n", "my.tsv, line 2: the grade '1.5' is not an integer"),
        (b"q1\tp1\t1\n\nq1 p2\n", "my.tsv, line 3: 2 columns where 3 are expected"),
        (b"q1 0 p1 1\nq1\tp2\t1\n", "my.tsv, line 2: 3 columns where 4 are expected"),
        (b"a\tb\tc\td\te\n", "my.tsv, line 1: 5 columns where 3 "),
        (b"q1\t\t1\n", "my.tsv, line 1: an id is empty"),
        (b"q1\tp1\t1\nq1\tp1\t2\n", "my.tsv, line 2: passage 'p1' already has another grade for query 'q1'"),
        (b"q1\tp1\t1\n\x1f\x8b\x08\n", "my.tsv, line 2: not UTF-8"),
        (b"query-id\tcorpus-id\tscore\n", "my.tsv holds no judgement"),
        (b"", "my.tsv holds no judgement"),
        (b"q1\tp1\t0\n", "my.tsv judges no passage relevant"),
    ],
)
def test_malformed_qrels_are_refused_by_file_and_line(data, sentence):
    with pytest.raises(UserError) as caught:
        parse_qrels(data, "my.tsv")
    assert sentence in str(caught.value)


def test_a_run_has_the_six_columns_and_survives_reading():
    data = format_run({"q1": [("b", 0.5), ("a", 0.25)], "q2": [("c", -3.0)]}, "raytrieve")
    assert data == b"q1 Q0 b 1 0.5 raytrieve\nq1 Q0 a 2 0.25 raytrieve\nq2 Q0 c 1 -3.0 raytrieve\n"
    assert parse_run(data, "run") == {"q1": [("b", 0.5), ("a", 0.25)], "q2": [("c", -3.0)]}


@pytest.mark.parametrize(
    "scores",
    [
        [0.7, 0.7, 0.7, 0.7],
        [0.7 + 1e-12, 0.7, 0.7 - 1e-12, 0.1],
        [0.0, 0.0, -0.0, 0.0],
        [0.1, 0.9, 0.9, 0.2],
        [-5.0, -5.0, -5.0000001, -9.0],
    ],
)
def test_trec_eval_keeps_our_order_where_scores_are_tied(scores):
    passages = ["b", "d", "a", "c"]
    run = parse_run(format_run({"q": list(zip(passages, scores, strict=True))}, "t"), "run")
    assert [passage for passage, _ in run["q"]] == passages
    for rank, passage in enumerate(passages, start=1):
        found = pytrec_eval.RelevanceEvaluator({"q": {passage: 1}}, {"recip_rank"}).evaluate({"q": dict(run["q"])})
        assert found["q"]["recip_rank"] == 1 / rank


def test_scores_that_already_decrease_are_written_unchanged():
    scores = np.sort(np.random.default_rng(0).normal(size=50).astype(np.float32))[::-1]
    run = parse_run(format_run({"q": [(f"p{row}", float(score)) for row, score in enumerate(scores)]}, "t"), "run")
    assert [score for _, score in run["q"]] == scores.tolist()


def test_equal_scores_of_a_foreign_run_are_ordered_as_trec_eval_does():
    run = parse_run(b"q Q0 a 1 0.5 t\nq Q0 c 2 0.5 t\nq Q0 b 3 0.9 t\n", "run")["q"]
    assert [passage for passage, _ in run] == ["b", "c", "a"]
    found = pytrec_eval.RelevanceEvaluator({"q": {"c": 1}}, {"recip_rank"}).evaluate({"q": dict(run)})
    assert found["q"]["recip_rank"] == 0.5


@pytest.mark.parametrize(
    ("rankings", "tag"),
    [({"q 1": [("p", 1.0)]}, "t"), ({"q": [("p\t1", 1.0)]}, "t"), ({"q": [("", 1.0)]}, "t"), ({"q": [("p", 1.0)]}, "a b")],
)
def test_ids_that_a_run_cannot_carry_are_refused(rankings, tag):
    with pytest.raises(UserError, match="white space"):
        format_run(rankings, tag)


def test_a_score_that_is_no_number_is_never_written():
    with pytest.raises(ValueError, match="'q'"):
        format_run({"q": [("p", float("nan"))]}, "t")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"q Q0 a 1 0.5 t\nq Q0 b 2 0.4\n", "run.txt, line 2: 5 columns"),
        (b"q Q0 a 1 high t\n", "run.txt, line 1: the score 'high'"),
        (b"q Q0 a 1 inf t\n", "run.txt, line 1: the score 'inf'"),
        (b"q Q0 a 1 0.5 t\nq Q0 a 2 0.4 t\n", "run.txt, line 2: passage 'a' is listed twice"),
    ],
)
def test_malformed_runs_are_refused_by_file_and_line(data, sentence):
    with pytest.raises(UserError) as caught:
        parse_run(data, "run.txt")
    assert sentence in str(caught.value)
