"""An index in; the same index on a GPU out, where there is one. No GPU has run this module: only its refusals are tested.

Segments are always stored in their CPU form. A GPU copy only makes the first fetch; whatever that leaves open the CPU does, and
scores are always taken again from the stored vectors, so a GPU changes at most which rows a compressed index lets through.
"""

from typing import Any

import faiss

from actors.index.lists import stored_vectors

GPU_FETCH_LIMIT = 2048
"""Most candidates and lists of one GPU search."""


def built_for_gpu() -> bool:
    """Whether this FAISS is faiss-gpu."""
    return hasattr(faiss, "get_num_gpus") and hasattr(faiss, "StandardGpuResources")


def gpu_available() -> bool:
    """Whether this FAISS was built for GPUs and sees one."""
    return built_for_gpu() and faiss.get_num_gpus() > 0


class GpuIndex:
    """A copy of a CPU index on the first GPU that the process sees, with the resources it lives on."""

    def __init__(self, index: faiss.Index, nprobe: int) -> None:
        """Copies `index`; `nprobe` lists are visited per query. Raises RuntimeError without a GPU or for a type that GPUs do not run."""
        if not gpu_available():
            raise RuntimeError("FAISS sees no GPU: install faiss-gpu on a GPU node, or set search.searcher_gpus to 0")
        self.resources = faiss.StandardGpuResources()
        self.index: Any = _flat_on_torch(index) or faiss.index_cpu_to_gpu(self.resources, 0, index)
        if nprobe:
            faiss.GpuParameterSpace().set_index_parameter(self.index, "nprobe", min(nprobe, GPU_FETCH_LIMIT))


def _flat_on_torch(index: faiss.Index) -> Any:
    """A flat index in bf16 where torch sees the GPU too; else none."""
    import torch

    if not isinstance(index, faiss.IndexFlat) or not torch.cuda.is_available():
        return None
    from actors.index.gpu_flat import GpuFlat

    return GpuFlat(stored_vectors(index))


def to_gpu(index: faiss.Index, nprobe: int) -> GpuIndex:
    """`index` on the GPU; the CPU index stays as it is."""
    return GpuIndex(index, nprobe)
