"""The sections of the models: the encoder with its embeddings, and the rerankers."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from configs.base import PoolConfig, Section, execution


class Example(Section):
    """A worked example of the queries' task."""

    query: str
    """A query."""
    response: str
    """A passage that answers it."""
    instruct: str | None = None
    """Its task; none takes the queries' own."""


class EncoderConfig(Section):
    """The embedding model and how texts go through it."""

    model: str
    """Folder, hub id, s3://bucket/folder, or pkg://package/folder for a model inside a Python package."""
    revision: str | None = None
    """Hub revision (branch, tag or commit); none takes the hub's default. Ignored for folders."""
    adapter: str | None = None
    """LoRA adapter as peft saves it, merged when the model is loaded: a folder, hub id, s3:// or pkg:// address. None takes the model as
    it is."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """auto is bf16 on GPUs and on CPUs that multiply it faster (with AMX; AMD from Zen 4 on), else fp32; the driver's machine decides: name
    one where machines differ, or to go on with vectors that another machine or release made. A CPU without instructions for half precision
    holds it in fp32. int8 is for CPUs: faster, and refused where it moves the vectors of a few texts too far from those in fp32, which
    every worker computes when it starts. Token vectors stored in int8 serve no reranker."""
    device: Literal["auto", "cpu", "cuda"] = execution("auto")
    """auto takes the GPU that Ray assigned to the actor, else the CPU."""
    pooling: Literal["auto", "cls", "mean", "last"] = "auto"
    """auto goes by the checkpoint's 1_Pooling/config.json, else by its name's family, else last for decoders and cls, the BGE rule."""
    normalize: bool | None = None
    """Vectors of length 1, so that the inner product is the cosine; none goes by the checkpoint's modules.json, and is yes without one."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens kept of a text, special tokens counted; none takes the checkpoint's own limit."""
    query_instruction: str | None = None
    """Put before every query, or a whole text with {} for the query; none takes the model's own, "" takes none. Models with a template
    (bge-multilingual-gemma2, Qwen3-Embedding and so on) put it there as the task. `raytrieve models show` tells what takes effect."""
    passage_instruction: str | None = None
    """Put before every passage; none takes the model's own, which most do not have, "" takes none."""
    task: str | None = None
    """Task of llm-embedder whose two instructions are taken: qa (the default), convsearch, chat, lrlm, icl or tool."""
    examples: tuple[Example, ...] = ()
    """Examples that bge-en-icl reads before every query; other models take none."""
    truncate_dim: int | None = Field(default=None, ge=1)
    """Components kept of each vector, before normalising; for models trained for it (Matryoshka). None keeps all."""
    batch_tokens: int = execution(0, ge=0)
    """Tokens of one forward pass; 0 finds the fastest by a probe of under 2 s, once per shape of network and device. Decoders are
    not probed: 0 takes 2,048 on a CPU and 32,768 on a GPU."""


class EmbedConfig(EncoderConfig):
    """Corpus to vectors."""

    unit_rows: int = Field(default=8192, ge=1)
    """Passages of one work unit: seconds of work, so that little is lost when a worker dies."""
    store_dtype: Literal["fp16", "fp32"] = "fp16"
    """How vectors are kept. fp16 halves the space and moves a component by 1 in 2,000 at most."""
    store_token_vectors: bool = False
    """Also keep every token's vector (fp16) for late interaction: tokens x dimension x 2 bytes, told before the run. A reranker of kind
    m3 computes all of its three outputs anew."""
    store_sparse: bool = False
    """Also keep the lexical weights of every passage, for sparse retrieval; only bge-m3 gives them. About 8 bytes per distinct token."""
    workers: PoolConfig = PoolConfig()
    """Actors that hold the model."""
    tokenizers: int = execution(0, ge=0)
    """Tokenising tasks at once, at most; 0 takes four, more where the pool is large: with GPUs four for each of them, which feed a
    large model. A small one wants more: a core makes some 0.7 million tokens a second of WordPiece."""


class LayerExit(Section):
    """Where a layerwise or lightweight reranker lets candidates go while it computes."""

    layer: int = Field(ge=1)
    """Layer whose head scores them."""
    keep: int = Field(ge=1)
    """Candidates of each query that go on, the best; the others keep the score and order they left with."""


class RerankPool(PoolConfig):
    """A pool of rerankers."""

    gpus: float = execution(0.5, ge=0)
    """GPUs for one actor: half a GPU, so that one GPU also holds the queries' encoder and a searcher, which work meanwhile."""


class RerankConfig(Section):
    """Candidates to rankings."""

    kind: Literal["auto", "cross_encoder", "llm", "layerwise", "lightweight", "late_interaction", "m3"] = "auto"
    """auto goes by the checkpoint; MaxSim over an encoder (late_interaction) and the mix of all outputs of a bge-m3 (m3) are asked for
    by name."""
    model: str
    """As embed.model."""
    revision: str | None = None
    """As embed.revision."""
    adapter: str | None = None
    """As embed.adapter; for LLM rerankers."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    """As embed.precision; int8 is for cross-encoders, and refused where it changes the order of a few passages."""
    device: Literal["auto", "cpu", "cuda"] = execution("auto")
    """As embed.device."""
    depth: int | None = Field(default=None, ge=1)
    """Candidates reranked per query; none reranks all. The rest follow in retrieval order."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens of a pair (cross-encoder; LLM kinds without the question; none takes 512 or what the model has positions for), or of each text
    (late interaction and m3; none takes the model's own limit)."""
    query_max_length: int | None = Field(default=None, ge=4)
    """Tokens kept of a query; none takes 3/4 of max_length, as FlagEmbedding does, and all of it for late interaction and m3."""
    weights: tuple[float, float, float] | None = None
    """Of the dense, sparse and multi-vector scores (kind m3); none takes equal ones, as bge-m3's own code does."""
    prompt: str | None = None
    """The question that an LLM reranker answers about each pair; none takes the one it was trained with."""
    cutoff_layers: Annotated[tuple[int, ...], BeforeValidator(lambda given: (given,) if isinstance(given, int) else given)] = Field(
        default=(), max_length=1
    )
    """The layer whose head scores (layerwise, lightweight), one only here; none takes the last. Fewer layers are faster."""
    head: Literal["layer", "position"] = "layer"
    """Whose head scores at a layer (lightweight): its own, or, as the reference has it, that of its place in the list."""
    exits: tuple[LayerExit, ...] = ()
    """Early exits of a layerwise or lightweight reranker, lower layers first: the rows that go on are not computed again."""
    compress_ratio: Literal[1, 2, 4, 8] = 1
    """Passage tokens merged into one at `compress_layers` (lightweight); 1 merges none, so scores lose nothing to it."""
    compress_layers: tuple[int, ...] = (8,)
    """Where tokens are merged (lightweight); 8 is its authors' default."""
    normalize: bool = False
    """Sigmoid of the scores, 0 to 1. The order stays the same, so the model's own scores are kept unless asked."""
    batch_tokens: int = execution(0, ge=0)
    """As embed.batch_tokens."""
    workers: RerankPool = RerankPool()
    """Actors that hold the reranker."""
