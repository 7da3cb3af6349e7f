"""The sections between vectors and candidates: the index, and how it is searched."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from configs.base import PoolConfig, Section, execution, listed

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


class IndexConfig(Section):
    """Vectors to a version of the index."""

    kind: str = "auto"
    """flat, ivf_flat, ivf_sq8, ivf_pq, a FAISS factory string, or auto: flat up to 200,000 passages, where exact search costs some 10 ms
    a query on two cores, then ivf_sq8."""
    segment_rows: int = Field(default=1_000_000, ge=1)
    """Passages of one segment: bounds the memory of a build and the work of a rebuild."""
    nlist: int = Field(default=0, ge=0)
    """Inverted lists; 0 takes about 4 x sqrt(passages), but no more than train_rows / 39: 5,128 by default, from 1.6 million passages on.
    For more, raise train_rows."""
    nprobe: int = Field(default=0, ge=0)
    """Lists visited per query; 0 takes nlist/8, at least 16. The share of lists visited sets the recall."""
    pq_bytes: int = Field(default=0, ge=0)
    """Bytes of a product-quantised vector; 0 takes dimension/8, a bit for each component."""
    train_rows: int = Field(default=200_000, ge=1)
    """Passages of the sample that trains the shared quantiser. FAISS wants 39 for each list: 200,000 serve 5,128 lists."""
    overfetch: int = Field(default=4, ge=1)
    """Compressed kinds fetch overfetch x k candidates (k + 64 at least) and re-score them exactly from the stored vectors. Where these
    may not do the fetch doubles: up to three times, and where codes are close until nothing in the lists visited can be missed."""
    recall_queries: int = Field(default=100, ge=0)
    """Passages used as queries to measure recall@100 against exact search; 0 measures nothing. A hundred tell a loss of 0.01,
    reindex.max_recall_drop, from noise."""
    seed: int = Field(default=0, ge=0, lt=1 << 31)
    """Seed of the training sample and of k-means; a fixed one, so that a build can be repeated."""
    builders: int = execution(2, ge=1)
    """Segments built at once, at most: each holds a segment of vectors in memory."""


class FusionWeights(Section):
    """What each retriever counts in the fusion. Equal by default: reciprocal ranks, the default, need no tuned weights."""

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


class QueryPool(PoolConfig):
    """A pool of encoders for queries."""

    gpus: float = execution(0.25, ge=0)
    """GPUs for one actor: queries are few and short, so a quarter of a GPU does."""


class SearchConfig(Section):
    """Queries to candidates."""

    top_k: int = Field(default=100, ge=1)
    """Candidates per query. 100 is the usual depth before a reranker."""
    retrievers: Annotated[tuple[RetrieverKind, ...], BeforeValidator(listed)] = Field(default=("dense",), min_length=1)
    """Who finds candidates: dense (vectors), sparse (lexical weights of an encoder that has them, such as bge-m3), bm25, or several."""
    fusion: Literal["rrf", "weighted"] = "rrf"
    """How several are made one: reciprocal rank fusion, or the weighted sum of their scores. Ranks need no tuned weights, since
    scores of different scales are not added."""
    weights: FusionWeights = FusionWeights()
    """What each of several retrievers counts."""
    fetch: int | None = Field(default=None, ge=1)
    """Candidates of each retriever before the fusion; none takes top_k."""
    bm25: Bm25Config = Bm25Config()
    """Of the retriever bm25; its language is also that of the index."""
    roll_up: bool = False
    """Rankings of documents in place of passages, each by its best passage. top_k still counts passages: raise it where too few documents
    come of them. Qrels then judge documents."""
    keep_candidates: bool = execution(False)
    """Write the candidates of `run` as well; the rankings hold the same passages."""
    memory_gb: float = execution(0.0, ge=0)
    """Memory for resident segments over the cluster, in GiB; 0 takes half of what Ray sees, and leaves the rest to the
    models. Less than the index (plain vectors count a quarter more, for a copy of them in 8 bits): shard by shard."""
    searchers: int = execution(1, ge=1)
    """Actors that the resident segments are spread over, at least; more where a share would not fit a node, never more than segments.
    One serves a machine, since FAISS uses all its cores."""
    searcher_gpus: float | None = execution(None, ge=0)
    """GPUs of one searcher; none takes a quarter where faiss-gpu and a GPU are there; 0 leaves the GPUs to the models."""
    workers: QueryPool = QueryPool()
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
