"""Passages in, 128-bit hashes out: of the id, of what is embedded, of the metadata; and how rows of hashes are cut into partitions.

Among 10 billion values two different ones collide with a chance of 1.5e-19.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa

HASH = "S16"  # numpy compares and sorts these by their bytes; never turn an element into Python bytes, which drops trailing zeros
PARTITION_ROWS = 2_000_000
"""Rows that one task compares at once: about a gigabyte of hashes, copies counted."""


def hash_texts(texts: Iterable[str]) -> np.ndarray:
    """blake2b of each text's UTF-8, S16 [n]."""
    return np.frombuffer(b"".join([blake2b(text.encode(), digest_size=16).digest() for text in texts]), HASH)


def hash_passages_of(documents: Sequence[str], numbers: Sequence[int]) -> np.ndarray:
    """Ids of passages that documents were cut into, S16 [n]: those of one document share the first 12 bytes; its passage's number follows.

    So they lie in one partition, and `documents_of` can tell them together.
    """
    parts = np.frombuffer(hash_texts(documents).tobytes(), np.uint8).reshape(-1, 16).copy()
    parts[:, 12:] = np.array(numbers, ">u4").view(np.uint8).reshape(-1, 4)
    return np.frombuffer(parts.tobytes(), HASH)


def documents_of(hashes: np.ndarray) -> np.ndarray:
    """What the ids of one document's passages have in common, S12 [n]."""
    return hashes.astype("S12")


def hashes_of(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of binary(16) without nulls as S16 [n]."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [np.frombuffer(chunk.buffers()[1], HASH, len(chunk), 16 * chunk.offset) for chunk in chunks if len(chunk)]
    return np.concatenate(parts) if parts else np.zeros(0, HASH)


def hash_column(hashes: np.ndarray) -> pa.Array:
    """S16 [n] as a column of binary(16)."""
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(hashes), [None, pa.py_buffer(np.ascontiguousarray(hashes).tobytes())])


def partition_count(rows: int) -> int:
    """Partitions for a catalogue of `rows`: a power of two, so that any two counts nest."""
    return 1 << max(0, -(-rows // PARTITION_ROWS) - 1).bit_length()


def partition_of(hashes: np.ndarray, count: int) -> np.ndarray:
    """The partition of each hash by its top bits, int64 [n]; `count` is a power of two up to 65,536."""
    top = np.frombuffer(np.ascontiguousarray(hashes).tobytes(), ">u2")[::8].astype(np.int64)
    return top * count >> 16


def split_rows(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Structured rows with a field `id`, cut into partitions."""
    if count == 1:
        return [rows]
    partition = partition_of(rows["id"], count)
    return [rows[partition == number] for number in range(count)]
