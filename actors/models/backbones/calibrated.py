"""Exact linear maps and the numbers that flow through them in, the same maps in 8-bit integers with fixed scales out.

Scales are found once, over a few texts, so that nothing has to be measured of each token, and no result hangs on its batch. Each input
has a scale of its own, half of whose spread the weights take over (SmoothQuant, Xiao et al. 2023). Numbers are cut at 1.25 times the
range of what was seen.
"""

from dataclasses import dataclass, field

import torch

from actors.machine import has_vnni
from actors.models.backbones.int8 import PLAIN, Fused, WholeProduct, round_weights
from actors.models.backbones.layers import Linear

MARGIN = 1.25
"""Room left beyond what was seen, as a factor."""

_ROUNDER = 1.5 * 2.0**23  # a float32 of this size has no room for fractions, and its lowest bits are a whole number
_LEAST = 1e-3  # of the widest range or the largest weight: an input that hardly moved may yet


@dataclass(frozen=True, slots=True)
class Seen:
    """Between which values each input of a map lay, float32 [in] each: rounded, so that the order of sums seldom shows in them."""

    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor) -> "Seen":
        """Of inputs [T, in]."""
        return cls(_coarser(x.amin(0)), _coarser(x.amax(0)))


@dataclass(frozen=True, slots=True)
class Grid:
    """The whole numbers of a map's inputs: 8 bits, or 7 on processors whose sums of two products 8 bits would overflow."""

    bits: int

    @property
    def steps(self) -> int:
        """Between the least and the greatest."""
        return (1 << self.bits) - 1

    @property
    def zero(self) -> int:
        """The number in the middle, which stands for 0 where positive and negative values are alike."""
        return 1 << (self.bits - 1)

    @property
    def origin(self) -> float:
        """What to add to numbers in steps from the middle: the sum is rounded, and its lowest byte is the number on the grid."""
        return _ROUNDER + self.zero

    def cut(self, placed: torch.Tensor) -> torch.Tensor:
        """Numbers float32, in steps from the middle plus `origin` and free to be overwritten, as uint8. (Rounding, and then converting
        from floating point, would be two passes more.)"""
        return placed.clamp_(_ROUNDER, _ROUNDER + self.steps).view(torch.int32).to(torch.uint8)

    @classmethod
    def of_this_machine(cls) -> "Grid":
        """The finer one where it is safe."""
        return cls(8 if has_vnni() else 7)


@dataclass(frozen=True, slots=True)
class CalibratedLinear:
    """x [T, in] -> about x weight^T + bias [T, out] float32 or bf16, as it `gives`; or [T, out] uint8 on the scale of the next map.

    What is activated, or added to something, is float32.
    """

    grid: Grid
    whole: torch.Tensor
    """int8 [out, in]: weights times the inputs' steps, over their scales."""
    product: WholeProduct
    """Its bias is with what the inputs' offsets amount to."""
    _factors: torch.Tensor
    _offsets: torch.Tensor
    gives: torch.dtype = torch.float32
    _parts: dict[tuple[int, int], "CalibratedLinear"] = field(default_factory=dict)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, in] to [T, out]."""
        return self.product(self.place(x), 1.0, self.grid.zero, PLAIN, self.gives)

    def plus(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """other [T, out] + the map of x [T, in]."""
        return self.product.plus(self.place(x), 1.0, self.grid.zero, other)

    def place(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs float32 or bf16 [T, in] as whole numbers, uint8 [T, in]."""
        return self.grid.cut(torch.addcmul(self._offsets, x, self._factors))

    def activated(self, placed: torch.Tensor, activation: Fused) -> torch.Tensor:
        """float32 [T, out]: the activation of the outputs of placed inputs."""
        return self.product(placed, 1.0, self.grid.zero, activation)

    def activated_whole(self, placed: torch.Tensor, activation: Fused, scale: float, zero: int) -> torch.Tensor:
        """The same over `scale`, plus `zero`, as uint8 [T, out], cut to the grid."""
        whole = self.product.whole(placed, self.grid.zero, activation, scale, zero)
        return whole if self.grid.bits == 8 else whole.clamp_(max=self.grid.steps)

    def rows(self, which: slice | torch.Tensor) -> "CalibratedLinear":
        """Some outputs alone, a slice or places int64 [n], of inputs placed alike."""
        product = self.product.of_outputs(self.whole, which)
        return CalibratedLinear(self.grid, self.whole[which], product, self._factors, self._offsets, self.gives)

    def part(self, first: int, last: int) -> "CalibratedLinear":
        """Outputs first to last alone; packed once."""
        if (first, last) not in self._parts:
            self._parts[first, last] = self.rows(slice(first, last))
        return self._parts[first, last]

    @classmethod
    def of(cls, exact: Linear, inputs: Seen, grid: Grid, gives: torch.dtype = torch.float32) -> "CalibratedLinear":
        """An exact map of float32, and the inputs that it had of a few texts; `gives`: the type of its outputs."""
        weight, half = exact.weight, _floored((inputs.high - inputs.low) / 2)
        steps = (half / _floored(weight.abs().amax(0))).sqrt_()
        steps *= (half / steps).max() * MARGIN / (grid.zero - 1)
        middle = ((inputs.high + inputs.low) / 2 / steps).round_()  # whole: `origin` leaves an offset no room for fractions
        whole, scales = round_weights(weight * steps)
        moved = weight @ (middle * steps)
        bias = moved if exact.bias is None else exact.bias + moved
        return cls(grid, whole, WholeProduct.of(whole, scales, bias), 1 / steps, grid.origin - middle, gives)


def _floored(values: torch.Tensor) -> torch.Tensor:
    """float32 [n], none of them nothing beside the largest."""
    return values.clamp(min=max(float(values.max()) * _LEAST, 1e-12))


def _coarser(values: torch.Tensor) -> torch.Tensor:
    """The nearest numbers of 6 binary places."""
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 64).round_() / 64, exponent)
