"""Exact linear maps and the numbers that flow through them in, the same maps in 8-bit integers with fixed scales out.

Scales are found once, over a few texts, so that nothing has to be measured of each token, and no result hangs on its batch. Each input
has a scale of its own, half of whose spread the weights take over (SmoothQuant, Xiao et al. 2023). Numbers are cut at 1.25 times the
range of what was seen.
"""

from dataclasses import dataclass, field

import torch

from actors.machine import has_vnni
from actors.models.backbones.int8 import prepack, round_weights
from actors.models.backbones.layers import Linear

Fused = tuple[str, str]
"""An activation that oneDNN computes on the way out of a product: its name and its variant."""

_PLAIN: Fused = ("none", "")
MARGIN = 1.25
"""Room left beyond what was seen, as a factor."""

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

    def place(self, x: torch.Tensor) -> torch.Tensor:
        """x float32, in steps from the middle and free to be overwritten, as uint8. By way of int8, to which torch converts four times
        as fast."""
        if self.bits == 7:
            return x.add_(self.zero).round_().clamp_(0, self.steps).to(torch.int8).view(torch.uint8)
        return x.round_().clamp_(-self.zero, self.zero - 1).to(torch.int8).view(torch.uint8).bitwise_xor_(self.zero)

    @classmethod
    def of_this_machine(cls) -> "Grid":
        """The finer one where it is safe."""
        return cls(8 if has_vnni() else 7)


@dataclass(frozen=True, slots=True)
class CalibratedLinear:
    """x [T, in] float32 -> about x weight^T + bias [T, out] float32, or [T, out] uint8 on the scale of the next map."""

    grid: Grid
    whole: torch.Tensor
    """int8 [out, in]: weights times the inputs' steps, over their scales."""
    scales: torch.Tensor
    """float32 [out]."""
    bias: torch.Tensor
    """float32 [out]: with what the inputs' offsets amount to."""
    _factors: torch.Tensor
    _offsets: torch.Tensor
    _packed: torch.Tensor
    _zeros: torch.Tensor
    _parts: dict[tuple[int, int], "CalibratedLinear"] = field(default_factory=dict)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, in] to [T, out]."""
        return self._product(self.place(x), _PLAIN, 1.0, 0, torch.float32)

    def place(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs float32 [T, in] as whole numbers, uint8 [T, in]."""
        return self.grid.place(torch.addcmul(self._offsets, x, self._factors))

    def activated(self, placed: torch.Tensor, activation: Fused) -> torch.Tensor:
        """float32 [T, out]: the activation of the outputs of placed inputs."""
        return self._product(placed, activation, 1.0, 0, torch.float32)

    def activated_whole(self, placed: torch.Tensor, activation: Fused, scale: float, zero: int) -> torch.Tensor:
        """The same over `scale`, plus `zero`, as uint8 [T, out], cut to the grid."""
        whole = self._product(placed, activation, scale, zero, torch.uint8)
        return whole if self.grid.bits == 8 else whole.clamp_(max=self.grid.steps)

    def rows(self, places: torch.Tensor) -> "CalibratedLinear":
        """The outputs at int64 [n] alone, of inputs placed alike."""
        return self._pack(self.grid, self.whole[places], self.scales[places], self.bias[places], self._factors, self._offsets)

    def part(self, first: int, last: int) -> "CalibratedLinear":
        """Outputs first to last alone; packed once."""
        if (first, last) not in self._parts:
            whole, scales, bias = self.whole[first:last], self.scales[first:last], self.bias[first:last]
            self._parts[first, last] = self._pack(self.grid, whole, scales, bias, self._factors, self._offsets)
        return self._parts[first, last]

    @classmethod
    def of(cls, exact: Linear, inputs: Seen, grid: Grid) -> "CalibratedLinear":
        """An exact map of float32, and the inputs that it had of a few texts."""
        weight, middle, half = exact.weight, (inputs.high + inputs.low) / 2, _floored((inputs.high - inputs.low) / 2)
        steps = (half / _floored(weight.abs().amax(0))).sqrt_()
        steps *= (half / steps).max() * MARGIN / (grid.zero - 1)
        whole, scales = round_weights(weight * steps)
        bias = weight @ middle if exact.bias is None else exact.bias + weight @ middle
        return cls._pack(grid, whole, scales, bias, 1 / steps, -middle / steps)

    @classmethod
    def _pack(
        cls, grid: Grid, whole: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor, factors: torch.Tensor, offsets: torch.Tensor
    ) -> "CalibratedLinear":
        return cls(grid, whole, scales, bias, factors, offsets, *prepack(whole))

    def _product(self, placed: torch.Tensor, activation: Fused, scale: float, zero: int, dtype: torch.dtype) -> torch.Tensor:
        post, variant = activation
        return torch.ops.onednn.qlinear_pointwise(
            placed, 1.0, self.grid.zero, self._packed, self.scales, self._zeros, self.bias, scale, zero, dtype, post, [], variant
        )


def _floored(values: torch.Tensor) -> torch.Tensor:
    """float32 [n], none of them nothing beside the largest."""
    return values.clamp(min=max(float(values.max()) * _LEAST, 1e-12))


def _coarser(values: torch.Tensor) -> torch.Tensor:
    """The nearest numbers of 6 binary places."""
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 64).round_() / 64, exponent)
