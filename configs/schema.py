"""The schema of a Raytrieve config, whole: one section per stage, in the order the data flows.

Every field has a docstring with its unit and the reason for its default. The sections lie in base.py, inputs.py, models.py and
retrieval.py, and are named here too.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import PoolConfig, S3Config, Section, StoreConfig, execution
from configs.inputs import ChunkingConfig, ColumnsConfig, CorpusConfig, InputConfig, QueriesConfig
from configs.models import EmbedConfig, EncoderConfig, LayerExit, RerankConfig
from configs.retrieval import Bm25Config, FusionWeights, IndexConfig, Language, RetrieverKind, SearchConfig

__all__ = [
    "Bm25Config",
    "ChunkingConfig",
    "ColumnsConfig",
    "Config",
    "CorpusConfig",
    "EmbedConfig",
    "EncoderConfig",
    "EvaluateConfig",
    "FusionWeights",
    "IndexConfig",
    "InputConfig",
    "Language",
    "LayerExit",
    "PoolConfig",
    "QueriesConfig",
    "RayConfig",
    "ReindexConfig",
    "RerankConfig",
    "RetrieverKind",
    "S3Config",
    "SearchConfig",
    "Section",
    "StoreConfig",
    "execution",
]


class EvaluateConfig(Section):
    """Rankings to figures. No ranking depends on them, so no field is in a fingerprint: other figures need no other run."""

    cuts: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = execution((1, 3, 5, 10, 100))
    """Ranks at which the measures are taken: those that BEIR, MS MARCO and a top 100 are read at."""
    bootstrap: int = execution(2000, ge=0)
    """Resamples of the paired bootstrap of the gain; 0 leaves the interval out. 2,000 settle its ends to a few hundredths of its width."""
    confidence: float = execution(0.95, gt=0, lt=1)
    """Confidence of that interval, 0 to 1; 0.95 is the custom."""
    seed: int = execution(0, ge=0)
    """Seed of the resampling; a fixed one gives the same interval each time."""


class ReindexConfig(Section):
    """How `raytrieve reindex` follows a corpus that changes. None of it changes what an index holds, so no field is in a fingerprint."""

    mode: Literal["snapshot", "upsert"] = execution("snapshot")
    """snapshot: the files are the whole corpus, so what is missing in them is deleted. upsert: they are additions and edits."""
    deletions: str | None = execution(None)
    """File with one id a line that upsert deletes, local or s3://. An id that the files bring too is an error."""
    max_deleted_share: float = execution(0.2, ge=0, le=1)
    """Share of the passages that a snapshot may delete: a larger loss is more often a broken export than a wish, so it stops the run."""
    hollow_share: float = execution(0.2, gt=0, le=1)
    """Segments with more deleted rows than this share are written anew from stored vectors. A search still scans them: a fifth
    is what that may waste."""
    small_share: float = execution(0.1, ge=0, le=1)
    """A segment with fewer live passages than this share of index.segment_rows is small: what a day brings, not a part of the corpus."""
    small_segments: int = execution(8, ge=1)
    """Small segments of a version, at most; more are merged from stored vectors. A search opens every segment."""
    max_recall_drop: float = execution(0.01, ge=0, le=1)
    """recall@100 against exact search, measured in each segment, that a new version may lose to the newest one; a greater loss leaves it
    unpublished. 0.01 is what the hundred queries of index.recall_queries tell from noise."""
    max_ndcg_drop: float = execution(0.01, ge=0, le=1)
    """nDCG@10 that it may lose, where there are judgements. The noise of 300 judged queries is about this much."""
    max_drift: float = execution(0.1, gt=0)
    """Growth of the mean squared distance between passages and their centroids since training, as a share; past it the quantiser is
    trained anew and all segments are built from stored vectors."""
    max_growth: float = execution(2.0, gt=1)
    """Factor by which the corpus may grow or shrink before the index is planned and trained anew. Twice the passages want 1.4
    times the lists."""
    lease_s: float = execution(30.0, gt=0)
    """Seconds for which a run announces that it works on the next version, renewed three times in that while it lives. Others wait for
    it, to save the same work being done twice; nothing but time depends on it."""


class RayConfig(Section):
    """The cluster and the bounds of its patience."""

    address: str | None = execution(None)
    """Cluster to join; none joins the one in RAY_ADDRESS (as in a submitted job), else starts a private one here."""
    local_cpus: int = execution(0, ge=0)
    """Logical CPUs of the private cluster; 0 takes cores + 6, since reading and writing tasks mostly wait."""
    object_store_gb: float = execution(1.0, gt=0)
    """Object store of the private cluster, in GiB. A unit of 8,192 vectors is some 25 MB, and a few are on their way at a time."""
    retries: int = execution(2, ge=0)
    """Times Ray restarts a worker that died before the rows it held are tried alone: a machine may fail twice, but a row
    that kills its worker does so each time, and each time costs a start."""
    wave_units: int = execution(2000, ge=1)
    """Units of one Ray Data execution: bounds the driver's memory whatever the corpus."""
    no_progress_s: float = execution(900.0, gt=0)
    """Seconds without any finished unit after which the run stops and says what it waited for: a unit takes seconds to minutes, a
    large model's first load some minutes more."""
    log_to_driver: bool = execution(False)
    """Show the workers' own output. What ends a run is told without it."""


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
