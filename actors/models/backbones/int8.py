"""A float32 linear map in, the same in 8-bit integers out: for decoders on CPUs without bf16 instructions (encoders: calibrated.py).

Each output's weights have a scale of their own, and each token's inputs a scale and an offset, so that a vector does not hang on the
texts it was computed with. Inputs have 7 bits: processors without VNNI add two products in 16 bits, which 8 bits would overflow.
"""

from dataclasses import dataclass, field

import torch

_WEIGHT_TOP, _INPUT_TOP = 127, 127  # the largest whole numbers: weights go from minus it, inputs from 0
_LEAST = 1e-12  # scale of what is all zeros


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """x [T, in] float32 -> about x weight^T + bias [T, out] float32."""

    whole: torch.Tensor
    """int8 [out, in]: weights over their scales."""
    scales: torch.Tensor
    """float32 [out]."""
    bias: torch.Tensor
    """float32 [out]."""
    _packed: torch.Tensor
    _zeros: torch.Tensor
    _sums: torch.Tensor
    _parts: dict[tuple[int, int], "Int8Linear"] = field(default_factory=dict)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, in] to [T, out]."""
        low = x.amin(1, keepdim=True)
        scale = (x.amax(1, keepdim=True) - low).clamp_(min=_LEAST).div_(_INPUT_TOP)
        # + 0.5: the conversion cuts off. One addcmul for both would take twice as long, and torch's conversion to uint8 four times.
        rounded = (x * (1 / scale)).add_(0.5 - low / scale).to(torch.int8).view(torch.uint8)
        products = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 0, self._packed, self.scales, self._zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        # In place: fresh pages cost more than the sums.
        return torch.addcmul(self.bias, products, scale, out=products).addcmul_(low, self._sums)

    def part(self, first: int, last: int) -> "Int8Linear":
        """Outputs first to last alone; packed once."""
        if (first, last) not in self._parts:
            self._parts[first, last] = self._pack(self.whole[first:last], self.scales[first:last], self.bias[first:last])
        return self._parts[first, last]

    @classmethod
    def quantize(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> "Int8Linear":
        """Round the weights [out, in] of a map."""
        whole, scales = round_weights(weight)
        return cls._pack(whole, scales, torch.zeros_like(scales) if bias is None else bias)

    @classmethod
    def _pack(cls, whole: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor) -> "Int8Linear":
        return cls(whole, scales, bias, *prepack(whole), whole.sum(1).float() * scales)


def round_weights(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights float32 [out, in] as int8, and the scale of each output, float32 [out]."""
    scales = weight.abs().amax(1).clamp_(min=_LEAST).div_(_WEIGHT_TOP)
    return (weight / scales[:, None]).round_().to(torch.int8), scales


def prepack(whole: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 [out, in] as oneDNN multiplies it fastest, and the zero points that its product asks for, int64 [out]."""
    return torch.ops.onednn.qlinear_prepack(whole.contiguous(), None), torch.zeros(len(whole), dtype=torch.int64)
