"""A plan in, what it will take in the store out: to be told before anything is written."""

from collections.abc import Sequence
from dataclasses import replace

from actors.corpus.planning import WorkUnit
from actors.models.text_tokenizer import TextTokenizer
from actors.reader import Reader

_SAMPLE = 200  # records of the first unit
_FP16 = 2  # bytes


def count_tokens_roughly(units: Sequence[WorkUnit], reader: Reader, tokenizer: TextTokenizer) -> float:
    """Tokens of all units, by those of the first records. 0 where there are none, or these are all rejected."""
    if not units:
        return 0.0
    first = units[0].slices[0]
    sample = WorkUnit("a sample", (replace(first, rows=min(first.rows, _SAMPLE)),))
    ((_, found),) = reader.read([sample])
    tokens = int(tokenizer.passages(found.table["text"].to_pylist()).lengths.sum()) if found.table.num_rows else 0
    return tokens / max(found.rows_read, 1) * sum(unit.rows for unit in units)


def token_vector_bytes(units: Sequence[WorkUnit], reader: Reader, tokenizer: TextTokenizer, dimension: int) -> float:
    """Bytes of the token vectors of all units, fp16, likewise."""
    return count_tokens_roughly(units, reader, tokenizer) * dimension * _FP16
