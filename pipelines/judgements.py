"""The qrels of a config in, parsed out: once per process and state of the file."""

from functools import lru_cache, partial

from actors.corpus.tree import look_up
from actors.evaluation.trec import Qrels, parse_qrels
from actors.storage.access import explained, retried
from actors.storage.filesystems import open_filesystem, read_file
from configs.errors import UserError
from configs.schema import Config, S3Config


def load_judgements(config: Config) -> Qrels | None:
    """The relevance judgements, or none when the config names no file."""
    queries = config.queries
    if queries is None or queries.qrels is None:
        if queries is not None and queries.only_judged:
            raise UserError("queries.only_judged is set but there are no judgements: set queries.qrels, or leave only_judged out.")
        return None
    with explained(queries.qrels):
        entry = retried(partial(look_up, *open_filesystem(queries.qrels, config.s3)), config.s3.deadline_s)
    return _read(queries.qrels, config.s3, entry.etag if entry else "")


@lru_cache(maxsize=4)
def _read(uri: str, s3: S3Config, etag: str) -> Qrels:
    return parse_qrels(read_file(uri, s3), uri)
