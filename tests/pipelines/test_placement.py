"""Which actors of a stream can stand beside each other on the nodes of a cluster."""

from typing import Any

import pytest

from configs.errors import UserError
from configs.load import load_config
from pipelines.cluster import Cluster
from pipelines.placement import misfits
from tests.jobs import make_corpus, raytrieve, tiny_settings, write_config


def misfits_on(name: str, *nodes: dict[str, float], **values: Any) -> list[str]:
    """Of a shipped config on nodes with these resources."""
    whole = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU", "memory")}
    config = load_config(name, [f"{field}={value}" for field, value in {"search.searcher_gpus": 0, **values}.items()])
    cluster = Cluster(whole["CPU"], whole["GPU"], whole["memory"], private=False)
    return misfits(config, cluster, [{"Alive": True, "Resources": node} for node in nodes])


@pytest.mark.parametrize("name", ["bge", "layerwise", "m3-hybrid", "quickstart", "chinese"])
def test_one_node_of_one_gpu_has_room_for_the_shipped_configs(name):
    assert misfits_on(name, {"CPU": 8, "GPU": 1, "memory": 1e10}) == []


def test_one_gpu_holds_a_searcher_the_encoder_of_queries_and_a_reranker_as_they_are_by_default():
    assert misfits_on("chinese", {"CPU": 8, "GPU": 1, "memory": 1e10}, **{"search.searcher_gpus": 0.25}) == []


def test_shares_of_two_gpus_that_sum_up_to_enough_but_lie_apart_are_no_room():
    node = {"CPU": 32.0, "GPU": 2.0}
    shares = {"rerank.workers": "{min_size: 2, max_size: 2, gpus: 0.6}", "search.workers": "{gpus: 0.8}"}
    (told,) = misfits_on("bge", node, **shares)
    assert told.startswith("rerank.workers asks for 2 x 1 CPU and 0.6 GPU and finds room for 1 of them beside ")
    assert "search.workers (1 x 1 CPU and 0.8 GPU), but the cluster has 32 CPU, 2 GPU" in told and told.endswith("gpus, or add a node")
    assert misfits_on("bge", node, **{**shares, "search.workers": "{gpus: 0.4}"}) == []
    assert misfits_on("bge", {"CPU": 32.0, "GPU": 1.0}, **{"rerank.workers": "{gpus: 0.8}", "search.workers": "{gpus: 0.2}"}) == []


def test_an_actor_lies_on_one_node_whatever_the_nodes_have_together():
    (told,) = misfits_on("bge", *[{"CPU": 8.0, "GPU": 1.0}] * 4, **{"embed.workers.gpus": 2})
    assert told.startswith("embed.workers asks for 1 x 1 CPU and 2 GPU and finds no room beside ")


def test_gpus_that_a_config_asks_for_count_only_where_the_cluster_has_some():
    assert misfits_on("bge", {"CPU": 8.0}) == []
    with pytest.raises(UserError, match=r"rerank\.workers: device is cuda but the Ray cluster has no GPU"):
        misfits_on("bge", {"CPU": 8.0}, **{"rerank.device": "cuda"})


def test_a_stream_whose_actors_take_every_cpu_is_told_that_nothing_can_read_or_write():
    (told,) = misfits_on("quickstart", {"CPU": 2.0}, **{"embed.workers.cpus": 1, "search.workers.cpus": 0.5, "rerank.workers.cpus": 0.5})
    assert told.startswith("reading and writing asks for 1 x 0.5 CPU and finds no room beside embed.workers (2 x 1 CPU)")


@pytest.mark.cluster
def test_a_run_that_its_private_cluster_can_never_hold_ends_at_once_with_the_remedy(tmp_path):
    make_corpus(tmp_path, passages=20, queries=2)
    pool = {"min_size": 5, "max_size": 5}
    made = tiny_settings(tmp_path, tmp_path / "store", embed={"workers": pool}, ray={"local_cpus": 4})
    done = raytrieve("run", str(write_config(tmp_path / "job.yaml", made)))
    assert done.returncode == 2 and not list(tmp_path.glob("store/vectors/*"))
    assert "embed.workers asks for 5 x 1 CPU and finds room for 4 of them beside reading and writing (1 x 0.5 CPU)" in done.stderr
    assert "lower embed.workers.min_size or embed.workers.cpus, or raise ray.local_cpus or join a larger cluster." in done.stderr
