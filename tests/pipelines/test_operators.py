"""How Ray runs the operators of a stage."""

import threading

import pyarrow as pa
import pytest

from actors.parcels import Parcel
from configs.schema import PoolConfig
from pipelines.operators import Operator, chained


class Witness:
    """Says by a parcel's counts which thread built it and which one calls it."""

    def __init__(self) -> None:
        self._built = threading.get_ident()

    def __call__(self, batch: pa.Table) -> pa.Table:
        parcel = Parcel.unpack(batch)
        return parcel.replace({"counts": {"built": self._built, "called": threading.get_ident()}}).pack()


@pytest.mark.cluster
def test_an_actor_computes_in_the_thread_that_loaded_its_model(local_ray):
    """In another, torch takes 1.2 to 1.5 times as long for a small model: OpenMP keeps threads for both and lets them sleep."""
    parcels = [Parcel({"unit": f"u{number}", "counts": {}}, {}).pack() for number in range(4)]
    operator = Operator(Witness, {}, cpus=0.25, pool=PoolConfig(max_size=1))
    given = chained(parcels, [operator], retries=1).iter_batches(batch_size=1, batch_format="pyarrow")
    counts = [Parcel.unpack(batch).header["counts"] for batch in given]
    assert len(counts) == 4
    assert all(each["called"] == each["built"] for each in counts)
