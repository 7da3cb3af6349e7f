"""A store with committed vectors and segments of made passages, without a model: a text's vector comes from its hash."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.corpus.checking import content_hash
from actors.index.kinds import IndexPlan, resolve_plan
from actors.index.training import train_template
from actors.indexer import Indexer
from actors.parcels import Parcel
from actors.pieces import Piece
from actors.reader import Workplace
from actors.storage.commits import CommitRecord, DataFile, put_data, read_commits
from actors.storage.local_store import LocalStore
from actors.storage.manifests import Manifest, SegmentEntry
from actors.writer import Writer
from configs.schema import IndexConfig

DIMENSION = 16


def vector(text: str) -> np.ndarray:
    """fp16 of length 1, the same for the same text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    made = np.random.default_rng(seed).standard_normal(DIMENSION)
    return (made / np.linalg.norm(made)).astype(np.float16)


def passages(rows: Sequence[tuple[str, str]], source: str = "file", metadata: str = "{}") -> pa.Table:
    """PASSAGE_SCHEMA of (id, text)."""
    return pa.table(
        {
            "id": [name for name, _ in rows],
            "text": [text for _, text in rows],
            "metadata": [metadata for _ in rows],
            "content_hash": pa.array([content_hash(name, "", text) for name, text in rows], pa.binary(16)),
            "source": [source for _ in rows],
            "source_row": pa.array(range(len(rows)), pa.int64()),
        }
    )


@dataclass
class Made:
    """What the tests build with."""

    store: LocalStore
    plan: IndexPlan = field(default_factory=lambda: resolve_plan(IndexConfig(kind="flat"), 100, DIMENSION))
    units: int = 0

    def place(self, folder: str) -> Workplace:
        return Workplace(self.store, folder, "run")

    def vectors(self, rows: Sequence[tuple[str, str]], **more: str) -> CommitRecord:
        """Commit a unit of vectors."""
        table = passages(rows, **more)
        flat = np.concatenate([vector(text) for _, text in rows])
        table = table.append_column("vector", pa.FixedSizeListArray.from_arrays(pa.array(flat), DIMENSION))
        self.units += 1
        header = {"unit": f"unit{self.units}", "attempt": "a1", "started": 0.0, "counts": {"rows": len(rows)}, "reasons": {}, "files": {}}
        record, _ = Writer(self.place("vectors/f"), "passages", hash_ids=True).commit(Parcel(header, {"passages": table}))
        return record

    def template(self) -> DataFile:
        return put_data(self.store, "quantizers", "flat.faiss", train_template(self.plan, np.zeros((0, DIMENSION), np.float32), 0))

    def segment(self, rows: Sequence[tuple[str, str]], **more: str) -> SegmentEntry:
        """Build and commit a segment."""
        record = self.vectors(rows, **more)
        pieces = [Piece(record.files["data"], (), 0, len(rows)).plain()]
        header = {"units": [f"segment{self.units}"], "pieces": pieces, "template": asdict(self.template())}
        Indexer(self.place("segments"), self.plan, IndexConfig(recall_queries=0), "fp16", True)(Parcel(header).pack())
        built = read_commits(self.store, "segments", header["units"])[0]
        return SegmentEntry(built.unit, len(rows), built.files)

    def version(self, *segments: SegmentEntry, deletions: dict[str, list[int]] | None = None) -> Manifest:
        facts = {"plan": asdict(self.plan), "template": asdict(self.template())}
        return Manifest(0, {"fingerprint": "f", "normalize": True}, facts, segments, deletions or {}, 0, "run", 0.0, "")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(LocalStore(tmp_path / "store"))
