"""A plan in, what it will take in the store out: to be told before anything is written."""

from collections.abc import Sequence
from dataclasses import replace

from actors.corpus.planning import WorkUnit
from actors.corpus.reading import read_units
from actors.models.text_tokenizer import TextTokenizer
from configs.schema import InputConfig, S3Config

_SAMPLE = 200  # passages of the first unit
_FP16 = 2  # bytes


def token_vector_bytes(units: Sequence[WorkUnit], spec: InputConfig, s3: S3Config, tokenizer: TextTokenizer, dimension: int) -> float:
    """Bytes of the token vectors of all units, fp16, by the tokens of the first passages. 0 where these are all rejected."""
    first = units[0].slices[0]
    sample = WorkUnit("a sample", (replace(first, rows=min(first.rows, _SAMPLE)),))
    texts = [text for _, found in read_units([sample], spec, s3) for text in found.table["text"].to_pylist()]
    tokens = float(tokenizer.passages(texts).lengths.mean()) if texts else 0.0
    return tokens * sum(unit.rows for unit in units) * dimension * _FP16
