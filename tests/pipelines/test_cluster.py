"""Joining a cluster when Ray is slow to start."""

import pytest
import ray

from actors.models.precision import place
from configs.errors import UserError
from configs.schema import RayConfig
from pipelines.cluster import Cluster, connected, resolve_precision


def slow_to_start(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Let Ray fail so often as it does on a machine that is too busy to bring its node up in 30 s; the calls that it had."""
    calls: list[str] = []

    def init(address: str, **options: object) -> None:
        calls.append(address)
        if len(calls) <= times:
            raise Exception("The current node timed out during startup. This could happen because some of the raylet failed to startup")

    # Other tests may have a Ray of their own in this process: it is neither joined nor shut down.
    for name, stand_in in (("init", init), ("is_initialized", bool), ("shutdown", bool), ("cluster_resources", dict)):
        monkeypatch.setattr(ray, name, stand_in)
    return calls


def test_a_ray_that_is_slow_to_start_is_started_again(monkeypatch):
    calls = slow_to_start(monkeypatch, times=2)
    with connected(RayConfig()) as cluster:
        assert cluster.private
    assert calls == ["local"] * 3


def test_a_ray_that_never_comes_up_is_one_sentence(monkeypatch):
    calls = slow_to_start(monkeypatch, times=9)
    with pytest.raises(UserError, match="did not come up in 3 tries"), connected(RayConfig()):
        pass
    assert len(calls) == 3


def test_int8_on_a_cluster_with_gpus_is_refused_unless_the_model_stays_on_cpus():
    with_gpu = Cluster(cpus=8, gpus=1, memory=1e9, private=False)
    with pytest.raises(UserError, match=r"precision is int8, which is for CPUs, .*: use bf16, or device cpu"):
        resolve_precision("int8", "auto", with_gpu)
    assert resolve_precision("int8", "cpu", with_gpu) == "int8"


@pytest.mark.parametrize(("flags", "precision"), [("avx2 fma", "fp32"), ("avx2 avx512f avx512_bf16", "bf16")])
def test_auto_is_bf16_where_the_processor_is_fast_at_it_for_the_driver_and_for_a_model(flags, precision, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: AuthenticAMD\nflags\t\t: {flags}\n")
    monkeypatch.setattr("actors.machine._CPUINFO", tmp_path / "cpuinfo")
    assert resolve_precision("auto", "auto", Cluster(cpus=8, gpus=0, memory=1e9, private=False)) == precision
    assert place("cpu", "auto").dtype == place("cpu", precision).dtype
