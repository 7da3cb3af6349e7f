"""A config's queries, a version and the models in; what is asked of it out: units, rerankers, and what identifies the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actors.corpus.planning import WorkUnit
from actors.loading import RerankerSpec, examples_of
from actors.models import calibration
from actors.models.checkpoint import ENCODER_KINDS, CheckpointInfo, choose_reranker_kind
from actors.models.text_tokenizer import TextTokenizer
from actors.storage.fingerprints import fingerprint, semantic_fields
from actors.storage.manifests import Manifest
from configs.errors import UserError
from configs.schema import QueriesConfig, RerankConfig, SearchConfig
from pipelines.cluster import resolve_precision
from pipelines.embed import Embedding, encoder_spec
from pipelines.job import Job
from pipelines.judgements import load_judgements
from pipelines.planning import LeftOut, plan_input, read_items, unit_names
from pipelines.preflight import check_reranker
from pipelines.repeats import repeated_queries
from pipelines.stream import Item


@dataclass(frozen=True, slots=True)
class Asking:
    """The queries of a run against one version: the plan, and the identities of its candidates and rankings."""

    job: Job
    manifest: Manifest
    embedding: Embedding
    queries: QueriesConfig
    specs: tuple[RerankerSpec, ...]
    units: tuple[WorkUnit, ...]
    candidates: str
    rankings: str
    left_out: LeftOut
    """Rows with the id of an earlier query."""

    def items(self, identity: str, units: Sequence[WorkUnit] | None = None) -> list[Item]:
        """The query units, or some of them, as a reader starts from them, named under an identity."""
        return read_items(self.units if units is None else units, identity, self.left_out)

    def names(self, identity: str) -> list[str]:
        """The units' names under an identity, in query order."""
        return unit_names(self.units, identity, self.left_out)

    @property
    def ranking_names(self) -> list[str]:
        """The units' names as rankings, in query order."""
        return self.names(self.rankings)

    @property
    def candidate_names(self) -> list[str]:
        """The units' names as candidates, in query order."""
        return self.names(self.candidates)


def prepare(job: Job, manifest: Manifest, embedding: Embedding) -> Asking:
    """Plan the queries and check that they, the version and the models go together."""
    config = job.config
    if config.queries is None:
        raise UserError("The config has no queries: set queries.path (and queries.qrels where judgements exist).")
    if manifest.embedding["fingerprint"] != embedding.fingerprint:
        raise UserError(
            f"Version {manifest.version} was embedded with other settings ({_difference(manifest.embedding, embedding.facts)}): "
            "run `raytrieve embed` and `raytrieve index` with this config first."
        )
    if config.search.top_k > manifest.rows:
        raise UserError(
            f"search.top_k is {config.search.top_k} but the index holds only {manifest.rows} passages: lower top_k to {manifest.rows}."
        )
    specs = tuple(reranker_spec(job, manifest, reranker) for reranker in config.rerankers)
    units = plan_input(config.queries, config.s3, "queries", config.queries.unit_rows, job.store)
    examples = examples_of(config.embed) or ()
    encoder = [embedding.fingerprint, encoder_spec(job, config.search.workers).tokenizer().query_instruction, *examples]
    only = config.queries.only_judged and sorted(judged(job))
    candidates = fingerprint([manifest.content, encoder, config.search.top_k, only, *_beyond_dense(config.search)])
    reranking = [
        [spec.weights, _exactness(spec), spec.kind, spec.uses_stored_vectors, *_instructions(spec), semantic_fields(spec.config)]
        for spec in specs
    ]
    rankings = fingerprint([candidates, reranking, *(["documents"] if config.search.roll_up else [])])
    return Asking(
        job, manifest, embedding, config.queries, specs, tuple(units), candidates, rankings, repeated_queries(job, config.queries, units)
    )


def _exactness(spec: RerankerSpec) -> str:
    return f"int8 {calibration.SCHEME}" if spec.precision == "int8" else spec.precision


def _instructions(spec: RerankerSpec) -> list[str]:
    """Those of an encoder that reranks: they may come from files, or from a folder's name, which its digest does not know."""
    tokenizer = spec.tokenizer() if spec.kind in ENCODER_KINDS else None
    return [tokenizer.query_instruction, tokenizer.passage_instruction] if isinstance(tokenizer, TextTokenizer) else []


def _beyond_dense(search: SearchConfig) -> list[object]:
    """What of the retrievers changes candidates; nothing for the vectors alone."""
    fields = {name: value for name, value in semantic_fields(search).items() if name not in ("top_k", "workers", "roll_up")}
    return [fields] if fields else []


def judged(job: Job) -> frozenset[str]:
    """Ids of the judged queries."""
    return frozenset(load_judgements(job.config) or ())


def reranker_spec(job: Job, manifest: Manifest, config: RerankConfig) -> RerankerSpec:
    """The reranker as workers open it."""
    info = check_reranker(config, job.config.s3)
    kind = choose_reranker_kind(info, config.kind)
    precision = resolve_precision(config.precision, config.device, job.cluster)
    spec = RerankerSpec(config, precision, job.config.s3, kind, False, job.device(config), job.threads(config, config.workers))
    return replace(spec, uses_stored_vectors=stored_vectors_fit(spec, info, manifest.embedding))


def stored_vectors_fit(spec: RerankerSpec, info: CheckpointInfo, facts: Mapping[str, Any]) -> bool:
    """Whether the index keeps the very token vectors that this reranker would compute."""
    if spec.kind != "late_interaction" or not facts["store_token_vectors"]:
        return False
    tokenizer = spec.tokenizer()
    assert isinstance(tokenizer, TextTokenizer)
    names = ("weights", "precision", "dimension", "normalize", "max_length", "passage_instruction")
    ours = (spec.weights, spec.precision, info.hidden_size, True, tokenizer.max_length, tokenizer.passage_instruction)
    return ours == tuple(facts[name] for name in names)


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    fields = [f"{name} {there.get(name)!r} there, {value!r} here" for name, value in here.items() if there.get(name) != value]
    return "; ".join(fields[:3]) or "another schema"
