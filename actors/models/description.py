"""A checkpoint folder in, the facts that decide how it is used out: JSON files are read, weights are not, torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.models.catalogue import NamedFamily, find_family
from actors.models.families import FAMILIES, Family
from actors.models.json_files import optional_json, read_json
from actors.models.sentence_files import SentenceFiles, read_sentence_files
from configs.errors import UserError

SPARSE_FILE, COLBERT_FILE = "sparse_linear.pt", "colbert_linear.pt"


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What config.json and the files beside it say.

    `max_positions`: the most tokens of one input, special tokens counted. `token_types`: inputs carry token type ids. `pooling`: cls,
    mean or last. `sentence`: the sentence-transformers files. `config`: config.json itself. `tokenizer`: tokenizer_config.json, empty
    without one. `named`: what the folder's name tells,
    none where it is no known one.
    """

    folder: Path
    model_type: str
    architectures: tuple[str, ...]
    hidden_size: int
    num_labels: int
    max_positions: int
    vocab_size: int
    pad_token_id: int
    token_types: bool
    pooling: str
    sentence: SentenceFiles
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    named: NamedFamily | None

    @property
    def family(self) -> Family:
        """The row of the family table."""
        return FAMILIES[self.model_type]

    @property
    def is_classifier(self) -> bool:
        """Whether the checkpoint has a sequence-classification head."""
        return any(name.endswith("ForSequenceClassification") for name in self.architectures)


def read_description(folder: Path) -> CheckpointInfo:
    """Describe a checkpoint. Raises UserError for a model type, setting, pooling or module that this layer can not reproduce."""
    config = _Config(folder, read_json(folder / "config.json"))
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        raise UserError(f"{folder} is of model type {model_type!r}, which is not supported: use one of {', '.join(FAMILIES)}.")
    family = FAMILIES[model_type]
    _refuse_foreign(folder, config, family)
    pad = config.get("pad_token_id")
    pad = family.pad_token_id if pad is None else int(pad)
    positions = int(config["max_position_embeddings"])
    sentence, tokenizer = read_sentence_files(folder), optional_json(folder / "tokenizer_config.json")
    typed = "token_type_ids" in (tokenizer.get("model_input_names") or ["token_type_ids"])
    named = find_family(folder.absolute(), model_type) or find_family(folder.resolve(), model_type)  # a link may have the name
    return CheckpointInfo(
        folder=folder,
        model_type=model_type,
        architectures=tuple(config.get("architectures") or ()),
        hidden_size=int(config[family.hidden_key]),
        num_labels=len(config["id2label"]) if config.get("id2label") else int(config.get("num_labels", 2)),
        max_positions=positions - pad - 1 if family.positions_after_pad else positions,
        vocab_size=int(config["vocab_size"]),
        pad_token_id=pad,
        token_types=family.token_types and int(config.get("type_vocab_size", 2)) > 1 and typed,
        pooling=sentence.pooling or (named.pooling if named else "") or ("last" if family.causal else "cls"),
        sentence=sentence,
        config=config,
        tokenizer=tokenizer,
        named=named,
    )


class _Config(dict[str, Any]):
    """config.json, which says what it lacks."""

    def __init__(self, folder: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._path = folder / "config.json"

    def __missing__(self, key: str) -> None:
        raise UserError(f"{self._path} lacks {key}: copy the checkpoint again, or add it as its architecture has it.")


def _refuse_foreign(folder: Path, config: Mapping[str, Any], family: Family) -> None:
    """Raise UserError on settings under which the same weights mean other numbers than this layer would compute."""
    if config.get("quantization_config"):
        raise UserError(f"{folder} holds quantised weights (quantization_config), which are not supported: give it in fp32, bf16 or fp16.")
    if family.causal and (config.get("is_causal") is False or config.get("use_bidirectional_attention")):
        raise UserError(f"{folder} is a decoder that attends to both sides (is_causal false), which is not supported: use another model.")
    if not family.causal and config.get("is_decoder"):
        raise UserError(f"{folder} is a {config['model_type']} used as a decoder (is_decoder), which is not supported: use another model.")


def has_m3_heads(folder: Path) -> bool:
    """Whether the checkpoint has at least one of the two files of bge-m3's heads: then it is an M3."""
    return (folder / SPARSE_FILE).is_file() or (folder / COLBERT_FILE).is_file()
