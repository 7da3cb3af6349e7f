"""A task that Ray repeats after its unit was committed finds the work done."""

from actors.index.kinds import resolve_plan
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.storage.commits import attempts, committed_units
from actors.storage.local_store import LocalStore
from actors.trainer import Trainer
from configs.schema import IndexConfig


def test_a_task_repeated_after_its_commit_computes_nothing_and_tells_the_same(tmp_path):
    store = LocalStore(tmp_path / "store")
    trainer = Trainer(Workplace(store, "quantizers", "run"), resolve_plan(IndexConfig(kind="flat"), 100, 32), 100, 0)
    unit = Parcel({"units": ["u"], "pieces": []}).pack()
    first, again = (Parcel.unpack(trainer(unit)).header for _ in range(2))
    assert {**first, "ours": False} == again and first["ours"]
    assert committed_units(store, "quantizers") == {"u"} and len(attempts(store, "quantizers")) == 1
