"""The main job: corpus -> vectors -> version -> candidates -> rankings -> measures -> report, in one call.

Every step starts from what is committed, so calling it again after a crash goes on where the crash was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from actors.storage.commits import CommitRecord, committed_units, read_commits
from actors.storage.manifests import Manifest, newest_number, newest_version, read_version, require_files
from actors.storage.pins import pinned
from configs.errors import UserError
from configs.schema import Config
from pipelines.asking import Asking, prepare
from pipelines.embed import Embedding, describe_embedding, plan_corpus
from pipelines.evaluate import check_judgements, evaluate_run, read_results
from pipelines.index import build_index
from pipelines.job import Job, open_job
from pipelines.placement import require_room
from pipelines.progress import Display
from pipelines.rank import rerank, search
from pipelines.reindex import follow
from pipelines.report import Report, make_report
from pipelines.whole_corpus import embed_corpus


def whole_run(config: Config, display: Display | None = None) -> Report:
    """Run the whole job and return its report, which is also stored beside the outputs."""
    with open_job(config, display) as job:
        require_room(job)
        manifest, embedding, records = _indexed(job)
        if config.queries is None:
            return make_report(job, manifest, records, None, None)
        with pinned(job.store, manifest.version):
            require_files(job.store, manifest)
            asking = prepare(job, manifest, embedding)
            check_judgements(job, manifest)
            rankings = rerank(asking, only_from_candidates=False)
            return _report(job, asking, {**records, "queries": rankings})


def _indexed(job: Job) -> tuple[Manifest, Embedding, dict[str, Sequence[CommitRecord]]]:
    """The version that holds the corpus as it is now, and the corpus' records where it was read whole.

    A store that is re-indexed goes on to be: only what changed is embedded. Any other is indexed over the whole corpus.
    """
    newest, embedding = newest_version(job.store), describe_embedding(job)
    reindexed = newest is not None and newest.action == "reindex" and newest.embedding["fingerprint"] == embedding.fingerprint
    if reindexed or job.config.reindex.mode == "upsert":
        return follow(job, embedding).manifest, embedding, {}
    records = embed_corpus(job, embedding)
    return build_index(job, embedding, records, newest.version if newest else 0).manifest, embedding, {"corpus": records}


def embed_only(config: Config, display: Display | None = None) -> int:
    """The `embed` stage alone. Returns the passages that have vectors."""
    with open_job(config, display) as job:
        records = embed_corpus(job, describe_embedding(job))
        return int(sum(record.counts["rows"] for record in records))


def index_only(config: Config, display: Display | None = None) -> Manifest:
    """The `index` stage alone, over what `embed` committed. Raises UserError while units are missing."""
    with open_job(config, display) as job:
        base, embedding = newest_number(job.store), describe_embedding(job)
        names = [unit.unit_id for unit in plan_corpus(job)]
        missing = len(set(names) - committed_units(job.store, embedding.folder))
        if missing:
            raise UserError(f"{missing} of {len(names)} corpus units have no vectors yet: run `raytrieve embed` with this config first.")
        return build_index(job, embedding, read_commits(job.store, embedding.folder, names), base).manifest


def search_only(config: Config, version: int | None = None, display: Display | None = None) -> int:
    """The `search` stage alone, against a version (the newest by default). Returns the queries answered."""
    with open_job(config, display) as job, _asking(job, version) as asking:
        return int(sum(record.counts["rows"] for record in search(asking)))


def rerank_only(config: Config, version: int | None = None, display: Display | None = None) -> int:
    """The `rerank` stage alone, from the candidates of `search`. Returns the queries ranked."""
    with open_job(config, display) as job, _asking(job, version) as asking:
        return int(sum(record.counts["rows"] for record in rerank(asking, only_from_candidates=True)))


def evaluate_only(config: Config, version: int | None = None, display: Display | None = None) -> Report:
    """The `evaluate` stage alone, over committed rankings, with the report."""
    with open_job(config, display) as job, _asking(job, version) as asking:
        folder = f"{job.folder}/rankings"
        missing = len(set(asking.ranking_names) - committed_units(job.store, folder))
        if missing:
            raise UserError(
                f"{missing} of {len(asking.units)} query units have no rankings yet: run `raytrieve rerank` with this config first."
            )
        return _report(job, asking, {"queries": read_commits(job.store, folder, asking.ranking_names)})


@contextmanager
def _asking(job: Job, version: int | None) -> Iterator[Asking]:
    """What is asked of a version, which is pinned meanwhile."""
    manifest = newest_version(job.store) if version is None else read_version(job.store, version)
    if manifest is None:
        raise UserError(f"{job.store.uri} has no index version yet: run `raytrieve index` with this config first.")
    with pinned(job.store, manifest.version):
        require_files(job.store, manifest)
        asking = prepare(job, manifest, describe_embedding(job))
        check_judgements(job, manifest)
        yield asking


def _report(job: Job, asking: Asking, records: dict[str, Sequence[CommitRecord]]) -> Report:
    results = read_results(job, records["queries"], reranked=bool(asking.specs))
    return make_report(job, asking.manifest, records, results, evaluate_run(job, results))
