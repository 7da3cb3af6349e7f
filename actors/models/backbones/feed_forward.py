"""The feed-forward step of an encoder's layer and what it is added to, exact or in 8-bit integers: [T, d] in, [T, d] out.

In 8 bits, numbers stay whole between the two maps, activation included; the few inner neurons that reach far beyond all others, and
would make the steps of all wide, go from map to map in float32 (as outliers in LLM.int8(), Dettmers et al. 2022).
"""

from dataclasses import dataclass

import torch

from actors.models.backbones.calibrated import MARGIN, CalibratedLinear, Grid, Seen
from actors.models.backbones.int8 import Fused, WholeProduct, round_weights
from actors.models.backbones.layers import Activation, Linear
from actors.models.backbones.packed_linear import PackedLinear

_APART, _STANDS_OUT = 8, 1.5  # neurons kept apart where the widest exceeds the one after them by this
_FUSED: dict[str, Fused] = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "gelu_fast": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "swish": ("swish", ""),
}
"""Every activation of layers.py, as oneDNN names it: packed and whole maps compute it on the way out."""


@dataclass(frozen=True, slots=True)
class FeedForward:
    """x [T, d] -> x + down(act(up(x))) [T, d]. `name`: the activation's, as in config.json."""

    up: Linear
    name: str
    act: Activation
    down: Linear

    def plus(self, x: torch.Tensor) -> torch.Tensor:
        """[T, d] to [T, d]."""
        return self.down.plus(self.act(self.up(x)), x)


@dataclass(frozen=True, slots=True)
class PackedFeedForward:
    """The same with packed maps."""

    up: PackedLinear
    activation: Fused
    down: PackedLinear

    def plus(self, x: torch.Tensor) -> torch.Tensor:
        """[T, d] to [T, d]."""
        return self.down.plus(self.up.activated(x, self.activation), x)

    @classmethod
    def of(cls, exact: FeedForward) -> "PackedFeedForward":
        """An exact step whose weights may be forgotten then."""
        return cls(PackedLinear.of(exact.up), _FUSED[exact.name], PackedLinear.of(exact.down))


@dataclass(frozen=True, slots=True)
class CalibratedFeedForward:
    """x [T, d] -> about x + down(act(up(x))) [T, d], float32; act(up(x)) in 8 bits but for the neurons that stand out."""

    up: CalibratedLinear
    activation: Fused
    scale: float
    zero: int
    down: WholeProduct
    apart: tuple[CalibratedLinear, torch.Tensor] | None
    """Of those neurons: the map to them, and the weights [neurons, d] from them."""

    def plus(self, x: torch.Tensor) -> torch.Tensor:
        """[T, d] to [T, d]."""
        placed = self.up.place(x)
        inner = self.up.activated_whole(placed, self.activation, self.scale, self.zero)
        out = self.down.plus(inner, self.scale, self.zero, x)
        if self.apart is None:
            return out
        to, back = self.apart
        return out.addmm_(to.activated(placed, self.activation), back)

    @classmethod
    def of(cls, exact: FeedForward, outer: Seen, inner: Seen, grid: Grid) -> "CalibratedFeedForward":
        """An exact step, and the inputs that its two maps had of a few texts."""
        up, order = CalibratedLinear.of(exact.up, outer, grid), inner.high.argsort(descending=True, stable=True)
        count = _APART if len(order) > _APART and inner.high[order[0]] > _STANDS_OUT * inner.high[order[_APART]] else 0
        apart, rest = order[:count], order[count:]
        least, greatest = min(float(inner.low.min()), 0.0), max(float(inner.high[rest].max()), 0.0) * MARGIN
        scale = max(greatest - least, 1e-3 * float(inner.high.max()), 1e-6) / grid.steps
        weight = exact.down.weight.clone()
        back = (up.rows(apart), weight[:, apart].T.contiguous()) if count else None
        weight[:, apart] = 0
        whole, scales = round_weights(weight)
        down = WholeProduct.of(whole, scales, exact.down.bias)
        return cls(up, _FUSED[exact.name], scale, round(-least / scale), down, back)
