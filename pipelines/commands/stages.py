"""The main job, a re-index, each stage alone, and how far they are."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.arguments import ConfigPath, Overrides, Version, load, load_asking

if TYPE_CHECKING:
    from pipelines.report import Report


def run(config: ConfigPath, overrides: Overrides = None) -> None:
    """The whole job: corpus to report. Run it again after a crash and it goes on where it was."""
    from pipelines.whole_run import whole_run

    _print_report(whole_run(load(config, overrides)))


def embed(config: ConfigPath, overrides: Overrides = None) -> None:
    """Corpus to vectors."""
    from pipelines.whole_run import embed_only

    typer.echo(f"{embed_only(load(config, overrides)):,} passages have vectors.")


def index(config: ConfigPath, overrides: Overrides = None) -> None:
    """Vectors to a published version of the index."""
    from pipelines.whole_run import index_only

    manifest = index_only(load(config, overrides))
    typer.echo(f"Version {manifest.version}: {manifest.rows:,} passages in {len(manifest.segments)} segments.")


def reindex(
    config: ConfigPath,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; write nothing.")] = False,
    mode: Annotated[str | None, typer.Option("--mode", metavar="snapshot|upsert", help="As reindex.mode in the config.")] = None,
    deletions: Annotated[str | None, typer.Option("--deletions", metavar="FILE", help="Ids that upsert deletes, one a line.")] = None,
) -> None:
    """Only what changed in the corpus: embed it, and publish the next version. Files that did not change are not read."""
    from pipelines.preview import preview
    from pipelines.reindex import reindex

    chosen = [f"reindex.{name}={value}" for name, value in (("mode", mode), ("deletions", deletions)) if value is not None]
    loaded = load(config, [*(overrides or []), *chosen])
    for line in preview(loaded) if dry_run else reindex(loaded).lines():
        typer.echo(line)


def search(config: ConfigPath, overrides: Overrides = None, version: Version = None) -> None:
    """Queries to candidates."""
    from pipelines.whole_run import search_only

    typer.echo(f"{search_only(load_asking(config, overrides), version):,} queries have candidates.")


def rerank(config: ConfigPath, overrides: Overrides = None, version: Version = None) -> None:
    """Candidates to rankings."""
    from pipelines.whole_run import rerank_only

    typer.echo(f"{rerank_only(load_asking(config, overrides), version):,} queries are ranked.")


def evaluate(
    config: ConfigPath,
    overrides: Overrides = None,
    version: Version = None,
    run_file: Annotated[str | None, typer.Option("--run-file", help="Measure this TREC run file instead, with the config's qrels.")] = None,
) -> None:
    """Rankings to measures and the report."""
    if run_file is not None:
        from pipelines.evaluate import measure_run_file

        for name, value in measure_run_file(load(config, overrides), run_file).items():
            typer.echo(f"{name}\t{value:.4f}")
        return
    from pipelines.whole_run import evaluate_only

    _print_report(evaluate_only(load_asking(config, overrides), version))


def status(config: ConfigPath, overrides: Overrides = None) -> None:
    """What is committed, what is left, the rate and the time it will take."""
    from pipelines.status import status_lines

    for line in status_lines(load(config, overrides)):
        typer.echo(line)


def _print_report(report: "Report") -> None:
    from pipelines.report import summary_lines

    for line in summary_lines(report):
        typer.echo(line)
