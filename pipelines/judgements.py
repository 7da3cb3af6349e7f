"""The qrels of a job in: parsed once per process, and checked against the queries and the index."""

from functools import lru_cache

from actors.corpus.access import explain_access_error
from actors.evaluation.trec import Qrels, parse_qrels
from actors.storage.filesystems import open_filesystem
from configs.errors import UserError
from configs.schema import S3Config
from pipelines.job import Job


def read_judgements(job: Job) -> Qrels | None:
    """The relevance judgements, or none when the config names no file."""
    queries = job.config.queries
    return _read(queries.qrels, job.config.s3) if queries and queries.qrels else None


def judged_queries(job: Job) -> frozenset[str] | None:
    """Ids of the queries that have judgements."""
    qrels = read_judgements(job)
    if qrels is None:
        if job.config.queries and job.config.queries.only_judged:
            raise UserError("queries.only_judged is set but there are no judgements: set queries.qrels, or leave only_judged out.")
        return None
    return frozenset(qrels)


@lru_cache(maxsize=4)
def _read(uri: str, s3: S3Config) -> Qrels:
    filesystem, path = open_filesystem(uri, s3)
    try:
        data = filesystem.cat_file(path)
    except FileNotFoundError:
        raise UserError(f"There is no qrels file {uri}: mend queries.qrels, or leave it out to skip the evaluation.") from None
    except Exception as error:
        raise explain_access_error(uri, error) or error from error
    return parse_qrels(data, uri)
