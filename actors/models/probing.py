"""A network and its device in, the tokens per forward pass that it computes fastest out: a short probe, remembered on this node.

Small passes leave the device idle, large ones fall out of its caches; where the best lies is measured on the first layer with rows of 128
tokens. It changes the speed alone. What is remembered is a file per shape of network, number format, device and thread count in
~/.cache/raytrieve/budgets; deleting it is safe, and whoever gives `batch_tokens` probes nothing.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from actors.machine import cpu_name
from actors.models.backbones import Backbone, Bert, pack
from actors.models.description import CheckpointInfo
from actors.models.precision import Placement
from actors.models.tokens import TokenBatch

CANDIDATES = {"cpu": (1024, 2048, 4096, 8192), "cuda": (8192, 16_384, 32_768, 65_536)}
_SHAPE = (
    "model_type",
    "hidden_size",
    "dim",
    "num_hidden_layers",
    "n_layers",
    "num_attention_heads",
    "n_heads",
    "intermediate_size",
    "hidden_dim",
)
_ROW, _LAYERS = 128, 1
_SECONDS, _ROUNDS = 1.8, 3
_KERNELS = 3  # raise it when layers are computed otherwise: what was remembered does not hold then
_WORTH = 0.95  # of the default's time: a smaller gain may be noise
_TOO_SMALL = 128  # hidden size: such a network is over before a budget matters


def find_budget(info: CheckpointInfo, backbone: Backbone, placement: Placement) -> int:
    """The probed budget where there is one to find, else `placement`'s. Decoders keep the latter: their layers are large at any budget."""
    candidates = CANDIDATES.get(placement.device.type)
    if not placement.automatic or candidates is None or not isinstance(backbone, Bert) or backbone.hidden_size < _TOO_SMALL:
        return placement.batch_tokens
    path = _remembered(info, placement)
    budget = _read(path)
    if budget not in candidates:
        best = _probe(candidates, lambda tokens: _seconds(info, backbone, placement.device, tokens))
        if not best:
            return placement.batch_tokens
        fastest = min(candidates, key=lambda tokens: best[tokens])
        budget = fastest if best[fastest] < _WORTH * best[placement.batch_tokens] else placement.batch_tokens
        _write(path, budget)
    return budget


def _probe(candidates: tuple[int, ...], seconds: Callable[[int], float]) -> dict[int, float]:
    """Seconds per token of each candidate, the least of as many rounds as there is time for; empty where there is none."""
    seconds(candidates[0])  # the first pass pays for what the later ones find ready
    rate, left = seconds(candidates[0]) / candidates[0], _SECONDS
    best: dict[int, float] = {}
    for _ in range(_ROUNDS):
        if left < rate * sum(candidates):
            break
        for tokens in candidates:
            took = seconds(tokens)
            left, best[tokens] = left - took, min(best.get(tokens, took / tokens), took / tokens)
    return best


def _seconds(info: CheckpointInfo, backbone: Bert, device: torch.device, tokens: int) -> float:
    """Of one pass of `tokens` tokens through the first layer; endless where the device has not the memory."""
    row = min(_ROW, info.max_positions)
    ids = np.random.default_rng(tokens).integers(0, info.vocab_size, tokens // row * row, np.int32)
    batch = TokenBatch(ids, np.arange(0, len(ids) + 1, row))
    with torch.inference_mode():
        started = time.perf_counter()
        try:
            backbone.run(pack(batch, np.arange(len(batch)), device), _LAYERS).sum().item()  # waits for the device
        except torch.OutOfMemoryError:
            return float("inf")
        return time.perf_counter() - started


def _remembered(info: CheckpointInfo, placement: Placement) -> Path:
    device = torch.cuda.get_device_name(placement.device) if placement.device.type == "cuda" else cpu_name()
    shape = [info.config.get(name) for name in _SHAPE]
    kind = "calibrated" if placement.int8 else str(placement.dtype)
    identity = json.dumps([_KERNELS, shape, kind, device, torch.get_num_threads(), torch.__version__])
    return Path.home() / ".cache" / "raytrieve" / "budgets" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> int:
    """The budget that was found before; 0 where none was, or where the file is damaged: then it is found anew."""
    try:
        return int(json.loads(path.read_text())["batch_tokens"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _write(path: Path, budget: int) -> None:
    """Remember a budget for the next process, where this node lets us: a home that can not be written costs a probe each time."""
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(json.dumps({"batch_tokens": budget}))
        whole.replace(path)
    except OSError:
        return
