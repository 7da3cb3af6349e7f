"""Pools of actors in, how many tasks beside them keep them busy out.

A task takes milliseconds, but Ray hands the next one on several hundredths of a second later. Two readers and two writers beside 16 actors,
with a unit a second each, kept every unit waiting for a second and let the actors work 0.60 of the time; eight of each, 0.97 (`python -m
benchmarks scaling`, two cores).
"""

import math

from configs.schema import PoolConfig

_LEAST = 2
_ACTORS_PER_TASK = 2
_PER_GPU = 4  # half a CPU each: two cores tokenise what a large model takes of one GPU


def light_tasks(*pools: PoolConfig) -> int:
    """Tasks at once of an operator that reads, writes or sorts beside these pools."""
    widest = max(pool.max_size for pool in pools)
    return max(_LEAST, math.ceil(widest / _ACTORS_PER_TASK))


def tokenizing_tasks(pool: PoolConfig, gpus: float, least: int = _LEAST) -> int:
    """Tasks at once of an operator that tokenises for a pool. `gpus`: of one actor, 0 on CPUs."""
    return max(least, light_tasks(pool), math.ceil(_PER_GPU * gpus * pool.max_size))
