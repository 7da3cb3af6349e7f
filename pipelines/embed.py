"""The corpus in, committed vectors out: read -> check -> tokenise -> embed -> write, streamed over the cluster."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.chunker import Chunker
from actors.corpus.planning import WorkUnit
from actors.embedder import Embedder
from actors.loading import EncoderSpec
from actors.models import calibration
from actors.models.description import read_description
from actors.reader import Reader, Workplace
from actors.storage.commits import CommitRecord, committed_units, read_commits
from actors.storage.fingerprints import fingerprint
from actors.tokenizer import Tokenizer
from actors.writer import Writer
from configs.errors import UserError
from configs.schema import CorpusConfig, InputConfig, PoolConfig
from pipelines.cluster import resolve_precision
from pipelines.estimates import token_vector_bytes
from pipelines.job import Job
from pipelines.metrics import counted
from pipelines.operators import Operator
from pipelines.planning import plan_input, read_items
from pipelines.sizing import light_tasks, tokenizing_tasks
from pipelines.status import save_plan
from pipelines.stream import Item, Stage, run_stage

_SCHEMA = 2  # raise it when the bytes that this code writes for the same settings change
_CHUNKING = 1  # raise it when the same documents would be cut otherwise, as by another version of the splitter


@dataclass(frozen=True, slots=True)
class Embedding:
    """The identity of a set of vectors: everything that changes their bytes, and nothing else."""

    fingerprint: str
    facts: dict[str, Any]

    @property
    def folder(self) -> str:
        """Where the vectors are, in the store."""
        return f"vectors/{self.fingerprint}"

    @property
    def named(self) -> dict[str, Any]:
        """The facts with the fingerprint, as a manifest holds them."""
        return {"fingerprint": self.fingerprint, **self.facts}


def encoder_spec(job: Job, pool: PoolConfig, outputs: tuple[str, ...] = ("dense",)) -> EncoderSpec:
    """The encoder of this job for the actors of a pool."""
    section = job.config.embed
    precision = resolve_precision(section.precision, section.device, job.cluster)
    return EncoderSpec(section, precision, job.config.s3, job.device(section), job.threads(section, pool), outputs)


def describe_embedding(job: Job) -> Embedding:
    """Resolve the model and say what its vectors depend on. Raises UserError when the model cannot be had."""
    spec = encoder_spec(job, job.config.embed.workers)
    section, info, tokenizer = job.config.embed, read_description(spec.folder), spec.tokenizer()
    facts = {
        "schema": _SCHEMA,
        "weights": spec.weights,
        "dimension": section.truncate_dim or info.hidden_size,
        "pooling": info.pooling if section.pooling == "auto" else section.pooling,
        "normalize": info.sentence.normalize if section.normalize is None else section.normalize,
        "max_length": tokenizer.max_length,
        "passage_instruction": tokenizer.passage_instruction,
        "precision": spec.precision,
        "store_dtype": section.store_dtype,
        "store_token_vectors": section.store_token_vectors,
        "store_sparse": section.store_sparse,
    }
    if spec.precision == "int8":
        facts["int8"] = calibration.SCHEME
    if overruled := tokenizer.overruled:
        facts["tokenizer"] = overruled
    chunking = job.config.corpus.chunking
    if chunking is not None:
        facts["chunking"] = {"scheme": _CHUNKING, "tokens": chunking.tokens, "overlap": chunking.overlap}
    return Embedding(fingerprint(facts), {**facts, "model": section.model})


def plan_corpus(job: Job) -> list[WorkUnit]:
    """The corpus as work units."""
    return plan_input(job.config.corpus, job.config.s3, "corpus", job.config.unit_rows, job.store)


def embed(job: Job, embedding: Embedding, units: Sequence[WorkUnit]) -> list[CommitRecord]:
    """Embed the units of the corpus that are not embedded yet. Returns the commit records of all, in corpus order."""
    place = job.place(embedding.folder)
    operators = corpus_operators(job, place)
    names = [unit.unit_id for unit in units]
    if job.config.embed.store_token_vectors:
        _tell_space(job, units, embedding)
    finish(job, Stage("embed", operators, place), read_items(units))
    records = read_commits(job.store, embedding.folder, names)
    check_rejects(records, job.config.corpus, "corpus")
    return records


def _tell_space(job: Job, units: Sequence[WorkUnit], embedding: Embedding) -> None:
    space = token_vector_bytes(
        units, corpus_reader(job), encoder_spec(job, job.config.embed.workers).tokenizer(), embedding.facts["dimension"]
    )
    job.display.say(f"embed: the token vectors will take about {space / 1e9:,.2f} GB, and as much again in the index")


def corpus_operators(job: Job, place: Workplace) -> list[Operator]:
    """read, tokenise, embed, write."""
    config, pool = job.config, job.config.embed.workers
    kept = {"multi_vector": config.embed.store_token_vectors, "sparse": config.embed.store_sparse}
    spec = encoder_spec(job, pool, ("dense", *(name for name, wanted in kept.items() if wanted)))
    return [
        reading_operator(config.corpus, job, "corpus", place, light_tasks(pool)),
        tokenizing_operator(spec, queries=False, tasks=_tokenizers(job)),
        embedding_operator(job, spec, pool, place, config.embed.store_dtype),
        writing_operator(place, "passages", "embed", light_tasks(pool), hash_ids=True),
    ]


def _tokenizers(job: Job) -> int:
    section = job.config.embed
    return section.tokenizers or tokenizing_tasks(section.workers, job.gpus(section, section.workers), least=4)


def reading_operator(spec: InputConfig, job: Job, role: str, place: Workplace, tasks: int, only: frozenset[str] | None = None) -> Operator:
    """Reads input files, and cuts documents that are to be cut. Its CPU share differs from its neighbours', so that Ray keeps it apart."""
    arguments = {"spec": spec, "s3": job.config.s3, "role": role, "place": place, "only": only}
    if isinstance(spec, CorpusConfig) and spec.chunking:
        chunker = Chunker(encoder_spec(job, job.config.embed.workers), spec)
        return Operator(Reader, {**arguments, "chunker": chunker}, cpus=0.45, tasks=_tokenizers(job))
    return Operator(Reader, arguments, cpus=0.25, tasks=tasks)


def corpus_reader(job: Job) -> Reader:
    """A reader of the corpus that stores nothing: for who only wants to look at passages."""
    return reading_operator(job.config.corpus, job, "corpus", job.place(""), tasks=1).build()


def tokenizing_operator(spec: EncoderSpec, queries: bool, tasks: int) -> Operator:
    """Tokenises on CPUs."""
    return Operator(Tokenizer, {"spec": spec, "queries": queries}, cpus=0.5, tasks=tasks)


def embedding_operator(job: Job, spec: EncoderSpec, pool: PoolConfig, place: Workplace, dtype: str) -> Operator:
    """Embeds in a pool of actors that hold the model."""
    arguments = {"spec": spec, "place": place, "dtype": dtype}
    return Operator(Embedder, arguments, cpus=pool.cpus, pool=pool, gpus=job.gpus(spec.config, pool))


def writing_operator(place: Workplace, table: str, stage: str, tasks: int, hash_ids: bool = False) -> Operator:
    """Stores and commits; counts into Ray's metrics."""
    arguments = {"place": counted(place, stage), "table": table, "hash_ids": hash_ids}
    return Operator(Writer, arguments, cpus=0.3, tasks=tasks)


def finish(job: Job, stage: Stage, items: Sequence[Item]) -> None:
    """Run a stage to its end with progress and events."""
    units = [unit for item in items for unit in item.units]
    save_plan(job.store, job.folder, stage.name, stage.place.folder, units)
    resumed = len(committed_units(job.store, stage.place.folder) & set(units))
    job.events.add("stage started", stage=stage.name, units=len(units), found_done=resumed, flush=True)
    with job.display.stage(stage.name, len(units), resumed) as report:

        def on_receipt(receipt: dict[str, Any]) -> None:
            report(receipt)
            job.events.add("unit done", stage=stage.name, unit=receipt["unit"], ours=receipt["ours"], counts=receipt["counts"])

        run_stage(stage, items, job.config.ray, on_receipt)
        seconds = report.state.seconds
    job.events.add("stage done", stage=stage.name, units=len(units), found_done=resumed, seconds=seconds, flush=True)


def check_rejects(records: Sequence[CommitRecord], spec: InputConfig, role: str, more: int = 0) -> None:
    """Fail when more rows were rejected than the config allows; `more` are those with an id of another unit."""
    reasons = Counter({"duplicate id": more} if more else {})
    for record in records:
        reasons.update(record.details["reasons"])
    check_reject_share(int(sum(record.counts["rows_read"] for record in records)), reasons, spec, role)


def check_reject_share(read: int, reasons: Counter[str], spec: InputConfig, role: str) -> None:
    """Fail when, of the rows read, more were rejected than the config allows."""
    rejected = reasons.total()
    if read and rejected > spec.max_reject_share * read:
        most = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise UserError(
            f"{rejected} of {read} {role} rows were rejected ({rejected / read:.1%}, but {role}.max_reject_share "
            f"allows {spec.max_reject_share:.1%}): "
            f"{most}. See the rejects files in the store; mend the input or {role}.columns, or raise the share."
        )
