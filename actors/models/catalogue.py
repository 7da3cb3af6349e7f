"""A model's name or folder in, what is known of it by that name out: the table of named families. Reads no files, knows no torch.

Facts are those of the model cards and of FlagEmbedding's README; parameters follow from the published shapes.
A checkpoint's own files win wherever they speak: the table adds what only the name tells, above all the instructions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

_MANY, _HUNDRED, _UNSURE = "multilingual", "100+ languages", "see model card"
_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
_WEB_TO_CODE = "Given a web search query, retrieve relevant code that can help answer the query."  # its card's, for CosQA
_FOREIGN_RERANKERS = ("qwen3-reranker", "mxbai-rerank", "ctxl-rerank")
_PATH_PARTS = 5  # looked at, from the end: a hub cache ends in owner--name/snapshots/hash, a training run in name/checkpoint-500


@dataclass(frozen=True, slots=True)
class NamedFamily:
    """One row. `model_type`: of its config.json. `max_length`: the longest input that its card speaks of, in tokens. `parameters`: of
    all weights, rounded. `kind`: encoder, cross_encoder, llm, layerwise or lightweight. `layers`: first and last that score.

    `outputs`: dense, sparse, multi_vector, or score. `query`, `passage`: what goes before a text. `template`: what the task of a
    query is put into, in place of {}; `task` is the default. `tasks`: query and passage instruction by the task's name, the first
    of them the default. `pooling`: where the checkpoint's files have none; empty leaves it to the architecture.
    """

    name: str
    owner: str
    model_type: str
    languages: str
    max_length: int
    licence: str
    parameters: int
    kind: str = "encoder"
    outputs: tuple[str, ...] = ("dense",)
    layers: tuple[int, int] | None = None
    query: str = ""
    passage: str = ""
    template: str = ""
    task: str = ""
    tasks: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    pooling: str = ""

    @property
    def instructions(self) -> tuple[str, str]:
        """Query and passage instruction where nobody gives any."""
        if self.tasks:
            return next(iter(self.tasks.values()))
        return self.template.replace("{}", self.task) or self.query, self.passage


def find_family(model: str | Path, model_type: str | None = None) -> NamedFamily | None:
    """The family that a model's name or path speaks of: the longest known name inside the part nearest to its end.

    Owner and case do not count, nor what stands around the name: bge-base-en-v1.5-mine/checkpoint-500 is a bge-base-en-v1.5.
    `model_type`: of the checkpoint's config.json; families of another type are passed over.
    """
    for part in reversed(_parts(model)):
        for name, family in _LONGEST_FIRST:
            if model_type in (None, family.model_type) and re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9]|-noinstruct)", part):
                return family
    return None


def foreign_reranker(model: str | Path) -> str | None:
    """The name of a known LLM reranker, inside a model's name or path, that reads another prompt than BGE's and answers another token."""
    parts = _parts(model)
    return next((name for name in _FOREIGN_RERANKERS for part in parts if name in part), None)


def _parts(model: str | Path) -> list[str]:
    parts = [part for part in re.split(r"[/\\]|--", str(model).lower().replace("_", "-")) if part]
    return parts[-_PATH_PARTS:]


def memory_bytes(parameters: int) -> dict[str, int]:
    """Bytes of the weights by precision; activations, which batch_tokens bounds, come on top."""
    return {"fp32": 4 * parameters, "bf16": 2 * parameters, "fp16": 2 * parameters}


_LLM_EMBEDDER_TASKS = {
    "qa": ("Represent this query for retrieving relevant documents: ", "Represent this document for retrieval: "),
    "convsearch": ("Encode this query and context for searching relevant passages: ", "Encode this passage for retrieval: "),
    "chat": ("Embed this dialogue to find useful historical dialogues: ", "Embed this historical dialogue for retrieval: "),
    "lrlm": ("Embed this text chunk for finding useful historical chunks: ", "Embed this historical text chunk for retrieval: "),
    "icl": ("Convert this example into vector to look for useful examples: ", "Convert this example into vector for retrieval: "),
    "tool": ("Transform this user request for fetching helpful tool descriptions: ", "Transform this tool description for retrieval: "),
}

_english = partial(NamedFamily, query="Represent this sentence for searching relevant passages: ")
_chinese = partial(NamedFamily, query="为这个句子生成表示以用于检索相关文章：")  # noqa: RUF001 - its own colon
_e5 = partial(NamedFamily, query="query: ", passage="passage: ", pooling="mean")
_mean = partial(NamedFamily, pooling="mean")
_bge_task = partial(NamedFamily, template="<instruct>{}\n<query>", task=f"{_WEB_SEARCH}.")
_instruct = partial(NamedFamily, template="Instruct: {}\nQuery: ", task=_WEB_SEARCH)
_qwen3 = partial(NamedFamily, template="Instruct: {}\nQuery:", task=_WEB_SEARCH)  # no blank at its end
_cross_encoder = partial(NamedFamily, kind="cross_encoder", outputs=("score",))
_llm = partial(NamedFamily, kind="llm", outputs=("score",))

_ROWS = (
    _english("bge-small-en-v1.5", "BAAI", "bert", "English", 512, "MIT", 33_400_000),
    _english("bge-base-en-v1.5", "BAAI", "bert", "English", 512, "MIT", 109_500_000),
    _english("bge-large-en-v1.5", "BAAI", "bert", "English", 512, "MIT", 335_100_000),
    _english("bge-small-en", "BAAI", "bert", "English", 512, "MIT", 33_400_000),
    _english("bge-base-en", "BAAI", "bert", "English", 512, "MIT", 109_500_000),
    _english("bge-large-en", "BAAI", "bert", "English", 512, "MIT", 335_100_000),
    _chinese("bge-small-zh-v1.5", "BAAI", "bert", "Chinese", 512, "MIT", 24_000_000),
    _chinese("bge-base-zh-v1.5", "BAAI", "bert", "Chinese", 512, "MIT", 102_300_000),
    _chinese("bge-large-zh-v1.5", "BAAI", "bert", "Chinese", 512, "MIT", 325_500_000),
    _chinese("bge-small-zh", "BAAI", "bert", "Chinese", 512, "MIT", 24_000_000),
    _chinese("bge-base-zh", "BAAI", "bert", "Chinese", 512, "MIT", 102_300_000),
    _chinese("bge-large-zh", "BAAI", "bert", "Chinese", 512, "MIT", 325_500_000),
    NamedFamily("bge-m3", "BAAI", "xlm-roberta", _HUNDRED, 8192, "MIT", 567_800_000, outputs=("dense", "sparse", "multi_vector")),
    NamedFamily("bge-m3-unsupervised", "BAAI", "xlm-roberta", _HUNDRED, 8192, "MIT", 567_800_000),
    NamedFamily("bge-m3-retromae", "BAAI", "xlm-roberta", _HUNDRED, 8192, "MIT", 567_800_000),
    NamedFamily("llm-embedder", "BAAI", "bert", "English", 512, "MIT", 109_500_000, tasks=_LLM_EMBEDDER_TASKS),
    _bge_task("bge-multilingual-gemma2", "BAAI", "gemma2", _MANY, 8192, "Gemma", 9_241_700_000),
    _bge_task("bge-code-v1", "BAAI", "qwen2", "English, Chinese, code", 32768, "Apache-2.0", 1_543_700_000, task=_WEB_TO_CODE),
    _bge_task("bge-en-icl", "BAAI", "mistral", "English", 32768, "Apache-2.0", 7_110_700_000),
    _qwen3("Qwen3-Embedding-0.6B", "Qwen", "qwen3", _HUNDRED, 32768, "Apache-2.0", 595_800_000),
    _qwen3("Qwen3-Embedding-4B", "Qwen", "qwen3", _HUNDRED, 32768, "Apache-2.0", 4_021_800_000),
    _qwen3("Qwen3-Embedding-8B", "Qwen", "qwen3", _HUNDRED, 32768, "Apache-2.0", 7_567_300_000),
    _instruct("e5-mistral-7b-instruct", "intfloat", "mistral", "English", 4096, "MIT", 7_110_700_000),
    _instruct("multilingual-e5-large-instruct", "intfloat", "xlm-roberta", _MANY, 512, "MIT", 559_900_000, pooling="mean"),
    _e5("multilingual-e5-small", "intfloat", "bert", _MANY, 512, "MIT", 117_700_000),
    _e5("multilingual-e5-base", "intfloat", "xlm-roberta", _MANY, 512, "MIT", 278_000_000),
    _e5("multilingual-e5-large", "intfloat", "xlm-roberta", _MANY, 512, "MIT", 559_900_000),
    _e5("e5-small-v2", "intfloat", "bert", "English", 512, "MIT", 33_400_000),
    _e5("e5-base-v2", "intfloat", "bert", "English", 512, "MIT", 109_500_000),
    _e5("e5-large-v2", "intfloat", "bert", "English", 512, "MIT", 335_100_000),
    _mean("gte-small", "thenlper", "bert", "English", 512, "MIT", 33_400_000),
    _mean("gte-base", "thenlper", "bert", "English", 512, "MIT", 109_500_000),
    _mean("gte-large", "thenlper", "bert", "English", 512, "MIT", 335_100_000),
    NamedFamily("gte-small-zh", "thenlper", "bert", "Chinese", 512, _UNSURE, 30_300_000),
    NamedFamily("gte-base-zh", "thenlper", "bert", "Chinese", 512, _UNSURE, 102_300_000),
    NamedFamily("gte-large-zh", "thenlper", "bert", "Chinese", 512, _UNSURE, 325_500_000),
    _mean("all-MiniLM-L6-v2", "sentence-transformers", "bert", "English", 256, "Apache-2.0", 22_700_000),
    _cross_encoder("bge-reranker-base", "BAAI", "xlm-roberta", "Chinese, English", 512, "MIT", 278_000_000),
    _cross_encoder("bge-reranker-large", "BAAI", "xlm-roberta", "Chinese, English", 512, "MIT", 559_900_000),
    _cross_encoder("bge-reranker-v2-m3", "BAAI", "xlm-roberta", _MANY, 8192, "Apache-2.0", 567_800_000),
    _llm("bge-reranker-v2-gemma", "BAAI", "gemma", _MANY, 1024, "Apache-2.0", 2_506_200_000),
    _llm("bge-reranker-v2-minicpm-layerwise", "BAAI", "minicpm", _MANY, 1024, _UNSURE, 2_725_000_000, kind="layerwise", layers=(8, 40)),
    _llm(
        "bge-reranker-v2.5-gemma2-lightweight",
        "BAAI",
        "cost_wise_gemma",
        _MANY,
        1024,
        "Gemma",
        9_241_700_000,
        kind="lightweight",
        layers=(8, 42),
    ),
)

NAMED_FAMILIES: Mapping[str, NamedFamily] = MappingProxyType({family.name.lower(): family for family in _ROWS})
_LONGEST_FIRST = sorted(NAMED_FAMILIES.items(), key=lambda row: -len(row[0]))
