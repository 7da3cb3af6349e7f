"""Long texts in, as much of their beginnings out as the tokens that are kept can come from: a tokenizer that reads a book for 512 tokens
takes longer than the network.

A beginning ends before a white space: that changes its last few tokens at most. It serves when it gives more tokens than are kept, by a
margin which those are within; else the caller takes the whole text, so that ids are the same either way.
"""

from collections.abc import Sequence

from tokenizers import Encoding

_CHARACTERS = 12  # of a token: words of European languages have 2 to 6, so that a beginning has tokens to spare
_MARGIN = 32  # tokens beyond those kept


def beginning_of(text: str, keep: int) -> str:
    """The text, or so much of it that `keep` tokens very likely come from it. A text without white space stays whole."""
    limit = _CHARACTERS * (keep + _MARGIN)
    if len(text) <= 2 * limit:
        return text
    end = max(text.rfind(space, limit // 2, limit) for space in " \n\t")
    return text[:end] if end > 0 else text


def too_short(texts: Sequence[str], beginnings: Sequence[str], encodings: Sequence[Encoding], keep: int) -> list[int]:
    """Places of texts whose beginning has not tokens enough, so that the whole text has to be read."""
    return [
        place
        for place, (text, start, encoding) in enumerate(zip(texts, beginnings, encodings, strict=True))
        if len(start) < len(text) and len(encoding) + sum(map(len, encoding.overflowing)) < keep + _MARGIN
    ]
