"""Qrels that do not belong to the data are one clear sentence, not a low measure."""

import pytest

from actors.evaluation.checks import LOOKUP_IDS, check_ids, check_passage_ids, check_query_ids
from configs.errors import UserError

QRELS = {f"q{row}": {f"p{row}": 1} for row in range(5)}


def test_judged_queries_that_the_run_lacks_are_counted():
    assert check_ids(QRELS, {"q0", "q1", "q2", "other"}, "qrels.tsv") == 2
    assert check_ids(QRELS, set(QRELS), "qrels.tsv") == 0


def test_a_run_without_any_judged_query_is_refused():
    with pytest.raises(UserError, match=r"qrels.tsv: none of its 5 judged queries .*'q0'.* is among the 1 queries of the run .*'x'"):
        check_ids(QRELS, {"x"}, "qrels.tsv")


def test_judgements_of_unknown_queries_give_the_count_and_three_examples():
    with pytest.raises(UserError) as caught:
        check_query_ids(QRELS, {"q0"}, "qrels.tsv")
    sentence = str(caught.value)
    assert sentence.startswith("qrels.tsv: 4 of 5 judged query ids are not in the queries file (such as 'q1', 'q2', 'q3')")
    assert "'q4'" not in sentence and "\n" not in sentence
    check_query_ids(QRELS, {*QRELS, "unjudged"}, "qrels.tsv")


def test_judgements_of_unknown_passages_give_the_count_and_examples():
    with pytest.raises(UserError, match=r"qrels.tsv: 2 of 5 judged passage ids are not in the corpus \(such as 'p0', 'p4'\)"):
        check_passage_ids(QRELS, {"p1", "p2", "p3"}, "qrels.tsv")
    check_passage_ids(QRELS, {f"p{row}" for row in range(9)}, "qrels.tsv")


def test_a_look_up_is_asked_for_every_passage_in_bounded_parts():
    qrels = {"q": {f"p{row:06d}": 1 for row in range(2 * LOOKUP_IDS + 1)}}
    sizes = []

    def known(ids: list[str]) -> set[str]:
        sizes.append(len(ids))
        return set(ids) - {"p020000"}

    with pytest.raises(UserError, match="1 of 20,001 judged passage ids"):
        check_passage_ids(qrels, known, "qrels.tsv")
    assert sizes == [LOOKUP_IDS, LOOKUP_IDS, 1]
