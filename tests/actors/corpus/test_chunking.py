"""Documents to pieces: nothing lost, nothing too long, and an edit stays where it is."""

import random
import resource
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.corpus.chunking import DocumentCutter
from actors.models.text_tokenizer import TextTokenizer
from configs.errors import UserError

CHECKPOINTS = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
TOKENIZERS = {name: TextTokenizer(CHECKPOINTS / name) for name in ("tiny-bge-en", "tiny-bge-reranker")}  # WordPiece, SentencePiece
WORDS = "panda giant bear species endemic china large search index retrieval vector sparse dense embedding rerank score".split()
CHINESE = "检索系统把文档切成段落然后嵌入向量再建立索引最后重排序得到结果"
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF), max_size=40),
        st.text(CHINESE + "\u3002\uff01", max_size=200),
        st.lists(st.sampled_from([*WORDS, "e.g.", "3.5", "end.", "why?\n", "\r\n", "\n\n\n"]), max_size=120).map(" ".join),
    ),
    max_size=8,
).map("".join)


def words(text: str) -> int:
    """A count that needs no tokenizer: words, and two special tokens."""
    return len(text.split()) + 2


def counting(name: str) -> Callable[[str], int]:
    def count(text: str) -> int:
        tokens = TOKENIZERS[name].passages([text])
        return len(tokens.values) + tokens.truncated

    return count


def solid(text: str) -> str:
    return "".join(character for character in text if not character.isspace())


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(5, 25))).capitalize() + ". "


def paragraph(rng: random.Random) -> str:
    return "".join(sentence(rng) for _ in range(rng.randint(2, 8))).strip()


def changed(before: list[str], after: list[str]) -> int:
    return len(set(after) - set(before))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(TOKENIZERS)), title=st.text("panda bear\u6bb5", max_size=60), text=TEXTS)
@example(name="tiny-bge-en", title="a title", text="x" * 5000)
@example(name="tiny-bge-reranker", title="", text=" \n" * 500 + "panda" + "\n" * 500)
def test_pieces_hold_the_whole_text_in_order_and_none_is_over_the_budget(name, title, text):
    title, text = title if title.strip() else "", text if text.strip() else ""
    lead, pieces = DocumentCutter(counting(name), 64, 0, " ")(title, text)
    whole = text if lead else f"{title}{text}"
    assert solid("".join(pieces)) == solid(whole)
    assert all(counting(name)(f"{lead}{piece}") <= 64 for piece in pieces)
    assert all(piece.strip() for piece in pieces) and bool(pieces) is bool(solid(whole))


def test_a_short_document_is_one_piece_as_it_stands():
    assert DocumentCutter(words, 64, 8, " ")("A title", "Two lines\nof text.") == ("A title ", ["Two lines\nof text."])


def test_pieces_end_where_paragraphs_do_and_else_where_sentences_do():
    rng = random.Random(1)
    paragraphs = [paragraph(rng) for _ in range(40)]
    _, pieces = DocumentCutter(words, 150, 0, " ")("", "\n\n".join(paragraphs))
    ends = {text[-20:] for text in paragraphs}
    assert len(pieces) > 10 and sum(piece[-20:] in ends for piece in pieces) > 0.9 * len(pieces)
    _, pieces = DocumentCutter(words, 60, 0, " ")("", " ".join(paragraphs))
    assert len(pieces) > 30 and all(piece.endswith(".") for piece in pieces)


def test_chinese_is_cut_behind_its_full_stops():
    rng = random.Random(2)
    text = "".join("".join(rng.choices(CHINESE, k=rng.randint(5, 30))) + "\u3002" for _ in range(400))
    _, pieces = DocumentCutter(counting("tiny-bge-reranker"), 64, 0, " ")("", text)
    assert len(pieces) > 40 and "".join(pieces) == text
    assert all(piece.endswith("\u3002") for piece in pieces)


def test_a_piece_begins_with_the_sentences_at_the_end_of_the_one_before_it():
    text = " ".join(sentence(random.Random(3 + i)).strip() for i in range(100))
    _, pieces = DocumentCutter(words, 80, 30, " ")("", text)
    shared = [shared_words(before, after) for before, after in pairwise(pieces)]
    assert all(count <= 30 for count in shared)
    assert sum(count >= 5 for count in shared) > 0.8 * len(shared)
    assert all(words(piece) <= 80 for piece in pieces)
    rest = text
    for piece in pieces:  # with what is repeated taken out, the text is whole
        place = rest.find(piece[-40:])
        assert 0 <= place
        rest = rest[place + len(piece[-40:]) :]
    assert not rest.strip()


def shared_words(before: str, after: str) -> int:
    first, second = before.split(), after.split()
    return max((n for n in range(1, min(len(first), len(second))) if first[-n:] == second[:n]), default=0)


def test_the_title_stands_before_every_piece_and_is_counted_in_its_budget():
    text = "".join(sentence(random.Random(i)) for i in range(60))
    count = counting("tiny-bge-en")
    lead, pieces = DocumentCutter(count, 64, 0, ": ")("  giant panda bear ", text)
    assert lead == "giant panda bear: " and len(pieces) > 5
    assert all(count(lead + piece) <= 64 for piece in pieces)
    assert max(count(lead + piece) for piece in pieces) > 50


def test_a_title_that_leaves_too_little_room_is_cut_with_the_text_and_nothing_is_lost():
    title, text = " ".join(WORDS * 10), sentence(random.Random(5)) * 10
    lead, pieces = DocumentCutter(words, 64, 0, " ")(title, text)
    assert lead == "" and solid("".join(pieces)) == solid(title + text)
    assert all(words(piece) <= 64 for piece in pieces)


def test_a_title_without_text_is_a_document():
    assert DocumentCutter(words, 64, 0, " ")(" only a title ", "") == ("", ["only a title"])


def test_an_instruction_that_leaves_too_little_room_is_told():
    with pytest.raises(UserError, match=r"take 20 of the 32 tokens in corpus\.chunking\.tokens: raise it"):
        DocumentCutter(lambda text: words(text) + 18, 32, 0, " ")


@pytest.mark.parametrize("joint", ["\n\n", "\n", " "])
@pytest.mark.parametrize(("tokens", "overlap"), [(150, 0), (150, 20), (400, 0)])
def test_an_edited_paragraph_changes_a_few_pieces_around_it_and_no_others(joint, tokens, overlap):
    rng, cut, counts = random.Random(6), DocumentCutter(words, tokens, overlap, " "), []
    for _ in range(20):
        paragraphs = [paragraph(rng) for _ in range(60 * tokens // 75)]
        before = cut("a title", joint.join(paragraphs))[1]
        edited = list(paragraphs)
        edited[rng.randrange(20)] = paragraph(rng)  # near the beginning, so that all that follows could move
        after = cut("a title", joint.join(edited))[1]
        assert len(after) > 50
        counts.append(changed(before, after))
    assert 1 <= min(counts) and sum(counts) / len(counts) < 4.5 and max(counts) < 16


def test_the_same_sentence_over_and_over_makes_no_tiny_pieces():
    for seed in range(20):
        text = sentence(random.Random(seed)) * 2000
        _, pieces = DocumentCutter(words, 150, 0, " ")("", text)
        assert len(pieces) < 2 * words(text) / 150


@pytest.mark.parametrize("kind", ["paragraphs", "one line", "no sentence ends", "no blanks"])
def test_ten_megabytes_take_work_and_memory_in_proportion(kind):
    rng, size = random.Random(7), 10_000_000
    some = [paragraph(rng) for _ in range(2000)]
    joint = {"paragraphs": "\n\n", "one line": " "}.get(kind, " ")
    text = joint.join(rng.choices(some, k=size // 450))
    if kind == "no sentence ends":
        text = text.replace(".", "")
    if kind == "no blanks":
        text = text[: size // 5].replace(" ", "").replace(".", "").replace("\n", "")
    counted, largest = 0, 0

    def count(part: str) -> int:
        nonlocal counted, largest
        counted, largest = counted + len(part), max(largest, len(part))
        return len(part) // 5

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, pieces = DocumentCutter(count, 512, 0, " ")("", text)
    assert sum(map(len, pieces)) > 0.95 * len(text) and all(len(piece) // 5 <= 512 for piece in pieces)
    assert counted < 20 * len(text) and largest < 200_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # kB
