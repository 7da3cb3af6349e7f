"""The command line: one command per stage, thin over the functions that the Python API has.

Exit status: 0 done; 1 an error of the program or the machine; 2 something the user can mend; 130 interrupted; 143 terminated.
"""

import errno
import json
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import UserError
from configs.load import load_config
from configs.schema import Config
from pipelines.termination import ending_on_sigterm

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Embed, index, retrieve and rerank a corpus of any size on Ray.",
)
versions_app = typer.Typer(no_args_is_help=True, help="The published versions of an index.")
app.add_typer(versions_app, name="versions")
models_app = typer.Typer(invoke_without_command=True, help="The model families and what they need.")
app.add_typer(models_app, name="models")
_INTERRUPTED = 130

if TYPE_CHECKING:
    from pipelines.report import Report

ConfigPath = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped one such as quickstart.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, for example search.top_k=50.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Version = Annotated[int | None, typer.Option("--version", help="Index version; the newest by default.")]


@app.command()
def run(config: ConfigPath, overrides: Overrides = None) -> None:
    """The whole job: corpus to report. Run it again after a crash and it goes on where it was."""
    from pipelines.whole_run import whole_run

    _print_report(whole_run(_load(config, overrides)))


@app.command()
def embed(config: ConfigPath, overrides: Overrides = None) -> None:
    """Corpus to vectors."""
    from pipelines.whole_run import embed_only

    typer.echo(f"{embed_only(_load(config, overrides)):,} passages have vectors.")


@app.command()
def index(config: ConfigPath, overrides: Overrides = None) -> None:
    """Vectors to a published version of the index."""
    from pipelines.whole_run import index_only

    manifest = index_only(_load(config, overrides))
    typer.echo(f"Version {manifest.version}: {manifest.rows:,} passages in {len(manifest.segments)} segments.")


@app.command()
def reindex(
    config: ConfigPath,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; write nothing.")] = False,
    mode: Annotated[str | None, typer.Option("--mode", metavar="snapshot|upsert", help="As reindex.mode in the config.")] = None,
    deletions: Annotated[str | None, typer.Option("--deletions", metavar="FILE", help="Ids that upsert deletes, one a line.")] = None,
) -> None:
    """Only what changed in the corpus: embed it, and publish the next version. What is the same is not even read."""
    from pipelines.preview import preview
    from pipelines.reindex import reindex

    chosen = [f"reindex.{name}={value}" for name, value in (("mode", mode), ("deletions", deletions)) if value is not None]
    loaded = _load(config, [*(overrides or []), *chosen])
    for line in preview(loaded) if dry_run else reindex(loaded).lines():
        typer.echo(line)


@app.command()
def search(config: ConfigPath, overrides: Overrides = None, version: Version = None) -> None:
    """Queries to candidates."""
    from pipelines.whole_run import search_only

    typer.echo(f"{search_only(_load_asking(config, overrides), version):,} queries have candidates.")


@app.command()
def rerank(config: ConfigPath, overrides: Overrides = None, version: Version = None) -> None:
    """Candidates to rankings."""
    from pipelines.whole_run import rerank_only

    typer.echo(f"{rerank_only(_load_asking(config, overrides), version):,} queries are ranked.")


@app.command()
def evaluate(
    config: ConfigPath,
    overrides: Overrides = None,
    version: Version = None,
    run_file: Annotated[str | None, typer.Option("--run-file", help="Measure this TREC run file instead, with the config's qrels.")] = None,
) -> None:
    """Rankings to measures and the report."""
    if run_file is not None:
        from pipelines.evaluate import measure_run_file

        for name, value in measure_run_file(_load(config, overrides), run_file).items():
            typer.echo(f"{name}\t{value:.4f}")
        return
    from pipelines.whole_run import evaluate_only

    _print_report(evaluate_only(_load_asking(config, overrides), version))


@app.command()
def status(config: ConfigPath, overrides: Overrides = None) -> None:
    """What is committed, what is left, the rate and the time it will take."""
    from pipelines.status import status_lines

    for line in status_lines(_load(config, overrides)):
        typer.echo(line)


@app.command()
def doctor(config: ConfigPath, overrides: Overrides = None) -> None:
    """Check the config, the store, credentials, models, Ray and FAISS; say what is wrong and how to mend it."""
    from pipelines.doctor import examine

    found = examine(_load(config, overrides))
    for check in found:
        typer.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.sentence}")
    if not all(check.ok for check in found):
        raise typer.Exit(2)


@app.command()
def gc(
    config: ConfigPath,
    overrides: Overrides = None,
    keep: Annotated[int, typer.Option(min=1, help="Newest versions whose segments stay.")] = 5,
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="90s, 30m, 48h or 7d: what is younger stays, and what a search may still read.")
    ] = "48h",
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it the plan is only shown.")] = False,
) -> None:
    """Delete what nothing names any more: lost attempts, and what only versions have that are not kept."""
    from pipelines.collect import collect, parse_duration

    found = collect(_load(config, overrides), keep, parse_duration(older_than), delete)
    typer.echo(f"{'Deleted' if delete else 'Would delete'} {len(found)} objects, {sum(i.size for i in found) / 1e6:,.1f} MB.")
    if found and not delete:
        typer.echo("Nothing was touched: add --delete to do it.")


@versions_app.command("list")
def versions_list(config: ConfigPath, overrides: Overrides = None) -> None:
    """All versions, oldest first."""
    from pipelines.versions import version_lines

    for line in version_lines(_load(config, overrides)):
        typer.echo(line)


@versions_app.command("show")
def versions_show(
    config: ConfigPath,
    number: Annotated[int | None, typer.Argument(help="Version; the newest by default.")] = None,
    overrides: Overrides = None,
) -> None:
    """One version as YAML: embedding, index, segments with recall and files."""
    from pipelines.versions import version_text

    typer.echo(version_text(_load(config, overrides), number))


@versions_app.command("rollback")
def versions_rollback(
    config: ConfigPath, number: Annotated[int, typer.Argument(help="Version to go back to.")], overrides: Overrides = None
) -> None:
    """Publish a version equal to an older one. Nothing is lost: the others stay."""
    from pipelines.versions import rollback

    manifest = rollback(_load(config, overrides), number)
    typer.echo(f"Version {manifest.version} is the newest and equals version {number}: {manifest.rows:,} passages.")


@versions_app.command("diff")
def versions_diff(
    config: ConfigPath,
    first: Annotated[int, typer.Argument(metavar="A", help="Version.")],
    second: Annotated[int, typer.Argument(metavar="B", help="Version to compare it with.")],
    overrides: Overrides = None,
) -> None:
    """What version B has in place of version A: passages and settings."""
    from pipelines.versions import difference_lines

    for line in difference_lines(_load(config, overrides), first, second):
        typer.echo(line)


@app.command()
def verify(
    config: ConfigPath,
    overrides: Overrides = None,
    version: Version = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Read all of the store, and withdraw damaged units: the next run makes them anew.")
    ] = False,
) -> None:
    """Re-read a version from end to end: sizes and sha256 of every file, counts, vectors and ids."""
    from pipelines.verify import verify

    if repair:
        return _repair(_load(config, overrides))
    found = verify(_load(config, overrides), version)
    for fault in found.faults:
        typer.echo(f"FAIL {fault}")
    read = f"{found.passages:,} passages, {found.files} files, {found.size / 1e6:,.1f} MB"
    typer.echo(f"Version {found.version}: {read}, {len(found.faults)} faults.")
    if found.faults:
        raise typer.Exit(2)


def _repair(config: Config) -> None:
    from pipelines.repair import repair

    found = repair(config)
    for fault in found.faults:
        typer.echo(f"FAIL {fault}")
    read = f"{found.units} units, {found.files} files, {found.size / 1e6:,.1f} MB"
    again = "the next `raytrieve run` makes them anew." if found.records else "nothing is damaged."
    typer.echo(f"Read {read}; {len(found.records)} units withdrawn: {again}")


@models_app.callback()
def models_list(context: typer.Context, as_json: Json = False) -> None:
    """The model families: languages, lengths, what they give, licences, and memory by precision."""
    from pipelines.models import all_families, print_families

    if context.invoked_subcommand is None:
        families = all_families()
        _print_json(families) if as_json else print_families(families)


@models_app.command("show")
def models_show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, hub id, s3:// or pkg:// address, or a family's name.")],
    as_json: Json = False,
) -> None:
    """One model: what its files say, or what is known of its name, and the instructions that take effect."""
    from pipelines.models import model_facts, print_model

    facts = model_facts(model)
    _print_json(facts) if as_json else print_model(facts)


def main() -> None:
    """Run the command line; every known failure ends as one clear sentence on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with ending_on_sigterm():
        sys.exit(guarded(app))


def guarded(command: Callable[[], object]) -> int:
    """Call a command and give its exit status."""
    try:
        command()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        return _interrupted() if code == _INTERRUPTED else code  # typer makes this status of Ctrl-C, without a word
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        known = _known(error)
        if known is None:
            raise
        return _fail(known, 2)
    return 0


def _known(error: BaseException) -> str | None:
    from pipelines.failures import chain

    for link in chain(error):
        if isinstance(link, UserError):
            return str(link)
        if (isinstance(link, OSError) and link.errno == errno.ENOSPC) or "No space left on device" in str(link):
            where = f" while writing {link.filename}" if isinstance(link, OSError) and link.filename else ""
            return (
                f"The disk is full{where}: free some space or set store.uri to a larger disk; the same command then goes on where it was."
            )
    return None


def _interrupted() -> int:
    return _fail("Interrupted. What is committed stays: the same command goes on from there.", _INTERRUPTED)


def _fail(sentence: str, code: int) -> int:
    typer.echo(f"raytrieve: {sentence}", err=True)
    return code


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _load(config: str, overrides: list[str] | None) -> Config:
    return load_config(config, overrides or ())


def _load_asking(config: str, overrides: list[str] | None) -> Config:
    from pipelines.preflight import require_queries

    loaded = _load(config, overrides)
    require_queries(loaded)
    return loaded


def _print_report(report: "Report") -> None:
    from pipelines.report import summary_lines

    for line in summary_lines(report):
        typer.echo(line)
