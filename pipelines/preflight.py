"""A config in, an early error out: whatever can be found wrong without a cluster is found before one is started.

Reads names, sizes and the first rows; whole files only where they are small.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from actors.chunker import Chunker
from actors.corpus.listing import SourceFile, list_files
from actors.corpus.planning import Slice, WorkUnit, count_rows, plan_units
from actors.corpus.reading import read_units
from actors.evaluation.checks import check_query_ids
from actors.index.kinds import resolve_plan
from actors.loading import EncoderSpec, RerankerSpec, adapter_folder, checkpoint_folder
from actors.models.checkpoint import choose_reranker_kind, reranker_kind
from actors.models.description import CheckpointInfo, read_description
from actors.models.encoder_options import EncoderOptions
from actors.models.reranker_options import RerankerOptions, check_exits, check_precision, head_layers
from configs.errors import UserError
from configs.schema import Config, InputConfig, QueriesConfig, RerankConfig, S3Config
from pipelines.judgements import load_judgements

Resolved = TypeVar("Resolved")

_FIRST_ROWS = 100  # enough to tell a wrong column from a bad row
_SMALL = 8 << 20  # bytes of input that are read whole before the run, for errors that would else show at its end
_FEW = 16  # files, for the same


def check_config(config: Config, reads_corpus: bool = True) -> None:
    """Look at the inputs and the models. Raises UserError at the first that cannot work. A re-index opens no file of the corpus here."""
    corpus = check_input(config, "corpus") if reads_corpus else []
    check_index(config, check_encoder(config))
    check_chunking(config)
    if config.queries is not None:
        check_input(config, "queries")
        check_judgements_early(config)
        if reads_corpus:
            _check_top_k(config, corpus)
    for reranker in config.rerankers:
        check_reranker(reranker, config.s3)


def require_queries(config: Config) -> QueriesConfig:
    """The queries section. Raises UserError where there is none."""
    if config.queries is None:
        raise UserError("The config has no queries: set queries.path (and queries.qrels where judgements exist).")
    return config.queries


def check_input(config: Config, role: str) -> list[SourceFile]:
    """The files of the corpus or the queries. Raises UserError too when the first of them has no rows or not the mapped columns."""
    spec: InputConfig = config.corpus if role == "corpus" else require_queries(config)
    files = list_files(spec, config.s3, "corpus" if role == "corpus" else "queries")
    filled = [file for file in files if file.size]
    if not filled or (not _reads(filled[0], spec, config.s3, role) and len(filled) == 1):
        raise UserError(f"There are no rows in {', '.join(spec.path)}: set {role}.path to files with at least one record.")
    return files


def check_judgements_early(config: Config) -> int:
    """The number of judged queries. Raises UserError where they are not among the queries, as far as those are few enough to read now."""
    spec, qrels = require_queries(config), load_judgements(config)
    if qrels is None:
        return 0
    if config.corpus.chunking and not config.search.roll_up and not any("#" in name for grades in qrels.values() for name in grades):
        raise UserError(
            f"{spec.qrels} judges documents, but rankings hold their passages: set search.roll_up to true, or judge passages (id#0 ...)."
        )
    files = list_files(spec, config.s3, "queries")
    if _few(files):
        units = plan_units(
            [count_rows(file, config.s3, spec.unit_rows, spec.broken_files, "queries") for file in files], spec.unit_rows, ""
        )
        ids = {name for _, found in read_units(units, spec, config.s3, "queries") for name in found.table["id"].to_pylist()}
        check_query_ids(qrels, ids, str(spec.qrels))
    return len(qrels)


def check_encoder(config: Config) -> CheckpointInfo:
    """The description of the embedding model, which must not be a reranker and must have what embed asks of it."""
    section = config.embed
    info = read_description(naming("embed.model", lambda: checkpoint_folder(section.model, section.revision, config.s3)))
    kind = reranker_kind(info)
    if kind is not None:
        raise UserError(
            f"embed.model {section.model} is a reranker (kind {kind}), not an encoder: use it under rerank.model, and an encoder here."
        )
    adapter = naming("embed.adapter", lambda: adapter_folder(section.adapter, config.s3))
    outputs = ("dense", *(["sparse"] if section.store_sparse else []))
    naming("embed", lambda: EncoderOptions(section.pooling, section.normalize, outputs, section.truncate_dim, adapter).check(info))
    naming("embed", EncoderSpec(section, "fp32", config.s3).tokenizer)
    return info


def check_index(config: Config, encoder: CheckpointInfo) -> None:
    """Raises UserError on an index that FAISS can not make for vectors of this encoder."""
    resolve_plan(config.index, config.index.train_rows, config.embed.truncate_dim or encoder.hidden_size)


def check_chunking(config: Config) -> None:
    """Raises UserError where passages would not fit the model, or no text the passages."""
    if config.corpus.chunking is not None:
        Chunker(EncoderSpec(config.embed, "fp32", config.s3), config.corpus).open()


def check_reranker(config: RerankConfig, s3: S3Config) -> CheckpointInfo:
    """The description of the reranking model, which must fit rerank.kind and have what rerank asks of it."""
    info = read_description(naming("rerank.model", lambda: checkpoint_folder(config.model, config.revision, s3)))
    adapter = naming("rerank.adapter", lambda: adapter_folder(config.adapter, s3))
    options = RerankerOptions(
        config.prompt, config.cutoff_layers, config.compress_ratio, config.compress_layers, config.head, adapter, config.weights
    )
    naming("rerank", lambda: _check_settings(config, options, info, s3))
    return info


def _check_settings(config: RerankConfig, options: RerankerOptions, info: CheckpointInfo, s3: S3Config) -> None:
    kind = choose_reranker_kind(info, config.kind)
    options.check(info, kind)
    check_precision(config.precision, kind)
    if config.exits and kind not in ("layerwise", "lightweight"):
        raise UserError(f"{config.model} is a {kind} reranker, whose one head leaves no early exit: leave rerank.exits out.")
    if config.exits:
        check_exits([(each.layer, each.keep) for each in config.exits], head_layers(info), options.scoring_layers(info)[0])
    RerankerSpec(config, "fp32", s3, kind).tokenizer()


def naming(field: str, resolve: Callable[[], Resolved]) -> Resolved:
    """What it resolves to; an error begins with the field."""
    try:
        return resolve()
    except UserError as error:
        raise UserError(f"{field}: {error}") from error


def _reads(file: SourceFile, spec: InputConfig, s3: S3Config, role: str) -> int:
    """Rows looked at; the mapped columns were there. What else is wrong with them is the run's to judge."""
    lenient = spec.model_copy(update={"broken_files": "reject"})
    rows = _FIRST_ROWS
    if file.format == "parquet" or file.size <= _SMALL:
        rows = min(rows, count_rows(file, s3, _FIRST_ROWS, "reject", role).rows)
    if rows:
        list(read_units([WorkUnit("first rows", (Slice(file, 0, rows, 0),))], lenient, s3, role))
    return rows


def _few(files: Sequence[SourceFile]) -> bool:
    return len(files) <= _FEW and sum(file.size for file in files) <= _SMALL


def _check_top_k(config: Config, corpus: Sequence[SourceFile]) -> None:
    """A corpus of fewer rows than top_k is small, so it is counted here; `rank.prepare` looks again at what was indexed."""
    if config.corpus.chunking is None and _few(corpus):
        broken_files = config.corpus.broken_files
        rows = sum(count_rows(file, config.s3, _FIRST_ROWS, broken_files, "corpus").rows for file in corpus)
        if config.search.top_k > rows:
            raise UserError(f"search.top_k is {config.search.top_k} but the corpus has only {rows} rows: lower top_k to {rows}.")
