"""Callables that do the same work in; their times out, taken in turn so that a machine whose speed drifts is fair to all.

The order is A B B A A B ...: forth and back, repeat by repeat. Every contestant runs once before, uncounted, to warm up.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LEAST = 5
"""Repeats below which a figure is not one to quote."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """`work` does `amount` of `unit` in one call."""

    name: str
    work: Callable[[], object]
    amount: float
    unit: str


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of every counted run, and of the one before them."""

    name: str
    amount: float
    unit: str
    warm_up: float
    seconds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """`unit` per second in the median run."""
        return self.amount / statistics.median(self.seconds)

    def over(self, other: "Timing") -> dict[str, float]:
        """How many times faster than `other`: median, least and most over the repeats, each pair taken within one repeat."""
        ratios = [
            (self.amount / mine) / (other.amount / theirs) for mine, theirs in zip(self.seconds, other.seconds, strict=True)
        ]
        return spread(ratios)

    def plain(self) -> dict[str, Any]:
        """For JSON: rates by median, least and most, and the seconds they come from."""
        rates = spread([self.amount / seconds for seconds in self.seconds])
        return {"name": self.name, "unit": f"{self.unit}/s", "rate": rates, "warm_up_s": self.warm_up, "seconds": list(self.seconds)}


def measure(contestants: Sequence[Contestant], repeats: int) -> list[Timing]:
    """Times of all contestants, in their order."""
    warm_ups = [_seconds(contestant.work) for contestant in contestants]
    seconds: list[list[float]] = [[] for _ in contestants]
    for repeat in range(repeats):
        order = range(len(contestants)) if repeat % 2 == 0 else reversed(range(len(contestants)))
        for number in order:
            seconds[number].append(_seconds(contestants[number].work))
    return [
        Timing(contestant.name, contestant.amount, contestant.unit, warm_up, tuple(taken))
        for contestant, warm_up, taken in zip(contestants, warm_ups, seconds, strict=True)
    ]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
