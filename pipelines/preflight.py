"""A config in, an early error out: whatever can be found wrong without a cluster is found before one is started."""

from actors.corpus.listing import SourceFile, list_files
from actors.loading import checkpoint_folder
from actors.models.description import CheckpointInfo, read_description
from configs.errors import UserError
from configs.schema import Config, InputConfig, RerankConfig, S3Config
from pipelines.judgements import load_judgements


def check_config(config: Config) -> None:
    """Look at the inputs and the models. Raises UserError at the first that cannot work."""
    check_input(config, "corpus")
    check_encoder(config)
    if config.queries is not None:
        check_input(config, "queries")
        load_judgements(config)
    if config.rerank is not None:
        check_reranker(config.rerank, config.s3)


def check_input(config: Config, role: str) -> list[SourceFile]:
    """The files of the corpus or the queries."""
    spec: InputConfig | None = config.corpus if role == "corpus" else config.queries
    if spec is None:
        raise UserError("The config has no queries: set queries.path (and queries.qrels where judgements exist).")
    return list_files(spec, config.s3, "corpus" if role == "corpus" else "queries")


def check_encoder(config: Config) -> CheckpointInfo:
    """The description of the embedding model, which must not be a reranker."""
    model = config.embed.model
    info = read_description(checkpoint_folder(model, config.embed.revision, config.s3))
    if info.is_classifier:
        raise UserError(
            f"embed.model {model} is a reranker ({info.architectures[0]}), not an encoder: use it under rerank.model, and an encoder here."
        )
    return info


def check_reranker(config: RerankConfig, s3: S3Config) -> CheckpointInfo:
    """The description of the reranking model, which must fit rerank.kind."""
    info = read_description(checkpoint_folder(config.model, config.revision, s3))
    if info.is_classifier and config.kind == "late_interaction":
        raise UserError(f"rerank.model {config.model} is a cross-encoder: set rerank.kind to auto or cross_encoder.")
    if not info.is_classifier and config.kind != "late_interaction":
        raise UserError(
            f"rerank.model {config.model} is an encoder, not a reranker: give a sequence-classification checkpoint such as "
            "BAAI/bge-reranker-v2-m3, or set rerank.kind to late_interaction to use it for MaxSim."
        )
    return info
