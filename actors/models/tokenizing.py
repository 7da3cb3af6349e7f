"""A checkpoint's Rust tokenizer, and texts through it to flat ids: what every tokenizer of this layer shares. No torch, no weights."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from actors.models.description import CheckpointInfo, read_json
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
    if tokenizer.get_vocab_size() > info.vocab_size:
        counts = f"{tokenizer.get_vocab_size()} tokens but the model {info.vocab_size}"
        raise UserError(f"the tokenizer in {folder} has {counts}: copy the whole checkpoint again.")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_ids(folder: Path, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of the cls, eos, pad and unk tokens that tokenizer_config.json names: bge-m3 gives them no lexical weight."""
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    named = [config.get(f"{role}_token") for role in ("cls", "eos", "pad", "unk")]
    contents = [token["content"] if isinstance(token, dict) else token for token in named if token]
    return tuple(number for number in map(tokenizer.token_to_id, contents) if number is not None)


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], special_tokens: bool, keep: int) -> TokenBatch:
    """Ids of texts by a tokenizer that truncates; without special tokens at most `keep` of each. Raises TypeError on what is no text."""
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"text {position} is a {type(text).__name__}, not a str")
    parts, lengths, truncated = [], np.zeros(len(texts), np.int64), 0
    for start in range(0, len(texts), _CHUNK):
        encodings = tokenizer.encode_batch_fast(list(texts[start : start + _CHUNK]), add_special_tokens=special_tokens)
        rows = [encoding.ids[:keep] for encoding in encodings]
        truncated += sum(len(e) > keep or (len(e) == keep and bool(e.overflowing)) for e in encodings)
        lengths[start : start + len(rows)] = [len(row) for row in rows]
        parts.append(np.fromiter(chain.from_iterable(rows), np.int32))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenBatch(np.concatenate(parts) if parts else np.zeros(0, np.int32), offsets, truncated)


def check_max_length(info: CheckpointInfo, max_length: int) -> None:
    """Raise UserError when the model has fewer positions than the tokens asked for."""
    if max_length > info.max_positions:
        raise UserError(f"max_length is {max_length} but {info.folder} has positions for {info.max_positions} tokens: lower max_length.")
