"""What Ray gives an actor again after the unit was committed: it goes through the whole chain without being computed."""

import pyarrow as pa
import pytest

from actors.embedder import Embedder
from actors.loading import EncoderSpec
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import attempts, committed_units
from actors.storage.local_store import LocalStore
from actors.tokenizer import Tokenizer
from actors.writer import Writer
from configs.schema import EmbedConfig, PoolConfig, S3Config
from pipelines.operators import Operator, chained, run_chain
from tests.jobs import CHECKPOINTS

UNITS = [f"u{number}" for number in range(6)]


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


@pytest.fixture
def operators(store):
    place = Workplace(store, "vectors/f", "run")
    spec = EncoderSpec(EmbedConfig(model=str(CHECKPOINTS / "tiny-bge-en")), "fp32", S3Config(), "cpu")
    return [
        Operator(Tokenizer, {"spec": spec, "queries": False}, cpus=0.5, tasks=2),
        Operator(Embedder, {"spec": spec, "place": place, "dtype": "fp32"}, cpus=0.25, pool=PoolConfig(max_size=1)),
        Operator(Writer, {"place": place, "table": "passages"}, cpus=0.3, tasks=2),
    ]


def parcel(unit: str) -> pa.Table:
    header = {"unit": unit, "attempt": "a", "started": 0.0, "files": {}, "counts": {"rows": 1}}
    return Parcel(header, {"passages": pa.table({"id": [unit], "text": [f"a panda of {unit}"]})}).pack()


@pytest.mark.cluster
def test_a_restarted_actor_computes_no_unit_that_was_committed_meanwhile(store, operators, local_ray):
    before = {unit: Parcel.unpack(run_chain(operators, parcel(unit))[0]).header for unit in ("u0", "u2")}
    given = chained([parcel(unit) for unit in UNITS], operators, retries=1).iter_batches(batch_size=1, batch_format="pyarrow")
    receipts = {header["unit"]: header for header in (Parcel.unpack(batch).header for batch in given)}
    assert {unit for unit, header in receipts.items() if not header["ours"]} == {"u0", "u2"}
    assert all(receipts[unit] == {**header, "ours": False} for unit, header in before.items())
    assert committed_units(store, "vectors/f") == set(UNITS)
    assert sorted(unit for unit, _ in attempts(store, "vectors/f")) == UNITS, "every unit was begun once"
