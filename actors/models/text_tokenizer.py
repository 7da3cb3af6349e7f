"""Texts in, token ids out, with a checkpoint's own tokenizer and neither torch nor weights.

The Rust tokenizer is used directly and pairs are joined as ids, as FlagEmbedding does with transformers 4.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from actors.models.description import CheckpointInfo, read_description
from actors.models.few_shot import FewShotQueries, takes_examples
from actors.models.instructions import effective_instructions
from actors.models.special_tokens import end_texts
from actors.models.tokenizing import (
    PairLimits,
    check_max_length,
    check_texts,
    open_tokenizer,
    overruled,
    special_ids,
    tokenize,
    truncation_side,
)
from actors.models.tokens import TokenBatch
from configs.errors import UserError

_PAIR_MAX_LENGTH = 512  # FlagReranker's


class TextTokenizer:
    """Whole texts, special tokens included, cut to max_length tokens: at the tail, or where the checkpoint's truncation_side says.

    `max_length`, `query_max_length`: tokens with specials; none takes the checkpoint's limit, or max_length for queries.
    Instructions and `task`: as effective_instructions takes them; the attributes are what it gives. `examples`:
    of the task, for models that read them before each query (few_shot.py). Calls change nothing in the object, so threads
    may share it. Raises UserError on a length that the model has no positions for, and on examples for a model that takes none.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        folder: Path,
        max_length: int | None = None,
        query_instruction: str | None = None,
        passage_instruction: str | None = None,
        query_max_length: int | None = None,
        examples: Sequence[Mapping[str, str]] | None = None,
        task: str | None = None,
    ) -> None:
        self._info = info = read_description(folder)
        self.max_length = max_length or _own_max_length(info)
        self.query_max_length = query_max_length or self.max_length
        instructions = effective_instructions(info, query_instruction, passage_instruction, task)
        self.query_instruction, self.passage_instruction = instructions
        self._passages = _truncating(info, self.max_length)
        self.unweighted_ids = special_ids(info, self._passages)
        same = self.query_max_length == self.max_length
        self._queries = self._passages if same else _truncating(info, self.query_max_length)
        self._few_shot: FewShotQueries | None = None
        if takes_examples(info, self._queries):
            self._few_shot = FewShotQueries(info, examples or (), self.query_instruction, self.query_max_length)
        elif examples:
            raise UserError(f"{folder} takes no examples, only models of the bge-en-icl family do: leave examples out.")

    @property
    def overruled(self) -> list[str]:
        """What other files make of tokenizer.json (tokenizing.py). Reads it again: for whoever fingerprints, not for who tokenises."""
        return overruled(self._info)

    def queries(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of queries, the query instruction put before each, and the examples before all that."""
        instructed = _instructed(self.query_instruction, texts)
        if self._few_shot is not None:
            return self._few_shot(instructed)
        return tokenize(self._queries, instructed, True, self.query_max_length)

    def passages(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of passages, the passage instruction put before each."""
        return tokenize(self._passages, _instructed(self.passage_instruction, texts), True, self.max_length)


def _truncating(info: CheckpointInfo, max_length: int) -> Tokenizer:
    check_max_length(info, max_length)
    tokenizer = open_tokenizer(info)
    end_texts(tokenizer, info)
    if max_length <= tokenizer.num_special_tokens_to_add(False):
        raise UserError(f"max_length {max_length} leaves no room for text in {info.folder}: raise it.")
    tokenizer.enable_truncation(max_length, direction=truncation_side(info))
    return tokenizer


def _own_max_length(info: CheckpointInfo) -> int:
    if info.sentence.max_length:
        return min(info.sentence.max_length, info.max_positions)
    stated = info.tokenizer.get("model_max_length")
    return min(int(stated), info.max_positions) if stated else info.max_positions


def _instructed(instruction: str, texts: Sequence[str]) -> Sequence[str]:
    check_texts(texts)
    if not instruction:
        return texts
    before, _, after = instruction.partition("{}")
    return [f"{before}{text}{after}" for text in texts]


class PairTokenizer:
    """The pieces of pairs, and their joining by the tokenizer's own pair template.

    `max_length`: tokens of a pair, specials counted (none: 512, or what the model has positions for). `query_max_length`: tokens
    kept of a query, without specials (none: 3/4 of max_length). Threads may share it. Raises UserError on impossible lengths.
    """

    def __init__(self, folder: Path, max_length: int | None = None, query_max_length: int | None = None) -> None:
        info = read_description(folder)
        self.max_length = max_length or min(_PAIR_MAX_LENGTH, info.max_positions)
        self.query_max_length = query_max_length or self.max_length * 3 // 4
        self.max_positions = info.max_positions
        check_max_length(info, self.max_length)
        if truncation_side(info) == "left":
            raise UserError(
                f"{folder} cuts texts at their head (truncation_side left), which is not supported for pairs: use another model."
            )
        self._tokenizer = open_tokenizer(info)
        self._read_template()
        self._tokenizer.enable_truncation(max(self.max_length, self.query_max_length))

    def _read_template(self) -> None:
        """Learn what stands before, between and after the two texts, and all token types, from one probe pair."""
        probe = self._tokenizer.encode("a", "b")
        ids, types = np.array(probe.ids, np.int32), np.array(probe.type_ids, np.int8)
        owner = np.array([-1 if s is None else s for s in probe.sequence_ids])
        first, second = np.flatnonzero(owner == 0), np.flatnonzero(owner == 1)
        spans = [slice(0, first[0]), slice(first[-1] + 1, second[0]), slice(second[-1] + 1, len(ids))]
        self._before, self._between, self._after = (ids[span] for span in spans)
        self._before_types, self._between_types, self._after_types = (types[span] for span in spans)
        self._first_type, self._second_type = types[first[0]], types[second[0]]
        self.special_tokens = sum(len(ids[span]) for span in spans)

    def queries(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of queries without special tokens, cut to query_max_length."""
        return tokenize(self._tokenizer, texts, False, self.query_max_length)

    def passages(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of passages without special tokens, cut to max_length; joining may cut more."""
        return tokenize(self._tokenizer, texts, False, self.max_length)

    def kept(self, query_lengths: np.ndarray, passage_lengths: np.ndarray) -> np.ndarray:
        """Tokens of each passage that stay in its pair, int64 [n], by the rule `only_second`.

        A passage gives up at its tail what is over max_length; where it could not give up so much, nothing is cut.
        Raises UserError when a pair is then longer than the model has positions for.
        """
        limits = PairLimits(self.max_length, self.query_max_length, self.max_positions, self.special_tokens)
        return limits.kept(query_lengths, passage_lengths)

    def join(self, query_ids: np.ndarray, passage_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids (int32) and token types (int8) of one pair, both [tokens of the pair]."""
        return self.join_cut(query_ids, passage_ids[: int(self.kept(np.array([len(query_ids)]), np.array([len(passage_ids)]))[0])])

    def join_cut(self, query_ids: np.ndarray, passage_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As join, for a passage that is already cut."""
        ids = np.concatenate([self._before, query_ids, self._between, passage_ids, self._after])
        first, second = np.full(len(query_ids), self._first_type), np.full(len(passage_ids), self._second_type)
        return ids, np.concatenate([self._before_types, first, self._between_types, second, self._after_types])
