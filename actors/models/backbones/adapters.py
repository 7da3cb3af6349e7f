"""Readers of a checkpoint's weights and a `peft` folder in, the same readers with the LoRA adapter merged out (Hu et al. 2021).

W becomes W + (alpha / r) B A, or (alpha / sqrt(r)) B A with rslora; weights that the adapter holds whole (modules_to_save, biases)
take the place of the checkpoint's. Computed in float32 when a weight is read, so that nothing is held twice.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from actors.models.json_files import read_json
from configs.errors import UserError

Reader = Callable[[], torch.Tensor]
Readers = dict[str, Reader]

_UNSUPPORTED = (
    *("use_dora", "use_qalora", "use_bdlora", "fan_in_fan_out", "lora_bias", "alpha_pattern", "layer_replication"),
    *("target_parameters", "trainable_token_indices", "alora_invocation_tokens", "arrow_config", "kasa_config"),
)
_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")  # the others change the base weights too


def merge_adapter(readers: Readers, adapter: Readers, folder: Path) -> Readers:
    """All of `readers`, those that the adapter changes merged. `adapter`: readers of the weights in `folder`.

    Raises UserError on an adapter of another kind than LoRA, or for another network.
    """
    scale, merged = _read_scale(folder), dict(readers)
    for name in (name for name in adapter if name.endswith(".lora_A.weight")):
        module = name.removesuffix(".lora_A.weight")
        target = _target(f"{module}.weight", readers, folder)
        up = f"{module}.lora_B.weight"
        if up not in adapter:
            raise UserError(f"the adapter {folder} lacks the weights {up}: copy the whole folder again.")
        fault = f"the adapter {folder} has another shape for {target} than the checkpoint: it belongs to another model."
        merged[target] = _merging(readers[target], adapter[name], adapter[up], scale, fault)
    for name in adapter:
        if ".lora_" not in name:
            merged[_target(name, readers, folder)] = adapter[name]
        elif not name.endswith((".lora_A.weight", ".lora_B.weight")):
            raise UserError(f"the adapter {folder} holds {name}, which is not supported: merge it with peft and give the result.")
    return merged


def _read_scale(folder: Path) -> Callable[[int], float]:
    """The factor of B A by its rank, from adapter_config.json."""
    path = folder / "adapter_config.json"
    config = read_json(path)
    refused = [key for key in _UNSUPPORTED if config.get(key)]
    if config.get("peft_type") != "LORA":
        refused.insert(0, f"peft_type {config.get('peft_type')}")
    if config.get("init_lora_weights") not in _PLAIN_STARTS:
        refused.append(f"init_lora_weights {config['init_lora_weights']}")
    if refused:
        raise UserError(f"{path} asks for {refused[0]}, which is not supported: merge it with peft and give the result.")
    alpha, power = float(config["lora_alpha"]), 0.5 if config.get("use_rslora") else 1.0
    return lambda rank: alpha / rank**power


def _target(name: str, readers: Readers, folder: Path) -> str:
    """The checkpoint's name of a weight that peft names after the class it trained, with or without a head around the network."""
    inner = name.removeprefix("base_model.model.")
    for candidate in (inner, inner.partition(".")[2]):
        found = [known for known in readers if known == candidate or known.endswith(f".{candidate}")]
        if len(found) == 1:
            return found[0]
    raise UserError(f"the adapter {folder} changes {inner}, which the checkpoint does not have: it belongs to another model.")


def _merging(base: Reader, down: Reader, up: Reader, scale: Callable[[int], float], fault: str) -> Reader:
    def read() -> torch.Tensor:
        whole, low, high = base().float(), down().float(), up().float()
        if whole.shape != (len(high), low.shape[1]):
            raise UserError(fault)
        return whole + scale(len(low)) * (high @ low)

    return read
