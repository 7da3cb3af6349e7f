"""The inputs of comparisons: SciFact's passages and queries, whose lengths spread as real ones do, and texts of one length."""

import random
from pathlib import Path

import pyarrow.parquet as pq

from actors.models.description import CheckpointInfo
from actors.models.tokenizing import open_tokenizer

SCIFACT = Path(__file__).parent.parent / "tests" / "data" / "scifact"
CORPORA = ("scifact", "fixed")
_WORDS = 2000


def read_corpus(name: str, count: int, info: CheckpointInfo, tokens: int) -> list[str]:
    """`count` texts: of scifact, a sample over all of it; of fixed, words that make `tokens` tokens with specials each."""
    return scifact_passages(count) if name == "scifact" else fixed_texts(count, info, tokens)


def scifact_passages(count: int) -> list[str]:
    """Title and text of passages, the same ones for the same count; all 5,183 where more are asked for."""
    table = pq.read_table(SCIFACT / "corpus.parquet")
    texts = [f"{title} {text}" for title, text in zip(table["title"].to_pylist(), table["text"].to_pylist(), strict=True)]
    return random.Random(0).sample(texts, min(count, len(texts)))


def scifact_queries(count: int) -> list[str]:
    """The first queries; all 300 where more are asked for."""
    return pq.read_table(SCIFACT / "queries.parquet")["text"].to_pylist()[:count]


def fixed_texts(count: int, info: CheckpointInfo, tokens: int) -> list[str]:
    """Texts of random words that are one token each to a checkpoint's tokenizer."""
    opened = open_tokenizer(info)
    candidates = sorted({word for text in scifact_passages(500) for word in text.lower().split() if word.isalpha()})
    words = [word for word in candidates if len(opened.encode(word, add_special_tokens=False).ids) == 1][:_WORDS]
    chooser, length = random.Random(1), tokens - opened.num_special_tokens_to_add(False)
    return [" ".join(chooser.choices(words, k=length)) for _ in range(count)]
