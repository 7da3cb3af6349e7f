"""An LLM reranker's kind and settings in, the reranker out: how each kind is put together."""

from actors.models.backbones import Decoder, Tensors
from actors.models.description import CheckpointInfo
from actors.models.layerwise import LayerHeads, LayerScorer
from actors.models.lightweight import Compression
from actors.models.llm_reranker import LlmReranker, Scorer, YesScorer
from actors.models.precision import Placement
from actors.models.prompt_tokenizer import PromptTokenizer
from actors.models.reranker_options import RerankerOptions


def open_llm_reranker(
    info: CheckpointInfo, kind: str, tokenizer: PromptTokenizer, placement: Placement, options: RerankerOptions
) -> LlmReranker:
    """A reranker of kind llm, layerwise or lightweight. Raises UserError on absent weights and on layers without a head."""
    tensors = Tensors(info.folder, placement.device, placement.dtype, options.adapter)
    scorer: Scorer
    if kind == "llm":
        scorer = YesScorer.open(info, tensors, tokenizer.yes_id)
    else:
        heads = LayerHeads.take(info, tensors)
        layers = options.scoring_layers(info)
        compression = Compression(options.compress_ratio, options.compress_layers, tokenizer.ending)
        scorer = LayerScorer(Decoder(info.config, tensors), heads, layers, compression, options.head == "position")
    return LlmReranker(info.folder, tokenizer, placement, scorer, options.adapter)
