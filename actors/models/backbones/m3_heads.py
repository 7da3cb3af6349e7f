"""bge-m3's two further linear maps: hidden states in, lexical weights and ColBERT vectors out (Chen et al. 2024).

They lie beside the encoder as plain state dicts, sparse_linear.pt and colbert_linear.pt, and are read with weights_only.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from actors.models.backbones.layers import Linear
from actors.models.backbones.tensors import load_pickle
from actors.models.description import COLBERT_FILE, SPARSE_FILE
from configs.errors import UserError


@dataclass(frozen=True, slots=True)
class M3Heads:
    """`sparse`: [1, hidden]. `colbert`: [d_c, hidden]."""

    sparse: Linear
    colbert: Linear

    def token_weights(self, hidden: torch.Tensor) -> torch.Tensor:
        """The lexical weight of every token, float32 [T], at least 0."""
        return torch.relu(self.sparse(hidden)).float().squeeze(1)

    @property
    def colbert_size(self) -> int:
        """d_c."""
        return self.colbert.weight.shape[0]

    @classmethod
    def open(cls, folder: Path, hidden_size: int, device: torch.device, dtype: torch.dtype) -> "M3Heads":
        """Both heads of a folder. Raises UserError when one is missing or of another width: the reference would draw it at random."""
        return cls(*(_open(folder / name, hidden_size, device, dtype) for name in (SPARSE_FILE, COLBERT_FILE)))


def _open(path: Path, hidden_size: int, device: torch.device, dtype: torch.dtype) -> Linear:
    if not path.is_file():
        raise UserError(f"{path} is missing: copy the whole checkpoint, bge-m3 needs both {SPARSE_FILE} and {COLBERT_FILE}.")
    state = load_pickle(path)
    weight, bias = state.get("weight"), state.get("bias")
    if weight is None or bias is None or weight.shape[1] != hidden_size:
        raise UserError(f"{path} does not hold a linear map of {hidden_size} inputs: copy the checkpoint again.")
    return Linear.prepared(weight.to(device, dtype), bias.to(device, dtype))
