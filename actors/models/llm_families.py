"""An LLM reranker's kind and settings in, the reranker out: which kind takes which setting, and how each is put together."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

from actors.models.backbones import Decoder, Tensors
from actors.models.description import CheckpointInfo
from actors.models.layerwise import LayerHeads, LayerScorer, checked_cutoffs
from actors.models.lightweight import Compression
from actors.models.llm_reranker import LlmReranker, Scorer, YesScorer
from actors.models.precision import Placement
from actors.models.prompt_tokenizer import PromptTokenizer
from configs.errors import UserError

HEADS = ("layer", "position")
_TAKES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "llm": ("prompt", "adapter"),
        "layerwise": ("prompt", "adapter", "cutoff_layers"),
        "lightweight": ("prompt", "adapter", "cutoff_layers", "compress_ratio", "compress_layers", "head"),
    }
)


@dataclass(frozen=True, slots=True)
class LlmOptions:
    """`prompt`: the question at the end, none takes the model's own. `cutoff_layers`: whose heads score, () takes the last.
    `compress_ratio`: passage tokens that become one before the blocks `compress_layers`. `head`: each layer's own (layer), or by
    position in the list as the reference has it. `adapter`: a peft folder."""

    prompt: str | None = None
    cutoff_layers: tuple[int, ...] = ()
    compress_ratio: int = 1
    compress_layers: tuple[int, ...] = (8,)
    head: str = "layer"
    adapter: Path | None = None

    def check(self, folder: Path, kind: str) -> None:
        """Raise UserError on a setting that this kind of reranker does not have, or on a value that none can have."""
        for field in fields(self):
            if getattr(self, field.name) != field.default and field.name not in _TAKES.get(kind, ()):
                having = [known for known, names in _TAKES.items() if field.name in names]
                raise UserError(f"{folder} is used as {kind}, which has no {field.name}, only {', '.join(having)} have: leave it out.")
        if self.compress_ratio < 1:
            raise UserError(f"compress_ratio is {self.compress_ratio}: give 1 for no compression, or 2, 4 or 8.")
        if self.head not in HEADS:
            raise UserError(f"head {self.head!r} is unknown: use {' or '.join(HEADS)}.")


def open_llm_reranker(
    info: CheckpointInfo, kind: str, tokenizer: PromptTokenizer, placement: Placement, options: LlmOptions
) -> LlmReranker:
    """A reranker of kind llm, layerwise or lightweight. Raises UserError on absent weights and on layers without a head."""
    tensors = Tensors(info.folder, placement.device, placement.dtype, options.adapter)
    scorer: Scorer
    if kind == "llm":
        scorer = YesScorer.open(info, tensors, tokenizer.yes_id)
    else:
        heads = LayerHeads.take(info, tensors)
        layers = checked_cutoffs(info, heads, options.cutoff_layers)
        compression = Compression(options.compress_ratio, options.compress_layers, tokenizer.ending)
        scorer = LayerScorer(Decoder(info.config, tensors), heads, layers, compression, options.head == "position")
    return LlmReranker(info.folder, tokenizer, placement, scorer, options.adapter)
