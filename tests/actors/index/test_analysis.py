"""What a word is, in languages with blanks and without."""
# ruff: noqa: RUF001 - Chinese punctuation and full-width letters are what is tested

import numpy as np
import pytest

from actors.index.analysis import Analyzer, split_words, term_number


def terms(analyzer: Analyzer, text: str) -> dict[int, int]:
    rows = analyzer.count([text])
    return dict(zip(rows.terms.tolist(), rows.weights.tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The giant panda's IL-6, twice.", ["the", "giant", "panda", "s", "il", "6", "twice"]),
        ("大熊猫吃竹子", ["大熊", "熊猫", "猫吃", "吃竹", "竹子"]),
        ("水 is H2O，即水分子。", ["水", "is", "h2o", "即水", "水分", "分子"]),
        ("パンダは竹を食べる", ["パン", "ンダ", "ダは", "は竹", "竹を", "を食", "食べ", "べる"]),
        ("ＧＩＡＮＴ ﬁsh Ⅳ Straße", ["giant", "fish", "iv", "straße"]),
        ("𠀀𠀁𠀂", ["𠀀𠀁", "𠀁𠀂"]),
        ("!? _ 。", []),
    ],
)
def test_words_are_runs_of_letters_and_chinese_and_japanese_are_pairs_of_characters(text, words):
    assert split_words(text) == words


def test_english_drops_stop_words_and_counts_inflections_together():
    assert terms(Analyzer("english"), "The panda is eating; pandas ate and eat.") == {
        term_number("panda"): 2,
        term_number("eat"): 2,
        term_number("ate"): 1,
    }


def test_german_has_its_own_stems_and_none_keeps_every_word():
    assert terms(Analyzer("german"), "die Häuser und das Haus") == {term_number("haus"): 2}
    assert terms(Analyzer("none"), "the pandas, the panda") == {term_number("the"): 2, term_number("pandas"): 1, term_number("panda"): 1}


def test_terms_do_not_depend_on_what_was_counted_before():
    texts = [f"word{i} giant pandas 大熊猫 {i % 7}" for i in range(300)]
    used = Analyzer("english")
    used.count(texts[::-1])
    whole, alone = used.count(texts), [Analyzer("english").count([text]) for text in texts]
    for row, one in enumerate(alone):
        part = slice(whole.starts[row], whole.starts[row + 1])
        assert dict(zip(whole.terms[part], whole.weights[part], strict=True)) == dict(zip(one.terms, one.weights, strict=True))


def test_a_full_vocabulary_starts_afresh_without_changing_terms(monkeypatch):
    from actors.index import analysis

    monkeypatch.setattr(analysis, "_VOCABULARY", 10)
    analyzer = Analyzer("english")
    first = [terms(analyzer, f"giant panda number{i}") for i in range(30)]
    assert first == [terms(Analyzer("english"), f"giant panda number{i}") for i in range(30)]


def test_texts_without_words_are_rows_without_terms():
    rows = Analyzer("english").count(["", "the and of", "panda", "…"])
    assert np.diff(rows.starts).tolist() == [0, 0, 1, 0]
    assert len(Analyzer("none").count([])) == 0
