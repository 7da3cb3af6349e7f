"""A stream's operators in, a brake on its first pool of actors out: no more units begun than the stream has workers.

A unit is begun when the first model takes it up, and is redone after a kill unless it was committed. Ray Data of itself bounds by bytes
what waits between operators; small units that a model makes faster than they are written would wait by the hundred.

Every actor may have a unit waiting beside the one it works on, or it would idle between two, and a pool would not grow: Ray adds no actor
while a brake is on. Where a pool is larger than the tasks around it these make more than one unit for each worker, two for an actor.
"""

from collections.abc import Sequence
from typing import Any

from ray.data import DataContext
from ray.data._internal.execution import backpressure_policy as ray_policies

_POLICIES = ray_policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY


class OneUnitPerWorker(ray_policies.BackpressurePolicy):
    """Lets the first pool of actors take a unit while fewer are begun and not committed than the stream has workers, of all operators."""

    def __init__(self, data_context: DataContext, topology: Any, resource_manager: Any) -> None:
        super().__init__(data_context, topology, resource_manager)
        operators = list(topology)
        pools = [operator for operator in operators if operator.get_autoscaling_actor_pools()]
        self._last: Any = operators[-1]
        self._first_pool: Any = pools[0] if pools else None
        from_there = operators[operators.index(pools[0]) :] if pools else []
        self._most = max(_workers(operators), _workers(from_there) + _workers(pools))

    def can_add_input(self, op: Any) -> bool:
        """Whether the operator may take one unit more. Each is one task of every operator."""
        if op is not self._first_pool:
            return True
        return op.metrics.num_tasks_submitted - self._last.metrics.num_tasks_finished < self._most


def _workers(operators: Sequence[Any]) -> int:
    """How many tasks and actors there may be of them."""
    return sum(operator.get_max_concurrency_limit() or 0 for operator in operators)


def bound_units_in_hand(context: DataContext) -> None:
    """Apply the brake to the streams of this context, beside what it has. Ray 2.60 reads its list of policies from here."""
    policies = context.get_config(_POLICIES, ray_policies.ENABLED_BACKPRESSURE_POLICIES)
    context.set_config(_POLICIES, [*policies, OneUnitPerWorker])
