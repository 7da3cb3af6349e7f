"""A checkpoint's Rust tokenizer, and texts through it to flat ids: what every tokenizer of this layer shares. No torch, no weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from tokenizers import Encoding, Tokenizer
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.normalizers import Sequence as Chain

from actors.models.beginnings import beginning_of, too_short
from actors.models.description import CheckpointInfo
from actors.models.tokens import TokenBatch
from configs.errors import UserError

_CHUNK = 512  # texts: bounds the memory of the tokenizer's own objects, some 100 bytes per token


def open_tokenizer(info: CheckpointInfo) -> Tokenizer:
    """The checkpoint's tokenizer without padding or truncation. Only a folder without tokenizer.json needs transformers to build it.

    Raises UserError on a tokenizer that has more ids than the model: it belongs to another one.
    """
    folder = info.folder
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False).backend_tokenizer
    _settle_normalizer(tokenizer, info)
    if tokenizer.get_vocab_size() > info.vocab_size:
        counts = f"{tokenizer.get_vocab_size()} tokens but the model {info.vocab_size}"
        raise UserError(f"the tokenizer in {folder} has {counts}: copy the whole checkpoint again.")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _settle_normalizer(tokenizer: Tokenizer, info: CheckpointInfo) -> None:
    """Let other files (or the class' defaults) overrule tokenizer.json, as transformers' BERT tokenizers and sentence-transformers do."""
    config, normalizer = info.tokenizer, tokenizer.normalizer
    name = config.get("tokenizer_class") or ("BertTokenizer" if info.model_type in ("bert", "distilbert") else "")
    if isinstance(normalizer, BertNormalizer) and name.removesuffix("Fast") in ("BertTokenizer", "DistilBertTokenizer"):
        normalizer.lowercase = config.get("do_lower_case", True)
        normalizer.strip_accents = config.get("strip_accents")
        normalizer.handle_chinese_chars = config.get("tokenize_chinese_chars", True)
    if info.sentence.lowercase:
        normalizer = Chain([Lowercase(), *([normalizer] if normalizer else [])])
    if normalizer:
        tokenizer.normalizer = normalizer


def overruled(info: CheckpointInfo) -> list[str]:
    """What other files make of tokenizer.json, in words; mostly nothing. For fingerprints: ids were once made by tokenizer.json alone."""
    words = [f"cut {truncation_side(info)}"] if truncation_side(info) != "right" else []
    file = info.folder / "tokenizer.json"
    if file.is_file() and (info.sentence.lowercase or info.model_type in ("bert", "distilbert")):
        tokenizer = Tokenizer.from_file(str(file))
        before = str(tokenizer.normalizer)
        _settle_normalizer(tokenizer, info)
        words += [str(tokenizer.normalizer)] if str(tokenizer.normalizer) != before else []
    return words


def truncation_side(info: CheckpointInfo) -> str:
    """Where the checkpoint's tokenizer cuts texts that are too long: right or left."""
    return str(info.tokenizer.get("truncation_side") or "right")


def special_ids(info: CheckpointInfo, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of the cls, eos, pad and unk tokens that tokenizer_config.json names: bge-m3 gives them no lexical weight."""
    named = [info.tokenizer.get(f"{role}_token") for role in ("cls", "eos", "pad", "unk")]
    contents = [token["content"] if isinstance(token, dict) else token for token in named if token]
    return tuple(number for number in map(tokenizer.token_to_id, contents) if number is not None)


def check_texts(texts: Sequence[str]) -> None:
    """Raise TypeError on what is no list of texts; a lone text would pass for a list of its letters."""
    if isinstance(texts, str):
        raise TypeError("give a list of texts, not one text")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {position} is a {type(text).__name__}, not a str")


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], special_tokens: bool, keep: int) -> TokenBatch:
    """Ids of texts by a tokenizer that truncates; without special tokens at most `keep` of each. Raises TypeError on what is no text."""
    check_texts(texts)
    parts, lengths, truncated = [], np.zeros(len(texts), np.int64), 0
    for start in range(0, len(texts), _CHUNK):
        encodings = _encode(tokenizer, list(texts[start : start + _CHUNK]), special_tokens, keep)
        rows = [encoding.ids[:keep] for encoding in encodings]
        truncated += sum(len(e) > keep or (len(e) == keep and bool(e.overflowing)) for e in encodings)
        lengths[start : start + len(rows)] = [len(row) for row in rows]
        parts.append(np.fromiter(chain.from_iterable(rows), np.int32))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenBatch(np.concatenate(parts) if parts else np.zeros(0, np.int32), offsets, truncated)


def _encode(tokenizer: Tokenizer, texts: list[str], special_tokens: bool, keep: int) -> list[Encoding]:
    cuts_right = tokenizer.truncation is None or tokenizer.truncation["direction"] == "right"
    beginnings = [beginning_of(text, keep) for text in texts] if cuts_right else texts
    encodings: list[Encoding] = tokenizer.encode_batch_fast(beginnings, add_special_tokens=special_tokens)
    again = too_short(texts, beginnings, encodings, keep)
    whole = tokenizer.encode_batch_fast([texts[place] for place in again], add_special_tokens=special_tokens)
    for place, encoding in zip(again, whole, strict=True):
        encodings[place] = encoding
    return encodings


def check_max_length(info: CheckpointInfo, max_length: int) -> None:
    """Raise UserError when the model has fewer positions than the tokens asked for."""
    if max_length > info.max_positions:
        raise UserError(f"max_length is {max_length} but {info.folder} has positions for {info.max_positions} tokens: lower max_length.")


@dataclass(frozen=True, slots=True)
class PairLimits:
    """What bounds a pair. `fixed`: tokens that are neither query's nor passage's; `beyond`: by so many tokens a pair may pass max_length;
    `query_max_length`, `max_positions`: for the sentence when a pair can not be run."""

    max_length: int
    query_max_length: int
    max_positions: int
    fixed: int
    beyond: int = 0

    def kept(self, query_lengths: np.ndarray, passage_lengths: np.ndarray) -> np.ndarray:
        """Tokens of each passage that stay in its pair, int64 [n], by the rule `only_second`.

        A passage gives up at its tail what is over max_length; where it could not give up so much, nothing is cut.
        Raises UserError when a pair is then longer than the model has positions for.
        """
        query_lengths, passage_lengths = np.asarray(query_lengths, np.int64), np.asarray(passage_lengths, np.int64)
        over = query_lengths + passage_lengths + self.fixed - self.beyond - self.max_length
        kept = np.where((over > 0) & (over < passage_lengths), passage_lengths - over, passage_lengths)
        longest = int((query_lengths + kept).max(initial=0)) + self.fixed
        if longest > self.max_positions:
            raise UserError(
                f"a query of {self.query_max_length} tokens makes a pair of {longest}, but the model has {self.max_positions} positions: "
                f"lower query_max_length to at most {self.max_length * 3 // 4}."
            )
        return kept
