"""What a unit's candidates cost in tokenising: each query once, and each distinct passage once, whoever found it."""

import numpy as np
import pyarrow as pa
import pytest

from actors.indexer import PASSAGES
from actors.loading import RerankerSpec
from actors.models.encoded import TokenBatch
from actors.opening import PassageSource
from actors.pairer import Pairer
from actors.parcels import Parcel
from actors.storage.commits import put_data
from actors.storage.local_store import LocalStore
from actors.storage.manifests import SegmentEntry
from configs.schema import RerankConfig, S3Config
from tests.jobs import CHECKPOINTS

TEXTS = ["giant panda", "bear species", "endemic to china", "large search index", "dense retrieval", "rerank score"]
CANDIDATES = {"q1": [0, 1, 4, 5], "q2": [4, 0, 2, 3], "q3": [1, 0, 4, 3]}  # 5, and 3 of all, come last: beyond a depth of 3


class Counting(RerankerSpec):
    """A real reranker's spec, whose real tokenizer writes down what it is given."""

    seen: list[str] = []  # noqa: RUF012 - one for all, since the spec is frozen

    def tokenizer(self):
        return Noting(super().tokenizer(), self.seen)


class Noting:
    def __init__(self, tokenizer, seen: list[str]) -> None:
        self._tokenizer, self._seen = tokenizer, seen

    def queries(self, texts: list[str]) -> TokenBatch:
        self._seen += texts
        return self._tokenizer.queries(texts)

    def passages(self, texts: list[str]) -> TokenBatch:
        self._seen += [text for text in texts if text]
        return self._tokenizer.passages(texts)


@pytest.fixture
def source(tmp_path) -> PassageSource:
    """Two segments of three passages."""
    store, entries = LocalStore(tmp_path), []
    for name, texts in (("a", TEXTS[:3]), ("b", TEXTS[3:])):
        sink, table = pa.BufferOutputStream(), pa.table({"text": texts, "metadata": ["{}"] * 3})
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        file = put_data(store, "segments", f"{name}.{PASSAGES}", sink.getvalue().to_pybytes())
        entries.append(SegmentEntry(name, 3, {PASSAGES: file}, {}))
    return PassageSource(store, entries)


def paired(source: PassageSource, depth: int) -> tuple[Parcel, list[str]]:
    """A unit of three queries after the Pairer, and the texts that were tokenised."""
    spec = Counting(RerankConfig(model=str(CHECKPOINTS / "tiny-bge-reranker")), "fp32", S3Config(), "cross_encoder")
    spec.seen.clear()
    rows = [
        {"id": query, "text": f"what is {query}", "candidate_segments": [i // 3 for i in found], "candidate_rows": [i % 3 for i in found]}
        for query, found in CANDIDATES.items()
    ]
    batch = Parcel({"unit": "u", "counts": {}}, {"passages": pa.Table.from_pylist(rows)}).pack()
    return Parcel.unpack(Pairer(source, spec, depth)(batch)), list(spec.seen)


def test_each_query_and_each_distinct_passage_of_a_unit_is_tokenised_once(source):
    parcel, seen = paired(source, depth=4)
    assert sorted(seen) == sorted([*TEXTS, "what is q1", "what is q2", "what is q3"])
    unique, queries = parcel.tables["unique"], parcel.tables["passages"]
    assert unique.num_rows == 6
    alone = Counting(RerankConfig(model=str(CHECKPOINTS / "tiny-bge-reranker")), "fp32", S3Config(), "cross_encoder").tokenizer()
    for found, positions in zip(CANDIDATES.values(), queries["candidate_unique"].to_pylist(), strict=True):
        got = [unique["input_ids"][position].as_py() for position in positions]
        assert got == alone.passages([TEXTS[i] for i in found]).to_arrow().to_pylist()


def test_a_passage_that_no_query_has_within_the_depth_is_not_tokenised(source):
    parcel, seen = paired(source, depth=3)
    assert sorted(seen) == sorted([*TEXTS[:3], TEXTS[4], "what is q1", "what is q2", "what is q3"])
    assert np.diff(parcel.tables["unique"]["input_ids"].combine_chunks().offsets).size == 6, "positions stay those of the whole unit"
