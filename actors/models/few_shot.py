"""Texts of queries in, the same between worked examples and a closing cue out: how bge-en-icl reads its queries (FlagICLModel).

A query is cut before it is put into its frame, so that neither the examples nor the cue are ever lost to truncation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tokenizers import Tokenizer

from actors.models.description import CheckpointInfo
from actors.models.special_tokens import end_texts
from actors.models.tokenizing import open_tokenizer, tokenize
from actors.models.tokens import TokenBatch
from configs.errors import UserError

CUE = "\n<response>"
_FIELDS = ("instruct", "query", "response")


def takes_examples(info: CheckpointInfo, tokenizer: Tokenizer) -> bool:
    """Whether the model is of the bge-en-icl family: a Mistral whose tokenizer knows the token <response>."""
    return info.model_type == "mistral" and tokenizer.token_to_id(CUE.strip()) is not None


class FewShotQueries:
    """Queries to ids, each behind the examples and before the cue.

    `examples`: mappings of query and response, and of instruct where it is another than the queries' own. `instruction`: a
    prefix, or a text with {} where the query goes. `max_length`: tokens of the query alone, its instruction and the special tokens
    counted. Raises UserError on examples of other fields or too long for the model.
    """

    def __init__(self, info: CheckpointInfo, examples: Sequence[Mapping[str, str]], instruction: str, max_length: int) -> None:
        self._pieces, self._whole = open_tokenizer(info), open_tokenizer(info)
        end_texts(self._whole, info)
        self._before, _, self._after = instruction.partition("{}")
        self._prefix = "".join(f"{self._example(number, example)}\n\n" for number, example in enumerate(examples))
        frame = self._count(self._prefix) + self._count(CUE)
        room = info.max_positions - frame - self._whole.num_special_tokens_to_add(False)
        self._kept = min(max_length - self._count("<s>") - self._count(f"{CUE}</s>"), room)
        if self._kept < 1:
            raise UserError(
                f"{len(examples)} examples of {frame} tokens leave no room for a query of {info.folder}, "
                f"which takes {info.max_positions} tokens: give fewer or shorter ones, or raise max_length above {max_length}."
            )
        self._longest = min((frame + max_length + 8) // 8 * 8 + 8, info.max_positions)
        self._whole.enable_truncation(self._longest)
        self._pieces.enable_truncation(self._kept)

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        """Ids of n queries, instruction included; `truncated` counts those that lost tokens. Raises TypeError on what is no text."""
        cut = tokenize(self._pieces, texts, False, self._kept)
        bodies = [self._pieces.decode(cut.take(i).tolist(), skip_special_tokens=False) for i in range(len(cut))]
        framed = tokenize(self._whole, [f"{self._prefix}{body}{CUE}" for body in bodies], True, self._longest)
        return replace(framed, truncated=max(cut.truncated, framed.truncated))

    def _count(self, text: str) -> int:
        return len(self._pieces.encode(text, add_special_tokens=False).ids)

    def _example(self, number: int, example: Mapping[str, str]) -> str:
        unknown, lacking = set(example) - set(_FIELDS), {"query", "response"} - set(example)
        if unknown or lacking:
            fields = f"has no field {sorted(lacking)[0]!r}" if lacking else f"has a field {sorted(unknown)[0]!r}"
            raise UserError(f"example {number} {fields}: give query and response, and instruct where it is not the queries' own.")
        query = f"{self._before}{example['query']}{self._after}"
        if "instruct" in example:
            query = f"<instruct>{example['instruct']}\n<query>{example['query']}"
        return f"{query}{CUE}{example['response']}"
