"""The command line: one command per stage, thin over the functions that the Python API has.

Exit status: 0 done; 1 an error of the program or the machine; 2 something the user can mend; 130 interrupted.
"""

import errno
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from configs.errors import UserError
from configs.load import load_config
from configs.schema import Config

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Embed, index, retrieve and rerank a corpus of any size on Ray.",
)
versions_app = typer.Typer(no_args_is_help=True, help="The published versions of an index.")
app.add_typer(versions_app, name="versions")
_INTERRUPTED = 130

if TYPE_CHECKING:
    from pipelines.report import Report

ConfigPath = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped one such as quickstart.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, for example search.top_k=50.")]
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
    older_than: Annotated[float, typer.Option(min=0, help="Hours: younger objects stay, they may belong to a running job.")] = 48.0,
    delete: Annotated[bool, typer.Option("--delete", help="Delete; without it the plan is only shown.")] = False,
) -> None:
    """Delete what nothing names any more: lost attempts, and segments that no kept version has."""
    from pipelines.collect import collect

    found = collect(_load(config, overrides), keep, older_than * 3600, delete)
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


def main() -> None:
    """Run the command line; every known failure ends as one clear sentence on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
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
