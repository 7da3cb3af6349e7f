"""Texts in, counted terms out: what BM25 means by a word, the same for passages and queries.

Texts are put into Unicode's compatibility form (NFKC) and lower case. Chinese and Japanese, which are written without blanks, become
overlapping pairs of characters (a character that stands alone is a term of its own); every other run of letters and digits is a word.
A language adds its stop words (bm25s) and its Snowball stemmer. A term travels as a 64-bit number, a hash of its spelling, so that
segments need no common vocabulary: with 10 million different terms, two share a number with a probability of 3 in a million.
"""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice, pairwise

import numpy as np
import Stemmer
from bm25s.tokenization import Tokenizer

from actors.index.inverted import TermRows

SCHEMA = 1
"""Raise it when the same text makes other terms."""

_VOCABULARY = 300_000  # terms remembered with the words they come from, about 100 MB; then the memory starts afresh
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3040-\u30ff\u31f0-\u31ff"
_RUN = re.compile(f"[{_HAN}{_KANA}]+|[^\\W_{_HAN}{_KANA}]+")
_UNSPACED = re.compile(f"[{_HAN}{_KANA}]")


class Analyzer:
    """Makes terms of texts in one language, or in any with `language` none (no stop words, no stems)."""

    def __init__(self, language: str) -> None:
        stemmed = language != "none"
        stemmer = Stemmer.Stemmer(language) if stemmed else None
        self._tokenizer = Tokenizer(lower=False, splitter=split_words, stopwords=language if stemmed else None, stemmer=stemmer)
        self._numbers: list[int] = []

    def count(self, texts: Sequence[str]) -> TermRows:
        """The terms of every text with how often it holds them (uint32)."""
        if len(self._numbers) > _VOCABULARY:
            self._tokenizer.reset_vocab()
            self._numbers.clear()
        tokens = self._tokenizer.tokenize(list(texts), update_vocab=True, return_as="ids", show_progress=False, allow_empty=False)
        vocabulary = self._tokenizer.get_vocab_dict()
        self._numbers.extend(term_number(term) for term in islice(vocabulary, len(self._numbers), None))
        rows = np.repeat(np.arange(len(texts)), [len(row) for row in tokens])
        flat = np.fromiter((token for row in tokens for token in row), np.int64, len(rows))
        size = max(1, len(self._numbers))
        pairs, counts = np.unique(rows * size + flat, return_counts=True)
        starts = np.searchsorted(pairs, np.arange(len(texts) + 1) * size)
        numbers = np.array(self._numbers, np.int64)
        return TermRows(starts.astype(np.int64), numbers[pairs % size], counts.astype(np.uint32))


def split_words(text: str) -> list[str]:
    """The words of a text, in order, before stop words and stems."""
    words: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if len(run) > 1 and _UNSPACED.match(run):
            words.extend(first + second for first, second in pairwise(run))
        else:
            words.append(run)
    return words


def term_number(term: str) -> int:
    """64 bits of blake2b over the term's UTF-8, as a signed integer."""
    return int.from_bytes(blake2b(term.encode(), digest_size=8).digest(), "little", signed=True)
