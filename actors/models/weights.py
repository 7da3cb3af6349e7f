"""A checkpoint folder in, a torch model on its device out. Knows how transformers loads; knows nothing of texts.

No remote code, no network. Pickled weights (.bin) are read by transformers with weights_only, so that they run no code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from actors.models.description import CheckpointInfo
from actors.models.precision import Placement
from configs.errors import UserError


def load_weights(auto_class: Any, info: CheckpointInfo, placement: Placement, **arguments: Any) -> torch.nn.Module:
    """The checkpoint as a model of a transformers auto class, in evaluation mode, in the placement's dtype and on its device.

    Raises UserError where the checkpoint lacks weights that the model needs: transformers would draw them at random.
    """
    with _quiet():
        model, report = auto_class.from_pretrained(
            info.folder,
            dtype=placement.dtype,
            attn_implementation="sdpa",
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **arguments,
        )
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(str(key) for key in (*report["missing_keys"], *report["mismatched_keys"]))
        raise UserError(
            f"{len(lacking)} tensors are absent from {info.folder} or misfit ({', '.join(lacking[:3])}): copy the whole checkpoint again."
        )
    return model.eval().to(placement.device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' load report and progress bars, which would come once per worker."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A numpy array as a tensor on the device; pinned on the way to a GPU, so that the copy overlaps with computing (untested)."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def model_inputs(ids: np.ndarray, mask: np.ndarray, device: torch.device) -> dict[str, torch.Tensor]:
    """input_ids and, where there is padding, attention_mask: without a mask attention takes its fastest path, with the same result."""
    inputs = {"input_ids": to_device(ids, device)}
    if not mask.all():
        inputs["attention_mask"] = to_device(mask.astype(np.int64), device)
    return inputs


def check_lengths(lengths: np.ndarray, limit: int) -> None:
    """Raise ValueError on what the model has no position for; on a GPU it would end the whole process's CUDA context."""
    if len(lengths) and (lengths.min() < 1 or lengths.max() > limit):
        raise ValueError(f"rows of {lengths.min()} to {lengths.max()} tokens, but the model takes 1 to {limit}")
