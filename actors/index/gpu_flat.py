"""All vectors of a flat index on one GPU in bf16; queries in, the rows of their highest products out. No GPU has run this module.

bf16 products are off by some 1e-3 of a score and half the size of float32's: they propose, and exact re-scoring decides. On the CPU
(which the tests use) it is merely slow.
"""

import numpy as np
import torch

_BLOCK = 65_536


class GpuFlat:
    """Searches as a FAISS index does. `vectors`: float32 [N, d]."""

    def __init__(self, vectors: np.ndarray, device: str = "cuda") -> None:
        self._vectors = torch.empty(vectors.shape, dtype=torch.bfloat16, device=device)
        for start in range(0, len(vectors), _BLOCK):
            self._vectors[start : start + _BLOCK] = torch.from_numpy(vectors[start : start + _BLOCK].copy()).to(device)

    @torch.inference_mode()
    def search(self, queries: np.ndarray, count: int, params: None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 and rows int64, both [n, count], best first, padded with -inf and -1. Takes no selection of rows."""
        device = self._vectors.device
        asked = torch.from_numpy(np.array(queries)).to(device, torch.bfloat16)
        scores = torch.full((len(queries), count), -torch.inf, device=device)
        rows = torch.full((len(queries), count), -1, dtype=torch.int64, device=device)
        for start in range(0, len(self._vectors), _BLOCK):
            products = _products(asked, self._vectors[start : start + _BLOCK])
            numbers = torch.arange(start, start + products.shape[1], device=device).expand(len(queries), -1)
            scores, places = torch.cat([scores, products], 1).topk(count, 1)
            rows = torch.cat([rows, numbers], 1).gather(1, places)
        return scores.cpu().numpy(), rows.cpu().numpy()


def _products(queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """float32 [n, m] of bf16 factors, summed in float32."""
    if queries.is_cuda:
        return torch.mm(queries, vectors.T, out_dtype=torch.float32)
    return queries.float() @ vectors.float().T
