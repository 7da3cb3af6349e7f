"""Texts in, the pieces of an LLM reranker's prompts as ids out, and their joining: no torch, no weights.

A pair reads: bos, "A: " and the query, newline, "B: " and the passage, newline, the question. Pieces are tokenised once each.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actors.models.checkpoint import reranker_kind
from actors.models.description import read_description
from actors.models.special_tokens import special_token
from actors.models.tokenizing import PairLimits, check_texts, open_tokenizer, tokenize
from actors.models.tokens import TokenBatch
from configs.errors import UserError

_YES_OR_NO = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query "
    "by providing a prediction of either 'Yes' or 'No'."
)
_LIGHTWEIGHT = "Predict whether passage B contains an answer to query A."
_MAX_LENGTH = 512  # FlagLLMReranker's


class PromptTokenizer:
    """The pieces of pairs for an LLM reranker, and their joining.

    `max_length`: tokens of the pair without the question (none: 512, or what fits the model); `query_max_length`: tokens kept of a
    query (none: 3/4 of max_length); both without newline and question. `prompt`: the question; none takes the one that the
    model's kind was trained with. Threads may share it. Raises UserError on lengths that the model has no positions for.
    """

    def __init__(self, folder: Path, max_length: int | None = None, query_max_length: int | None = None, prompt: str | None = None) -> None:
        info = read_description(folder)
        self._tokenizer = open_tokenizer(info)
        own_prompt = _LIGHTWEIGHT if reranker_kind(info) == "lightweight" else _YES_OR_NO
        self.prompt = own_prompt if prompt is None else prompt
        bos, pad = (special_token(info, self._tokenizer, role) for role in ("bos_token", "pad_token"))
        self._bos = np.array([bos[1]] if bos is not None and bos != pad else [], np.int32)
        self._newline, question = self._ids("\n"), self._ids(self.prompt)
        self._ending = np.concatenate([self._newline, question])
        self.yes_id = int(self._ids("Yes")[0])
        self.max_positions = info.max_positions
        room = info.max_positions - 2 * len(self._ending)
        self.max_length = max_length or min(_MAX_LENGTH, room)
        self.query_max_length = query_max_length or self.max_length * 3 // 4
        if self.max_length > room or self.query_max_length < 1:
            raise UserError(
                f"max_length is {self.max_length}, but with the prompt {folder} has positions for {room} tokens of a pair: lower it."
            )
        self._tokenizer.enable_truncation(max(self.max_length, self.query_max_length))

    @property
    def special_tokens(self) -> int:
        """Tokens of a pair besides its query and passage: bos, two newlines and the question."""
        return len(self._bos) + len(self._newline) + len(self._ending)

    @property
    def ending(self) -> int:
        """Tokens after the passage: a newline and the question."""
        return len(self._ending)

    def queries(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of queries behind "A: ", cut to query_max_length."""
        return tokenize(self._tokenizer, _labelled("A: ", texts), False, self.query_max_length)

    def passages(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of passages behind "B: ", cut to max_length; joining may cut more."""
        return tokenize(self._tokenizer, _labelled("B: ", texts), False, self.max_length)

    def kept(self, query_lengths: np.ndarray, passage_lengths: np.ndarray) -> np.ndarray:
        """Tokens of each passage that stay in its pair, int64 [n], by the rule `only_second`.

        All before the ending may have max_length tokens and as many as the ending; a passage gives up at its tail what is over, and
        nothing where that would be all of it. Raises UserError when a pair is longer than the model has positions for.
        """
        limits = PairLimits(self.max_length, self.query_max_length, self.max_positions, self.special_tokens, 2 * len(self._ending))
        return limits.kept(query_lengths, passage_lengths)

    def before_passage(self, query_ids: np.ndarray) -> np.ndarray:
        """Ids, int32, with which all pairs of a query begin: bos, query and newline."""
        return np.concatenate([self._bos, query_ids, self._newline])

    def from_passage_on(self, passage_ids: np.ndarray) -> np.ndarray:
        """Ids, int32, of the rest of a pair: the passage, already cut, newline and question."""
        return np.concatenate([passage_ids, self._ending])

    def _ids(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)


def _labelled(label: str, texts: Sequence[str]) -> list[str]:
    check_texts(texts)
    return [label + text for text in texts]
