"""A document's title and text in, the pieces that become its passages out. Knows the tokenizer only as a function that counts.

semantic-text-splitter packs as many paragraphs as fit, sentences where a paragraph is too long, words where a sentence is; counts are
exact, since every piece is counted together with the title that will stand before it. Where a piece ends depends on where it
began, so an edit could move all ends behind it. Long texts are therefore cut first into sections, at paragraphs (in long paragraphs
lines, in long lines sentences) that are chosen by their own words: an edit reaches no farther than the next of those.
"""

import re
from collections.abc import Callable, Iterator
from zlib import crc32

from semantic_text_splitter import TextSplitter

from configs.errors import UserError

_STRIDE = 16  # characters per token of a piece: four pieces of English in a section, 5 to 10 % more pieces than without sections
# The three full-width marks end sentences in Chinese and Japanese, with no blank behind them.
_SENTENCE_END = r"[.!?][\"')\]]*\s+|[\u3002\uff01\uff1f]"
_PARAGRAPHS, _LINES, _SENTENCES = (re.compile(rf"(?s).+?(?:{end}|\Z)") for end in (r"\n\s*\n", r"\n", _SENTENCE_END))


class DocumentCutter:
    """Cuts documents into pieces of at most `tokens` tokens as `count` counts them, title and special tokens included.

    A title that takes more than half of the tokens is not repeated: it is cut with the text, so that nothing is lost. The `overlap` is
    at most half of what the title leaves. Raises UserError when an empty text takes more than half of the tokens.
    """

    def __init__(self, count: Callable[[str], int], tokens: int, overlap: int, separator: str) -> None:
        self._count, self._tokens, self._overlap, self._separator = count, tokens, overlap, separator
        self._stride = stride = _STRIDE * tokens
        # What goes on without an end is cut at a blank, or anywhere: the splitter would take quadratic time.
        self._levels = (_PARAGRAPHS, _LINES, _SENTENCES, re.compile(rf"(?s).{{1,{stride - 1}}}(?:\s|\Z)|.{{1,{stride}}}"))
        if count("") > tokens // 2:
            raise UserError(
                f"Special tokens and embed.passage_instruction take {count('')} of the {tokens} tokens in corpus.chunking.tokens: "
                "raise it to at least twice as many, or shorten the instruction."
            )

    def __call__(self, title: str, text: str) -> tuple[str, list[str]]:
        """What is put before every piece (title and separator, or nothing), and the pieces in order, without blanks around them."""
        title = title.strip()
        lead = f"{title}{self._separator}" if title and text else ""
        if self._count(lead) > self._tokens // 2:
            lead, text = "", f"{lead}{text}"
        return lead, list(self._pieces(lead, text or title))

    def _pieces(self, lead: str, text: str) -> Iterator[str]:
        taken = self._count(lead)
        room = self._tokens - taken
        overlap = min(self._overlap, room // 2)

        def size(piece: str) -> int:
            return max(0, self._count(lead + piece) - taken)

        splitter, tail = TextSplitter.from_callback(size, room, overlap), ""
        for section in self._sections(text):
            pieces = splitter.chunks(tail + section)
            if tail.strip() and len(pieces[0]) <= len(tail.strip()):  # the first sentence did not fit behind what is repeated
                pieces = splitter.chunks(section)
            yield from pieces
            tail = self._last_sentences(section, size, overlap)

    def _sections(self, text: str) -> Iterator[str]:
        """The text in parts of about a stride."""
        start = end = 0
        for unit in self._units(text, 0):
            end += len(unit)
            chosen = crc32(unit.encode()) % self._stride < len(unit)  # as often as the stride says, be the units long or short
            if chosen and end - start >= self._stride // 2:  # the same unit over and over is no reason for tiny pieces
                yield text[start:end]
                start = end
        if text[start:].strip():
            yield text[start:]

    def _units(self, text: str, level: int) -> Iterator[str]:
        """The text in the largest units that are not longer than the stride."""
        if len(text) <= self._stride:
            yield text
            return
        for match in self._levels[level].finditer(text):
            yield from self._units(match[0], level + 1)

    def _last_sentences(self, section: str, size: Callable[[str], int], overlap: int) -> str:
        """The sentences at the end of a section that fit the overlap."""
        start = len(section)
        for match in reversed(list(_SENTENCES.finditer(section)) if overlap else []):
            if size(section[match.start() :]) > overlap:
                break
            start = match.start()
        return section[start:]
