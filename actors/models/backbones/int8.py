"""A float32 linear map in, the same in 8-bit integers out: for decoders on CPUs without bf16 instructions (encoders: calibrated.py).

The product of whole numbers serves both. In a decoder, each output's weights have a scale of their own, and each token's inputs a scale
and an offset, so that a vector does not hang on the texts it was computed with. Inputs have 7 bits: processors without VNNI add two
products in 16 bits, which 8 bits would overflow.
"""

from dataclasses import dataclass, field

import torch

_WEIGHT_TOP, _INPUT_TOP = 127, 127  # the largest whole numbers: weights go from minus it, inputs from 0
_LEAST = 1e-12  # scale of what is all zeros


Fused = tuple[str, str]
"""An activation that oneDNN computes on the way out of a product: its name and its variant."""

PLAIN: Fused = ("none", "")


@dataclass(frozen=True, slots=True)
class WholeProduct:
    """Whole numbers [T, in] times whole weights: what oneDNN computes, with what it takes along."""

    scales: torch.Tensor
    """float32 [out]: of the weights."""
    bias: torch.Tensor | None
    """float32 [out]."""
    _packed: torch.Tensor
    _zeros: torch.Tensor

    @classmethod
    def of(cls, weights: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> "WholeProduct":
        """Weights int8 [out, in] packed as oneDNN multiplies them fastest, with the zero points that it asks for."""
        packed = torch.ops.onednn.qlinear_prepack(weights.contiguous(), None)
        return cls(scales, bias, packed, torch.zeros(len(weights), dtype=torch.int64))

    def of_outputs(self, weights: torch.Tensor, which: slice | torch.Tensor) -> "WholeProduct":
        """Some outputs alone, a slice or places int64 [n], given the weights of all."""
        return WholeProduct.of(weights[which], self.scales[which], None if self.bias is None else self.bias[which])

    def __call__(
        self, x: torch.Tensor, scale: float, zero: int, activation: Fused = PLAIN, gives: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """[T, out] in float32 or bf16, activated, of uint8 [T, in] that stand for (x - zero) * scale."""
        weights, (post, variant) = self._weights(), activation
        return torch.ops.onednn.qlinear_pointwise(x, scale, zero, *weights, self.bias, 1.0, 0, gives, post, [], variant)

    def whole(self, x: torch.Tensor, zero: int, activation: Fused, out_scale: float, out_zero: int) -> torch.Tensor:
        """uint8 [T, out] q, of which (q - out_zero) * out_scale are about the activated outputs of uint8 [T, in] in steps of 1."""
        weights, (post, variant) = self._weights(), activation
        return torch.ops.onednn.qlinear_pointwise(x, 1.0, zero, *weights, self.bias, out_scale, out_zero, torch.uint8, post, [], variant)

    def plus(self, x: torch.Tensor, scale: float, zero: int, other: torch.Tensor) -> torch.Tensor:
        """float32 [T, out]: other + the outputs, in one pass over memory."""
        return torch.ops.onednn.qlinear_pointwise.binary(
            x, scale, zero, *self._weights(), other, self.bias, 1.0, 0, torch.float32, 1.0, 0, "add", 1.0, "none", [], ""
        )

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return self._packed, self.scales, self._zeros


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """x [T, in] float32 -> about x weight^T + bias [T, out] float32."""

    whole: torch.Tensor
    """int8 [out, in]: weights over their scales."""
    product: WholeProduct
    bias: torch.Tensor
    """float32 [out]."""
    _sums: torch.Tensor
    _parts: dict[tuple[int, int], "Int8Linear"] = field(default_factory=dict)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, in] to [T, out]."""
        low = x.amin(1, keepdim=True)
        scale = (x.amax(1, keepdim=True) - low).clamp_(min=_LEAST).div_(_INPUT_TOP)
        # + 0.5: the conversion cuts off. One addcmul for both would take twice as long, and torch's conversion to uint8 four times.
        rounded = (x * (1 / scale)).add_(0.5 - low / scale).to(torch.int8).view(torch.uint8)
        products = self.product(rounded, 1.0, 0)
        # In place: fresh pages cost more than the sums.
        return torch.addcmul(self.bias, products, scale, out=products).addcmul_(low, self._sums)

    def part(self, first: int, last: int) -> "Int8Linear":
        """Outputs first to last alone; packed once."""
        if (first, last) not in self._parts:
            here = slice(first, last)
            product = self.product.of_outputs(self.whole, here)
            self._parts[first, last] = Int8Linear(self.whole[here], product, self.bias[here], self._sums[here])
        return self._parts[first, last]

    @classmethod
    def quantize(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> "Int8Linear":
        """Round the weights [out, in] of a map."""
        whole, scales = round_weights(weight)
        sums = whole.sum(1).float() * scales
        return cls(whole, WholeProduct.of(whole, scales, None), torch.zeros_like(scales) if bias is None else bias, sums)


def round_weights(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights float32 [out, in] as int8, and the scale of each output, float32 [out]."""
    scales = weight.abs().amax(1).clamp_(min=_LEAST).div_(_WEIGHT_TOP)
    return (weight / scales[:, None]).round_().to(torch.int8), scales
