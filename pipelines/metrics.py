"""Counts in, Ray metrics out: `ray_raytrieve_<name>` counters with the stage as a tag, on every node's metrics port."""

from dataclasses import replace
from typing import Any

from actors.reader import Workplace


class StageCounters:
    """The counter function of a stage. Crosses processes by its name; Ray's objects are made where they count."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._counters: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return StageCounters, (self._stage,)

    def __call__(self, name: str, amount: float) -> None:
        """Add to the counter of that name. Nothing to add is nothing to count: Ray refuses zero."""
        if amount <= 0:
            return
        if name not in self._counters:
            from ray.util.metrics import Counter

            self._counters[name] = Counter(f"raytrieve_{name}", description=f"Raytrieve: {name} of committed units", tag_keys=("stage",))
        self._counters[name].inc(amount, tags={"stage": self._stage})


def counted(place: Workplace, stage: str) -> Workplace:
    """The workplace for those who commit in a stage: what they finish is counted."""
    return replace(place, count=StageCounters(stage))
