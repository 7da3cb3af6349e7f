"""A Ray cluster of two nodes, of which one can be killed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
from ray.cluster_utils import Cluster

from tests.processes import kill, workers_of

MEMORY = 150 << 20
ON_THE_SECOND = {"workers": {"cpus": 3}}
"""A section of the config whose actors find room on the second node only."""


@contextmanager
def two_nodes(head_cpus: int = 2) -> Iterator[tuple[str, Callable[[bool], int]]]:
    """The cluster's address, and what kills its second node and puts another in its place. All work is there when the head has no CPUs.

    Called with True, it kills every process of the node. With False it kills that of Ray alone, as when a node is cut off: its workers
    go on for as long as they do not notice. Returns how many workers had been at work there.
    """
    head = {"num_cpus": head_cpus, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)

    def replace(whole: bool) -> int:
        raylet = second.all_processes["raylet"][0].process.pid
        workers = workers_of(raylet, "")
        busy = workers - workers_of(raylet, "Agent") - workers_of(raylet, "IDLE")
        kill([*workers, psutil.Process(raylet)] if whole else [])
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(num_cpus=5, object_store_memory=MEMORY)
        return len(busy)

    try:
        second = cluster.add_node(num_cpus=5, object_store_memory=MEMORY)
        cluster.wait_for_nodes()
        yield cluster.address, replace
    finally:
        cluster.shutdown()
