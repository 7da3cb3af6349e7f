"""A stream's operators in, a brake on its first pool of actors out: no more units begun than the stream has workers.

A unit is begun when the first model takes it up, and is redone after a kill unless it was committed. Ray Data of itself bounds by bytes
what waits between operators; small units that a model makes faster than they are written would wait by the hundred.

While a brake is on, Ray adds no actor to a pool. So pools grow as soon as every actor of theirs has a unit, and not, as by Ray's own
setting, when each has almost two: a pool larger than the tasks around it would never come to have those. And they shrink when nobody in
them has one, not when half have: with more actors than units in hand Ray would end some and start others, each with its model.
"""

from dataclasses import replace
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
        self._most = sum(operator.get_max_concurrency_limit() or 0 for operator in operators)

    def can_add_input(self, op: Any) -> bool:
        """Whether the operator may take one unit more. Each is one task of every operator."""
        if op is not self._first_pool:
            return True
        return op.metrics.num_tasks_submitted - self._last.metrics.num_tasks_finished < self._most


def bound_units_in_hand(context: DataContext) -> None:
    """Apply the brake to the streams of this context, beside what it has. Ray 2.60 reads its list of policies from here."""
    policies = context.get_config(_POLICIES, ray_policies.ENABLED_BACKPRESSURE_POLICIES)
    context.set_config(_POLICIES, [*policies, OneUnitPerWorker])
    context.autoscaling_config = replace(
        context.autoscaling_config, actor_pool_util_upscaling_threshold=1.0, actor_pool_util_downscaling_threshold=0.0
    )
