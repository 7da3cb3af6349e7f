"""What a re-index would do and cost, in lines. Reads the files that changed, and writes nothing."""

from collections.abc import Iterator

from actors.corpus.listing import list_files
from actors.corpus.planning import mapping_salt, plan_units
from actors.pieces import Piece
from actors.storage.commits import DataFile, committed_units
from actors.storage.manifests import Manifest, newest_version
from actors.storage.objects import open_store
from configs.schema import Config
from pipelines.cluster import connected
from pipelines.delta import arrange, live_pieces, plan_index
from pipelines.embed import Embedding, corpus_reader, describe_embedding, encoder_spec
from pipelines.estimates import count_tokens_roughly
from pipelines.events import EventLog
from pipelines.heritage import read_past
from pipelines.index import segment_names
from pipelines.job import Job, run_name
from pipelines.outcome import count_lines
from pipelines.planning import count_files
from pipelines.preflight import check_encoder
from pipelines.progress import Display
from pipelines.reembedding import count_tokens, once_and_again, plan_intake
from pipelines.replanning import find_changes
from pipelines.safeguards import check_changes


def preview(config: Config, display: Display | None = None) -> list[str]:
    """The plan of `reindex` and its cost. Raises UserError where `reindex` would refuse the corpus."""
    store, run = open_store(config.store, config.s3), run_name(config)
    check_encoder(config)
    with connected(config.ray) as cluster:
        job = Job(config, store, cluster, run, EventLog(store, f"runs/{run}"), display or Display())
        embedding, newest = describe_embedding(job), newest_version(store)
        whole = newest is None or newest.embedding["fingerprint"] != embedding.fingerprint
        return [*(_whole(job, embedding, newest) if newest is None or whole else _delta(job, embedding, newest)), "Nothing was written."]


def _whole(job: Job, embedding: Embedding, newest: Manifest | None) -> Iterator[str]:
    config = job.config
    files = list_files(config.corpus, config.s3, "corpus")
    counted = count_files(files, config.corpus, config.s3, "corpus", config.unit_rows)
    units, there = plan_units(counted, config.unit_rows, mapping_salt(config.corpus)), committed_units(job.store, embedding.folder)
    left = [unit for unit in units if unit.unit_id not in there]
    tokens = count_tokens_roughly(left, corpus_reader(job), encoder_spec(job, config.embed.workers).tokenizer())
    rows = sum(file.rows for file in counted)
    why = "there is no version yet" if newest is None else f"version {newest.version} has another embedding"
    yield f"The whole corpus would be embedded, since {why}: {rows:,} rows of {len(files):,} files, {_megabytes(files)}."
    done = len(units) - len(left)
    yield f"{done:,} of {len(units):,} units are embedded already; the others hold about {tokens:,.0f} tokens, by the first passages."
    if left and there - {unit.unit_id for unit in units}:
        yield "Texts of these that other units have embedded get their vectors from there."


def _delta(job: Job, embedding: Embedding, newest: Manifest) -> Iterator[str]:
    changes = find_changes(job, newest)
    check_changes(job.config, changes)
    yield f"The corpus as it is now against version {newest.version}:"
    yield from count_lines(changes.summary)
    yield f"{_megabytes(changes.read)} of input read."
    first, _ = once_and_again(changes.wanted)
    intakes = list(plan_intake(job, embedding, changes.units, first))
    fresh = sum(len(intake.fresh) for intake in intakes)
    tokens = count_tokens(job, embedding, intakes)
    yield f"{fresh:,} texts to embed, {tokens:,} tokens; {len(changes.wanted) - fresh:,} passages find their vectors."
    plan, why = plan_index(job, newest, changes.passages)
    if why:
        yield f"The index would be planned anew, from the vectors that are stored, and all of it written: {why}."
        return
    new, template = Piece(DataFile("", 0, ""), (), 0, len(changes.wanted)), DataFile(**newest.index["template"])
    past = read_past(job.store, newest)
    names = segment_names(job, plan, template, list(past.pieces.values()))
    same, groups = arrange(job, changes, past, live_pieces(past, changes.deletions()), names, [new])
    replaced = sum(entry.segment not in same for entry in newest.segments)
    yield f"{len(groups)} segments to write, {replaced} of version {newest.version} replaced."


def _megabytes(files: list) -> str:
    return f"{sum(file.size for file in files) / 1e6:,.1f} MB"
