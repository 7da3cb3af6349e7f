"""The pieces that networks are made of: linear maps, norms, activations, rotary positions. Plain callables over tensors [T, ...]."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from actors.models.backbones.int8 import Int8Linear
from actors.models.backbones.tensors import Tensors
from configs.errors import UserError

Activation = Callable[[torch.Tensor], torch.Tensor]
Tables = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of the positions, [T, 1, head_dim] each."""

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": functional.gelu,
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "gelu_fast": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
    "swish": functional.silu,
}


def activation(name: str) -> Activation:
    """A config's activation by its name. Raises UserError on one that is not known."""
    if name not in _ACTIVATIONS:
        raise UserError(f"the activation {name!r} of config.json is not supported: it is none of {', '.join(_ACTIVATIONS)}.")
    return _ACTIVATIONS[name]


@dataclass(frozen=True, slots=True)
class Linear:
    """x [T, in] -> x weight^T + bias [T, out]. `weight`: [out, in]; several maps of one input are one, stacked (fused projections).

    Weights of a wider type than x's make the product in theirs, and round it to x's.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, in] to [T, out]."""
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias).to(x.dtype)

    def plus(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """other [T, out] + the map of x [T, in]."""
        return self(x).add_(other)

    def part(self, first: int, last: int) -> "Linear":
        """Outputs first to last alone, sharing the weights' memory."""
        return Linear(self.weight[first:last], None if self.bias is None else self.bias[first:last])

    @classmethod
    def take(cls, tensors: Tensors, *names: str) -> "Linear":
        """The maps of these names, stacked; biases where the checkpoint has them."""
        return cls.prepared(*_stacked(tensors, *names))

    @classmethod
    def prepared(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> "Linear":
        """A map as its device computes it fastest."""
        kind = computed_in(weight.dtype, weight.device)
        return cls(_laid_out(weight.to(kind)), None if bias is None else bias.to(kind))


LinearMap = Linear | Int8Linear


def take_map(tensors: Tensors, *names: str) -> LinearMap:
    """As Linear.take, but in 8-bit integers where `tensors` asks for them."""
    return Int8Linear.quantize(*_stacked(tensors, *names)) if tensors.int8 else Linear.take(tensors, *names)


def _stacked(tensors: Tensors, *names: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    weights = [tensors.take(f"{name}.weight") for name in names]
    biases = [tensors.take(f"{name}.bias") for name in names if f"{name}.bias" in tensors]
    if len(biases) not in (0, len(names)):
        raise UserError(f"{tensors.folder}: only some of {', '.join(names)} have a bias: copy the whole checkpoint again.")
    return torch.cat(weights), torch.cat(biases) if biases else None


def computed_in(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The type to multiply `dtype` in: float32 on a CPU that knows no half precision, where torch's own loop takes ten times as long.

    A product of two bf16 or fp16 numbers is exact in float32, so that what comes out differs in the order of the sums alone.
    """
    if device.type != "cpu" or dtype not in (torch.bfloat16, torch.float16):
        return dtype
    return dtype if _multiplies(dtype) else torch.float32


def _multiplies(dtype: torch.dtype) -> bool:
    """Whether this processor has instructions for products in `dtype`. torch's probe for bf16 passes AVX-512, which only imitates it."""
    if dtype is torch.bfloat16 and platform.machine().lower() in ("x86_64", "amd64"):
        probes = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    else:
        probes = [getattr(torch.ops.mkldnn, f"_is_mkldnn_{'bf16' if dtype is torch.bfloat16 else 'fp16'}_supported", None)]
    return any(probe is None or probe() for probe in probes)  # not public in torch: absent means that torch knows best


def _laid_out(weight: torch.Tensor) -> torch.Tensor:
    """The same matrix, in memory a row for each input where MKL's float32 product is then faster: by 15 % at 2,000 tokens."""
    return weight.T.contiguous().T if weight.device.type == "cpu" and weight.dtype is torch.float32 else weight


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """(x - mean) / sqrt(variance + eps) * weight + bias, computed in float32 inside torch's kernel."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, d] to [T, d]."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    @classmethod
    def take(cls, tensors: Tensors, name: str, eps: float) -> "LayerNorm":
        """The norm of this name."""
        return cls(tensors.take(f"{name}.weight"), tensors.take(f"{name}.bias"), eps)


@dataclass(frozen=True, slots=True)
class RmsNorm:
    """x / sqrt(mean(x^2) + eps) * weight in float32, then back to x's type. Gemma stores its weights minus 1 and rounds last."""

    weight: torch.Tensor
    eps: float
    rounds_last: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., d] to [..., d]."""
        if x.dtype is torch.float32:
            return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)
        wide = functional.rms_norm(x.float(), self.weight.shape, None, self.eps)
        return (wide * self.weight).to(x.dtype) if self.rounds_last else wide.to(x.dtype) * self.weight.to(x.dtype)

    @classmethod
    def take(cls, tensors: Tensors, name: str, eps: float, minus_one: bool) -> "RmsNorm":
        """The norm of this name; `minus_one` says that the file holds the weight less 1 (Gemma)."""
        weight = tensors.take(f"{name}.weight").float()
        return cls(weight + 1 if minus_one else weight, eps, minus_one)


class Rotary:
    """Rotary positions, half-split (Su et al. 2021, as in Llama): tables grow to the longest text seen. Computed in float32."""

    def __init__(self, head_dim: int, theta: float, device: torch.device, dtype: torch.dtype) -> None:
        self._inverse = 1.0 / theta ** (torch.arange(0, head_dim, 2, device=device).float() / head_dim)
        self._dtype = dtype
        self._cos = self._sin = torch.empty(0, head_dim, device=device, dtype=dtype)

    def tables(self, positions: torch.Tensor, longest: int) -> Tables:
        """Cosines and sines [T, 1, head_dim] at positions int64 [T], all below `longest`."""
        if longest > len(self._cos):
            angles = torch.outer(torch.arange(max(longest, 512), device=self._inverse.device).float(), self._inverse)
            angles = torch.cat([angles, angles], -1)
            self._cos, self._sin = angles.cos().to(self._dtype), angles.sin().to(self._dtype)
        return self._cos[positions][:, None], self._sin[positions][:, None]


def rotate(x: torch.Tensor, tables: Tables) -> torch.Tensor:
    """x [T, heads, d] turned by its position."""
    cos, sin = tables
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin
