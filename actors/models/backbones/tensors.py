"""A checkpoint's weight files in, named tensors on a device out.

safetensors are mapped, not read; pickled .bin files go through torch.load(weights_only=True), which runs no code.
"""

import json
import zipfile
from pathlib import Path

import torch
from safetensors import safe_open

from actors.models.backbones.adapters import Readers, merge_adapter
from configs.errors import UserError


class Tensors:
    """Weights by name, read when asked for. `device` and `dtype` are what they become. `adapter`: a peft folder, merged into them.
    `int8`: a decoder's linear maps are to run in 8-bit integers (an encoder calibrates its own).

    Raises UserError naming a file that is damaged, or an adapter that can not be merged.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, adapter: Path | None = None, int8: bool = False) -> None:
        self.folder, self.device, self.dtype, self.int8 = folder, device, dtype, int8
        self._readers = _open(weight_files(folder))
        if adapter is not None:
            self._readers = merge_adapter(self._readers, _open(adapter_files(adapter)), adapter)

    def __contains__(self, name: str) -> bool:
        return name in self._readers

    def names(self) -> list[str]:
        """All names, in the files' order."""
        return list(self._readers)

    def prefix(self, ending: str) -> str:
        """What stands before `ending` in the one name that ends so: "bert." of bert.embeddings... Raises UserError when none does."""
        found = [name for name in self._readers if name == ending or name.endswith("." + ending)]
        if not found:
            raise UserError(f"{self.folder} has no weights {ending}: copy the whole checkpoint again.")
        return min(found, key=len).removesuffix(ending)

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """One tensor. Raises UserError when it is absent or of another shape than asked."""
        name = name if name in self._readers else _old_name(name)
        if name not in self._readers:
            raise UserError(f"{self.folder} lacks the weights {name}: copy the whole checkpoint again.")
        tensor = self._readers[name]()
        if shape is not None and tuple(tensor.shape) != shape:
            raise UserError(
                f"{self.folder}: {name} has shape {tuple(tensor.shape)} where config.json asks for {shape}: the two do not belong together."
            )
        return tensor.to(self.device, self.dtype)

    def row(self, name: str, number: int) -> torch.Tensor:
        """One row of a matrix, [columns], without the rest of it going to the device. Raises UserError when the matrix is absent."""
        if name not in self._readers:
            raise UserError(f"{self.folder} lacks the weights {name}: copy the whole checkpoint again.")
        return self._readers[name]()[number].to(self.device, self.dtype)


def adapter_files(folder: Path) -> list[Path]:
    """The one file of a peft adapter's weights. Raises UserError when there is none."""
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
    raise UserError(f"the adapter folder {folder} lacks adapter_model.safetensors: give a folder that peft has saved.")


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the model's weights: safetensors before pickles, shards by their index. Raises UserError on an absent shard."""
    for whole, pattern in (("model.safetensors", "*.safetensors"), ("pytorch_model.bin", "pytorch_model*.bin")):
        index = folder / f"{whole}.index.json"
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            for shard in shards:
                if not (folder / shard).is_file():
                    raise UserError(f"{index} names {shard}, which is missing: copy the whole checkpoint again.")
            return [folder / shard for shard in shards]
        if (folder / whole).is_file():
            return [folder / whole]
        if found := sorted(path for path in folder.glob(pattern) if not path.name.startswith("adapter_")):
            return found
    return []


def load_pickle(path: Path) -> dict[str, torch.Tensor]:
    """A state dict of a .bin or .pt file. Raises UserError on anything but plain tensors, which could run code when read."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))  # before torch 1.6 it was no zip
    except Exception as error:
        raise UserError(
            f"{path} can not be read as plain weights ({str(error).splitlines()[0]}): use a checkpoint in safetensors."
        ) from error
    return dict(state)


def _open(paths: list[Path]) -> Readers:
    readers: Readers = {}
    for path in paths:
        try:
            readers |= _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"the weights {path} can not be read ({error}): copy the checkpoint again.") from error
    return readers


def _safetensors(path: Path) -> Readers:
    file = safe_open(path, "pt")
    return {name: lambda name=name: file.get_tensor(name) for name in file.keys()}  # type: ignore[misc]


def _pickled(path: Path) -> Readers:
    return {name: lambda tensor=tensor: tensor for name, tensor in load_pickle(path).items()}  # type: ignore[misc]


def _old_name(name: str) -> str:
    """The first BERT checkpoints call a LayerNorm's weight gamma and its bias beta."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
