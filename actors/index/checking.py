"""Vectors in; the same vectors or an error that names the row out. FAISS itself takes a NaN in silence and loses the row."""

import numpy as np

NORM_TOLERANCE = 1e-2
"""How far a normalised vector's length may be off 1: storage as fp16 costs up to about 1e-3, a forgotten normalisation far more."""


def check_vectors(vectors: np.ndarray, dimension: int, normalized: bool, where: str) -> None:
    """Refuse anything but [n, dimension] finite fp16 or fp32 rows, of length 1 when `normalized`.

    Raises ValueError naming `where` (unit, file or segment) and the first bad row.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise ValueError(f"{where}: vectors have shape {vectors.shape}, but [rows, {dimension}] is wanted")
    if vectors.dtype not in (np.float16, np.float32):
        raise ValueError(f"{where}: vectors are {vectors.dtype}, but float16 or float32 is wanted")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ValueError(f"{where}: row {int(np.argmin(finite))} holds NaN or infinity")
    if normalized:
        _check_norms(vectors, where)


def _check_norms(vectors: np.ndarray, where: str) -> None:
    wide = vectors.astype(np.float32, copy=False)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide, dtype=np.float64))
    off = np.abs(norms - 1.0) > NORM_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(f"{where}: row {row} has length {norms[row]:.4f}, but the vectors should be normalised to 1")
