"""The schema of a Raytrieve config: frozen pydantic models, one per stage, in the order the data flows.

Every field has a docstring with its unit and the reason for its default. Fields marked `execution`
change how fast a result is reached and never the result: fingerprints leave them out.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def execution(default: Any, **constraints: Any) -> Any:
    """A field that changes speed or display only, and therefore no fingerprint."""
    return Field(default=default, json_schema_extra={"execution": True}, **constraints)


def later(default: Any, **constraints: Any) -> Any:
    """A field that came after configs had been run: fingerprints leave it out while it has its default, so that those keep theirs."""
    return Field(default=default, json_schema_extra={"later": True}, **constraints)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


RetrieverKind = Literal["dense", "sparse", "bm25"]
Language = Literal[
    "english",
    "danish",
    "dutch",
    "french",
    "german",
    "italian",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
    "turkish",
    "none",
]
Paths = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class Section(BaseModel):
    """A frozen config section that refuses unknown keys and keeps field docstrings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class S3Config(Section):
    """How to reach S3. Credentials are never here: they come from the usual AWS chain (environment, profile, role)."""

    endpoint_url: str | None = execution(None, pattern=r"^https?://[^/]")
    """Address of an S3-compatible service, for example https://minio.example.com; none means AWS, or AWS_ENDPOINT_URL."""
    region: str | None = execution(None)
    """AWS region; none leaves it to AWS_REGION or the profile."""


class StoreConfig(Section):
    """Where every artifact and commit record lives."""

    uri: str = execution("data/store", min_length=1)
    """Folder (relative to the working directory) or s3://bucket/prefix. One store holds the index of one corpus."""
    unsafe_single_writer: bool = execution(False)
    """Accept a store that ignores conditional writes (If-None-Match). Then only one run may write at a time."""
    deadline_s: float = execution(60.0, gt=0)
    """Seconds that one object operation is retried before it is an error; outages shorter than this pass unnoticed."""


class ColumnsConfig(Section):
    """Which column of the input holds what."""

    id: str = "_id"
    """Column with the unique id (text or integer). BEIR's name, since most retrieval data uses it."""
    text: str = "text"
    """Column with the text that is embedded."""
    title: str | None = None
    """Column with the title, put before the text; none when there is no title. A missing or empty title is allowed."""
    metadata: tuple[str, ...] = ()
    """Columns carried through to the rankings, as JSON."""


class InputConfig(Section):
    """A set of records: the corpus, or the queries."""

    path: Paths
    """File, folder (searched recursively) or BEIR folder; local or s3://; one or a list."""
    format: Literal["auto", "parquet", "jsonl", "csv", "tsv", "beir"] = "auto"
    """auto goes by the file name: .parquet, .jsonl/.ndjson, .csv, .tsv, each but parquet also .gz or .zst."""
    columns: ColumnsConfig = ColumnsConfig()
    """Column mapping."""
    title_separator: str = " "
    """Joins title and text; one blank is what BGE, E5 and the BEIR benchmark use."""
    max_reject_share: float = Field(default=0.01, ge=0, le=1)
    """Share of rejected rows (0 to 1) past which the run fails: a few bad rows are normal, many mean a wrong mapping."""
    broken_files: Literal["stop", "reject"] = "stop"
    """A file that breaks half-way stops the run, or gives up its remaining rows to the rejects."""


class ChunkingConfig(Section):
    """Long documents into passages. The passages of document `doc` are `doc#0`, `doc#1` ..., also where there is but one."""

    tokens: int = Field(ge=16)
    """Tokens of a passage at most, as the embedding model reads it: title, instruction and special tokens counted."""
    overlap: int = Field(default=0, ge=0)
    """Tokens at the end of a passage that the next one repeats, at most: whole sentences where they fit."""
    unit_documents: int = Field(default=512, ge=1)
    """Documents of one work unit, in place of embed.unit_rows: about 10,000 passages where a document makes twenty."""

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> "ChunkingConfig":
        if self.overlap > self.tokens // 2:
            raise ValueError(f"overlap is {self.overlap} but tokens is only {self.tokens}: lower overlap to {self.tokens // 2}")
        return self


class CorpusConfig(InputConfig):
    """The documents, and how they become passages."""

    chunking: ChunkingConfig | None = later(None)
    """How long documents are cut; none takes every record as one passage, whose tokens past the model's limit are not seen."""


class PoolConfig(Section):
    """A pool of Ray actors that share one kind of work."""

    min_size: int = execution(1, ge=1)
    """Actors kept at all times. Ray Data pools cannot go to zero."""
    max_size: int = execution(1, ge=1)
    """Actors at most; set it to the number of GPUs over `gpus`."""
    gpus: float = execution(1.0, ge=0)
    """GPUs for one actor (fractions share a GPU); ignored when the cluster has no GPU."""
    cpus: float = execution(1.0, gt=0)
    """Logical CPUs that one actor reserves in Ray."""
    threads: int = execution(0, ge=0)
    """Torch threads of one actor on CPU; 0 takes all cores of the node, divided by the pool's size."""
    memory_gb: float = execution(0.0, ge=0)
    """Heap memory that one actor reserves in Ray, in GB; 0 reserves none."""

    @model_validator(mode="after")
    def _min_within_max(self) -> "PoolConfig":
        if self.min_size > self.max_size:
            raise ValueError(f"min_size is {self.min_size} but max_size is only {self.max_size}: lower min_size or raise max_size")
        return self


class EncoderConfig(Section):
    """The embedding model and how texts go through it."""

    model: str
    """Folder, hub id, s3://bucket/folder, or pkg://package/folder for a model inside a Python package."""
    revision: str | None = None
    """Hub revision (branch, tag or commit); none takes the hub's default. Ignored for folders."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto is bf16 on GPUs and on CPUs with AMX, else fp32. Whoever says fp32 gets fp32."""
    device: Literal["auto", "cpu", "cuda"] = execution("auto")
    """auto takes the GPU that Ray assigned to the actor, else the CPU."""
    pooling: Literal["auto", "cls", "mean", "last"] = "auto"
    """auto goes by the checkpoint's 1_Pooling/config.json, else cls, the BGE rule."""
    normalize: bool = True
    """Vectors of length 1, so that the inner product is the cosine."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens kept of a text, special tokens counted; none takes the checkpoint's own limit."""
    query_instruction: str | None = None
    """Put before every query, or a whole text with {} for the query; none takes the model's own, "" takes none. Models with a template
    (bge-multilingual-gemma2, Qwen3-Embedding and so on) put it there as the task. `raytrieve models show` tells what takes effect."""
    passage_instruction: str | None = None
    """Put before every passage; none takes the model's own, which most do not have, "" takes none."""
    task: str | None = later(None)
    """Task of llm-embedder whose two instructions are taken: qa (the default), convsearch, chat, lrlm, icl or tool."""
    truncate_dim: int | None = Field(default=None, ge=1)
    """Components kept of each vector, before normalising; for models trained for it (Matryoshka). None keeps all."""
    batch_tokens: int = execution(0, ge=0)
    """Tokens of one forward pass; 0 finds the fastest by a probe of under 2 s, once per shape of network and device."""


class EmbedConfig(EncoderConfig):
    """Corpus to vectors."""

    unit_rows: int = Field(default=8192, ge=1)
    """Passages of one work unit: seconds of work, so that little is lost when a worker dies."""
    store_dtype: Literal["fp16", "fp32"] = "fp16"
    """How vectors are kept. fp16 halves the space; recall@100 against fp32 is 0.9998 for unit vectors."""
    store_token_vectors: bool = False
    """Also keep every token's vector (fp16) for late interaction: tokens x dimension x 2 bytes, told before the run."""
    store_sparse: bool = False
    """Also keep the lexical weights of every passage, for sparse retrieval; only bge-m3 gives them. About 8 bytes per distinct token."""
    workers: PoolConfig = PoolConfig()
    """Actors that hold the model."""
    tokenizers: int = execution(4, ge=1)
    """Tokenising tasks at once, at most."""


class IndexConfig(Section):
    """Vectors to a version of the index."""

    kind: str = "auto"
    """flat, ivf_flat, ivf_sq8, ivf_pq, a FAISS factory string, or auto: flat up to 200,000 passages, then ivf_sq8."""
    segment_rows: int = Field(default=1_000_000, ge=1)
    """Passages of one segment: bounds the memory of a build and the work of a rebuild."""
    nlist: int = Field(default=0, ge=0)
    """Inverted lists; 0 takes about 4 x sqrt(passages)."""
    nprobe: int = Field(default=0, ge=0)
    """Lists visited per query; 0 takes nlist/8, at least 16. The share of lists visited sets the recall."""
    pq_bytes: int = Field(default=0, ge=0)
    """Bytes of a product-quantised vector; 0 takes dimension/8."""
    train_rows: int = Field(default=200_000, ge=1)
    """Sample that trains the shared quantiser; at least 39 x nlist is wanted."""
    overfetch: int = Field(default=4, ge=1)
    """Compressed kinds fetch overfetch x k candidates and re-score them exactly from the stored vectors."""
    recall_queries: int = Field(default=100, ge=0)
    """Passages used as queries to measure recall@100 against exact search; 0 measures nothing."""
    seed: int = 0
    """Seed of the training sample and of k-means."""
    builders: int = execution(2, ge=1)
    """Segments built at once, at most."""


class QueriesConfig(InputConfig):
    """The queries and, where known, their relevance judgements."""

    qrels: str | None = None
    """TSV of query, passage and grade (BEIR's header or trec_eval's four columns); none leaves the evaluation out."""
    only_judged: bool = False
    """Run just the queries that the qrels judge, as benchmarks do."""
    unit_rows: int = Field(default=128, ge=1)
    """Queries of one work unit."""


class FusionWeights(Section):
    """What each retriever counts in the fusion."""

    dense: float = Field(default=1.0, gt=0)
    """Of the vectors."""
    sparse: float = Field(default=1.0, gt=0)
    """Of the lexical weights; the M3 paper's dense + sparse takes 0.2 and 0.8 on long documents."""
    bm25: float = Field(default=1.0, gt=0)
    """Of BM25, whose scores are some 30 times cosines: about 0.03 in a weighted sum, 1 in reciprocal rank fusion."""


class Bm25Config(Section):
    """BM25 as Lucene scores it. The defaults are those of BEIR's published runs."""

    language: Language = "english"
    """Its stop words and stemmer; none has neither. Chinese and Japanese are cut into pairs of characters under any of them."""
    k1: float = Field(default=0.9, ge=0)
    """How slowly repeated words stop to count."""
    b: float = Field(default=0.4, ge=0, le=1)
    """How much long passages are marked down, 0 to 1."""


class SearchConfig(Section):
    """Queries to candidates."""

    top_k: int = Field(default=100, ge=1)
    """Candidates per query. 100 is the usual depth before a reranker."""
    retrievers: Annotated[tuple[RetrieverKind, ...], BeforeValidator(_listed)] = later(("dense",), min_length=1)
    """Who finds candidates: dense (vectors), sparse (lexical weights of an encoder that has them, such as bge-m3), bm25, or several."""
    fusion: Literal["rrf", "weighted"] = later("rrf")
    """How several are made one: reciprocal rank fusion, or the weighted sum of their scores. Without a tuned weight, ranks do better."""
    weights: FusionWeights = later(FusionWeights())
    """What each of several retrievers counts."""
    fetch: int | None = later(None, ge=1)
    """Candidates of each retriever before the fusion; none takes top_k."""
    bm25: Bm25Config = later(Bm25Config())
    """Of the retriever bm25; its language is also that of the index."""
    roll_up: bool = later(False)
    """Rankings of documents in place of passages, each by its best passage. top_k still counts passages: raise it where too few documents
    come of them. Qrels then judge documents."""
    keep_candidates: bool = execution(False)
    """Write the candidates of `run` as well; the rankings hold the same passages."""
    memory_gb: float = execution(0.0, ge=0)
    """Memory for resident segments over the cluster, in GB; 0 takes half of what Ray sees. Less than the index: shard by shard."""
    searchers: int = execution(1, ge=1)
    """Actors that the resident segments are spread over."""
    searcher_gpus: float | None = execution(None, ge=0)
    """GPUs of one searcher; none takes a quarter where faiss-gpu and a GPU are there; 0 leaves the GPUs to the models."""
    workers: PoolConfig = PoolConfig(gpus=0.25)
    """Actors that embed the queries."""

    @property
    def depth(self) -> int:
        """Candidates of each retriever; one alone finds just the top_k."""
        return (self.fetch or self.top_k) if len(self.retrievers) > 1 else self.top_k

    @property
    def language(self) -> str | None:
        """Language of the index's terms; none where it needs no terms."""
        return self.bm25.language if "bm25" in self.retrievers else None

    @model_validator(mode="after")
    def _retrievers_go_together(self) -> "SearchConfig":
        twice = [kind for kind in set(self.retrievers) if self.retrievers.count(kind) > 1]
        if twice:
            raise ValueError(f"retrievers names {twice[0]} twice: name each once")
        if self.depth < self.top_k:
            raise ValueError(f"fetch is {self.fetch} but top_k is {self.top_k}: raise fetch to at least top_k, or leave it out")
        return self


class LayerExit(Section):
    """Where a layerwise reranker lets candidates go while it computes."""

    layer: int = Field(ge=1)
    """Layer whose head scores them."""
    keep: int = Field(ge=1)
    """Candidates of each query that go on, the best; the others keep the score and order they left with."""


class RerankConfig(Section):
    """Candidates to rankings."""

    kind: Literal["auto", "cross_encoder", "llm", "layerwise", "lightweight", "late_interaction", "m3"] = "auto"
    """auto goes by the checkpoint; MaxSim over an encoder (late_interaction) and the mix of all outputs of a bge-m3 (m3) are asked for
    by name."""
    model: str
    """As embed.model."""
    revision: str | None = None
    """As embed.revision."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """As embed.precision."""
    device: Literal["auto", "cpu", "cuda"] = execution("auto")
    """As embed.device."""
    depth: int | None = Field(default=None, ge=1)
    """Candidates reranked per query; none reranks all. The rest follow in retrieval order."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens of a pair (cross-encoder, default 512) or of a passage (late interaction, default the model's)."""
    query_max_length: int | None = Field(default=None, ge=4)
    """Tokens kept of a query; none takes 3/4 of max_length, as FlagEmbedding does."""
    weights: tuple[float, float, float] | None = None
    """Of the dense, sparse and multi-vector scores (kind m3); none takes equal ones, as bge-m3's own code does."""
    prompt: str | None = None
    """The question that an LLM reranker answers about each pair; none takes the one it was trained with."""
    cutoff_layers: tuple[int, ...] = Field(default=(), max_length=1)
    """The layer whose head scores (layerwise, lightweight), one only here; none takes the last. Fewer layers are faster."""
    exits: tuple[LayerExit, ...] = ()
    """Early exits of a layerwise reranker, lower layers first: the rows that go on are not computed again."""
    compress_ratio: Literal[1, 2, 4, 8] = 1
    """Passage tokens merged into one at `compress_layers` (lightweight)."""
    compress_layers: tuple[int, ...] = (8,)
    """Where tokens are merged (lightweight); 8 is its authors' default."""
    normalize: bool = False
    """Sigmoid of the scores, 0 to 1. The order stays the same."""
    batch_tokens: int = execution(0, ge=0)
    """As embed.batch_tokens."""
    workers: PoolConfig = PoolConfig()
    """Actors that hold the reranker."""


class EvaluateConfig(Section):
    """Rankings to figures."""

    cuts: tuple[Annotated[int, Field(ge=1)], ...] = (1, 3, 5, 10, 100)
    """Ranks at which the measures are taken."""
    bootstrap: int = Field(default=2000, ge=0)
    """Resamples of the paired bootstrap of the gain; 0 leaves the interval out."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of that interval."""
    seed: int = 0
    """Of the resampling."""


class ReindexConfig(Section):
    """How `raytrieve reindex` follows a corpus that changes. None of it changes what an index holds, so no field is in a fingerprint."""

    mode: Literal["snapshot", "upsert"] = execution("snapshot")
    """snapshot: the files are the whole corpus, so what is missing in them is deleted. upsert: they are additions and edits."""
    deletions: str | None = execution(None)
    """File with one id a line that upsert deletes, local or s3://. An id that is also in the corpus files stays."""
    max_deleted_share: float = execution(0.2, ge=0, le=1)
    """Share of the passages that a snapshot may delete: a larger loss is more often a broken export than a wish, so it stops the run."""
    hollow_share: float = execution(0.2, gt=0, le=1)
    """Segments with more deleted rows than this share are written anew from stored vectors."""
    small_share: float = execution(0.1, ge=0, le=1)
    """A segment with fewer live passages than this share of index.segment_rows is small."""
    small_segments: int = execution(8, ge=1)
    """Small segments of a version, at most; more are merged from stored vectors. A search opens every segment."""
    max_recall_drop: float = execution(0.01, ge=0, le=1)
    """recall@100 against exact search that a new version may lose to the newest one; a greater loss leaves it unpublished."""
    max_ndcg_drop: float = execution(0.01, ge=0, le=1)
    """nDCG@10 that it may lose, where there are judgements. The noise of 300 judged queries is about this much."""
    max_drift: float = execution(0.1, gt=0)
    """Growth of the mean squared distance between passages and their centroids since training, as a share; past it the quantiser is
    trained anew and all segments are built from stored vectors."""
    max_growth: float = execution(2.0, gt=1)
    """Factor by which the corpus may grow or shrink before the index is planned and trained anew."""
    lease_s: float = execution(30.0, gt=0)
    """Seconds for which a run announces that it works on the next version, renewed while it lives. Others wait for it, to save the same
    work being done twice; nothing but time depends on it."""


class RayConfig(Section):
    """The cluster and the bounds of its patience."""

    address: str | None = execution(None)
    """Cluster to join; none joins the one in RAY_ADDRESS (as in a submitted job), else starts a private one here."""
    local_cpus: int = execution(0, ge=0)
    """Logical CPUs of the private cluster; 0 takes cores + 6, since reading and writing tasks mostly wait."""
    object_store_gb: float = execution(1.0, gt=0)
    """Object store of the private cluster, in GB."""
    retries: int = execution(2, ge=0)
    """Times Ray restarts a worker that died before the rows it held are tried alone."""
    wave_units: int = execution(2000, ge=1)
    """Units of one Ray Data execution: bounds the driver's memory whatever the corpus."""
    no_progress_s: float = execution(900.0, gt=0)
    """Seconds without any finished unit after which the run stops and says what it waited for."""
    log_to_driver: bool = execution(False)
    """Show the workers' own output."""


class Config(Section):
    """A whole Raytrieve job."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """Label of the run folder; letters, digits, - and _."""
    s3: S3Config = S3Config()
    """How to reach S3."""
    store: StoreConfig = StoreConfig()
    """Where artifacts live."""
    corpus: CorpusConfig
    """The passages."""
    embed: EmbedConfig
    """Corpus to vectors."""
    index: IndexConfig = IndexConfig()
    """Vectors to an index version."""
    queries: QueriesConfig | None = None
    """The queries; none for a job that only builds an index."""
    search: SearchConfig = SearchConfig()
    """Queries to candidates."""
    rerank: RerankConfig | None = None
    """Candidates to rankings; none keeps the retrieval order."""
    cascade: tuple[RerankConfig, ...] = ()
    """Further rerankers after `rerank`, each on the first `depth` candidates of the order before it: cheap and wide first."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Rankings to figures."""
    reindex: ReindexConfig = execution(ReindexConfig())
    """How the index follows the corpus."""
    ray: RayConfig = RayConfig()
    """The cluster."""

    @property
    def unit_rows(self) -> int:
        """Rows of the corpus in one work unit."""
        return self.corpus.chunking.unit_documents if self.corpus.chunking else self.embed.unit_rows

    @property
    def rerankers(self) -> tuple[RerankConfig, ...]:
        """All rerankers in the order they work."""
        return (self.rerank, *self.cascade) if self.rerank else ()

    @model_validator(mode="after")
    def _lexical_weights_are_kept(self) -> "Config":
        if "sparse" in self.search.retrievers and not self.embed.store_sparse:
            raise ValueError("search.retrievers names sparse, but embed.store_sparse is off: set it to true")
        return self

    @model_validator(mode="after")
    def _documents_to_roll_up(self) -> "Config":
        if self.search.roll_up and self.corpus.chunking is None:
            raise ValueError("search.roll_up is set, but the passages are whole documents: set corpus.chunking, or leave roll_up out")
        return self

    @model_validator(mode="after")
    def _depths_fall(self) -> "Config":
        if self.cascade and not self.rerank:
            raise ValueError("cascade needs a first reranker: set rerank")
        limit, before = self.search.top_k, "search.top_k"
        for number, reranker in enumerate(self.rerankers):
            name = f"cascade[{number - 1}].depth" if number else "rerank.depth"
            if number and reranker.depth is None:
                raise ValueError(f"{name} is missing: say how many candidates this reranker gets")
            if reranker.depth is not None and reranker.depth > limit:
                raise ValueError(f"{name} is {reranker.depth} but {before} is only {limit}: lower the depth or raise {before}")
            limit, before = reranker.depth or limit, name
        return self
