"""Writers of small corpora in every format, and the whole way from a config section to passages."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from actors.corpus.listing import list_files
from actors.corpus.planning import count_rows, group_for_reading, mapping_salt, plan_units
from actors.corpus.reading import read_units
from actors.corpus.schema import Passages
from configs.schema import InputConfig, S3Config

Records = list[dict[str, Any]]


def encode(records: Records, kind: str) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(record) + "\n" for record in records).encode()
    if kind == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(records), sink, row_group_size=3)
        return sink.getvalue()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter="\t" if kind == "tsv" else ",")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def compress(data: bytes, compression: str) -> bytes:
    if compression == "gz":
        return gzip.compress(data)
    return zstandard.compress(data) if compression == "zst" else data


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(name, records or bytes): a file whose format and compression follow from its name."""

    def write_file(name: str, content: Records | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        compression = path.suffix[1:] if path.suffix in (".gz", ".zst") else ""
        kind = path.name.removesuffix(f".{compression}").rpartition(".")[2]
        data = content if isinstance(content, bytes) else encode(content, kind)
        path.write_bytes(compress(data, compression))
        return path

    return write_file


@pytest.fixture
def read() -> Callable[..., list[Passages]]:
    """read(path, unit_rows=..., role=..., **config): the passages of every unit, in order."""

    def read_all(path: Any, unit_rows: int = 4, role: Any = "corpus", **config: Any) -> list[Passages]:
        spec, s3 = InputConfig(path=path if isinstance(path, list) else str(path), **config), S3Config()
        counted = [count_rows(file, s3, unit_rows, spec.broken_files, role) for file in list_files(spec, s3, role)]
        groups = group_for_reading(plan_units(counted, unit_rows, mapping_salt(spec)))
        return [passages for group in groups for _, passages in read_units(group, spec, s3, role)]

    return read_all
