"""BM25: the library's own scores, BEIR's published quality, and the same bits for any cut into segments."""
# ruff: noqa: RUF001 - Chinese punctuation and full-width letters are what is tested

import unicodedata
from pathlib import Path

import bm25s
import numpy as np
import pytest
import Stemmer

from actors.index.analysis import Analyzer
from actors.index.hits import Hits
from actors.index.lexical import LENGTHS, CollectionStatistics, open_lexical
from actors.index.segment import Segment
from configs.schema import Bm25Config
from tests import scifact

BM25 = Bm25Config()


def build(folder: Path, ids: list[str], texts: list[str], number: int = 0, language: str = "english") -> Segment:
    """A segment of a few texts; its vectors are of no account."""
    vectors = np.eye(4, dtype=np.float16)[np.arange(len(ids)) % 4]
    return scifact.build_segment(folder, scifact.SciFact(ids, texts, vectors, [], [], vectors, {}), number, language)


@pytest.fixture(scope="module")
def corpus() -> scifact.SciFact:
    return scifact.load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segments")


@pytest.fixture(scope="module")
def whole(folder: Path, corpus: scifact.SciFact) -> Hits:
    return scifact.search(folder, corpus, 1)["bm25"]


def test_scifact_reaches_beirs_published_quality(whole, corpus):
    measures = corpus.measure(whole)
    assert measures["ndcg_at_10"] == pytest.approx(0.679, abs=0.005)
    assert measures["recall_at_100"] == pytest.approx(0.925, abs=0.01)


@pytest.mark.parametrize("segments", [2, 8])
def test_any_number_of_segments_gives_the_same_ids_and_the_same_bits(segments, whole, folder, corpus):
    several = scifact.search(folder, corpus, segments)["bm25"]
    assert (several.ids == whole.ids).all()
    assert several.scores.tobytes() == whole.scores.tobytes()


def test_deleted_passages_leave_scores_as_if_they_had_never_been(folder, corpus):
    deleted = frozenset(range(0, len(corpus.ids), 3))
    smaller = corpus.take([row for row in range(len(corpus.ids)) if row not in deleted])
    after, never = scifact.search(folder, corpus, 2, deleted=deleted)["bm25"], scifact.search(folder, smaller, 1)["bm25"]
    assert (after.ids == never.ids).all()
    assert after.scores.tobytes() == never.scores.tobytes()


def test_scores_are_those_of_the_library(whole, corpus):
    words = bm25s.tokenization.Tokenizer(splitter=r"[^\W_]+", stopwords="english", stemmer=Stemmer.Stemmer("english"))
    library = bm25s.BM25(method="lucene", k1=BM25.k1, b=BM25.b)
    texts, questions = ([unicodedata.normalize("NFKC", text) for text in some] for some in (corpus.texts, corpus.queries[:50]))
    library.index(words.tokenize(texts, return_as="tuple", show_progress=False), show_progress=False)
    place = {name: row for row, name in enumerate(corpus.ids)}
    for row, tokens in enumerate(words.tokenize(questions, update_vocab=False, show_progress=False)):
        scores = library.get_scores_from_ids(tokens)
        ours, theirs = whole.scores[row], scores[[place[name] for name in whole.ids[row]]]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        assert ours[-1] >= np.sort(scores)[-len(ours)] * (1 - 1e-5)


def test_chinese_questions_find_their_passages(tmp_path):
    texts = [
        "大熊猫是中国特有的熊科动物，主要吃竹子。",
        "长江是亚洲第一长河，流经上海入海。",
        "巴黎是法国的首都和最大城市。",
        "Pandas eat bamboo.",
    ]
    segment = build(tmp_path / "zh", ["panda", "river", "paris", "english"], texts, language="none")
    statistics = CollectionStatistics.of_segment(tmp_path / "zh")
    questions = Analyzer("none").count(["哪种动物吃竹子？", "亚洲最长的河流是什么？", "法国首都在哪里？", "what do pandas eat"])
    hits = open_lexical(tmp_path / "zh", segment, statistics, BM25.k1, BM25.b).search(questions, 4)
    assert hits.ids[:, 0].tolist() == ["panda", "river", "paris", "english"]


def test_a_passage_without_terms_is_never_a_hit(tmp_path):
    segment = build(tmp_path / "s", ["a", "b", "c"], ["the", "panda", "…"])
    statistics = CollectionStatistics.of_segment(tmp_path / "s")
    assert (statistics.passages, statistics.tokens) == (3, 1)
    hits = open_lexical(tmp_path / "s", segment, statistics, BM25.k1, BM25.b).search(Analyzer("english").count(["the panda"]), 3)
    assert hits.ids.tolist() == [["b", "", ""]]


def test_damaged_or_foreign_files_are_named(tmp_path):
    segment = build(tmp_path / "s", ["a", "b", "c"], ["red panda", "panda", "bear"])
    statistics = CollectionStatistics.of_segment(tmp_path / "s")
    np.save(tmp_path / "s" / LENGTHS, np.ones(2, np.int32))
    with pytest.raises(ValueError, match="does not fit together: 3 passages, 2 of them"):
        open_lexical(tmp_path / "s", segment, statistics, BM25.k1, BM25.b)
    (tmp_path / "statistics.arrow").write_bytes(b"no arrow")
    with pytest.raises(ValueError, match=r"statistics\.arrow is damaged"):
        CollectionStatistics.open(tmp_path / "statistics.arrow")


def test_statistics_merge_the_same_however_they_are_grouped(tmp_path, monkeypatch):
    from actors.index import lexical

    texts = ["red panda", "giant panda bear", "polar bear", "red fox", "panda panda", "bear"]
    for number in range(3):
        build(tmp_path / str(number), [str(i) for i in range(2)], texts[2 * number : 2 * number + 2], number)
    parts = [CollectionStatistics.of_segment(tmp_path / str(number)) for number in range(3)]
    whole = CollectionStatistics.merge(parts)
    monkeypatch.setattr(lexical, "_PENDING", 1)
    stepwise = CollectionStatistics.merge(reversed(parts))
    assert (whole.passages, whole.tokens) == (stepwise.passages, stepwise.tokens) == (6, 12)
    assert whole.terms.tolist() == stepwise.terms.tolist() and whole.frequencies.tolist() == stepwise.frequencies.tolist()
    assert sorted(whole.frequencies.tolist()) == [1, 1, 1, 2, 3, 3]
