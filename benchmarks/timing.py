"""Callables that do the same work in; their times out, taken in turn so that a machine whose speed drifts is fair to all.

The order is A B B A A B ...: forth and back, repeat by repeat. Every contestant runs once before, uncounted: that warms it up, and what
it gives is compared with what the others give.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

OURS = "raytrieve"
"""How the names of our own contestants begin; a precision follows."""

LEAST = 5
"""Repeats below which a figure is not one to quote."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """`work` does `amount` of `unit` in one call. `warm_up`: seconds of its first run."""

    name: str
    work: Callable[[], Any]
    amount: float
    unit: str
    warm_up: float = 0.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of every counted run, and of the one before them."""

    name: str
    amount: float
    unit: str
    warm_up: float
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of the median run."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """`unit` per second in the median run."""
        return self.amount / self.median

    def over(self, other: "Timing") -> dict[str, float]:
        """How many times faster than `other`: median, least and most over the repeats, each pair taken within one repeat."""
        ratios = [(self.amount / mine) / (other.amount / theirs) for mine, theirs in zip(self.seconds, other.seconds, strict=True)]
        return spread(ratios)

    def plain(self) -> dict[str, Any]:
        """For JSON: rates by median, least and most, and the seconds they come from."""
        rates = spread([self.amount / seconds for seconds in self.seconds])
        return {"name": self.name, "unit": f"{self.unit}/s", "rate": rates, "warm_up_s": self.warm_up, "seconds": list(self.seconds)}


def first_run(contestant: Contestant) -> tuple[Any, Contestant]:
    """What a contestant gives, and the contestant, now warm."""
    started = time.perf_counter()
    result = contestant.work()
    return result, replace(contestant, warm_up=time.perf_counter() - started)


def measure(contestants: Sequence[Contestant], repeats: int) -> list[Timing]:
    """Times of warm contestants, in the order given."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for repeat in range(repeats):
        order = range(len(contestants)) if repeat % 2 == 0 else reversed(range(len(contestants)))
        for number in order:
            started = time.perf_counter()
            contestants[number].work()
            seconds[number].append(time.perf_counter() - started)
    return [Timing(c.name, c.amount, c.unit, c.warm_up, tuple(taken)) for c, taken in zip(contestants, seconds, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
