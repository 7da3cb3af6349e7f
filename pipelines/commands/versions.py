"""`raytrieve versions`: the published versions of an index."""

from typing import Annotated

import typer

from pipelines.commands.arguments import ConfigPath, Overrides, load

app = typer.Typer(no_args_is_help=True, help="The published versions of an index.")


@app.command("list")
def list_all(config: ConfigPath, overrides: Overrides = None) -> None:
    """All versions, oldest first."""
    from pipelines.versions import version_lines

    for line in version_lines(load(config, overrides)):
        typer.echo(line)


@app.command()
def show(
    config: ConfigPath,
    number: Annotated[int | None, typer.Argument(help="Version; the newest by default.")] = None,
    overrides: Overrides = None,
) -> None:
    """One version as YAML: embedding, index, segments with recall and files."""
    from pipelines.versions import version_text

    typer.echo(version_text(load(config, overrides), number))


@app.command()
def rollback(
    config: ConfigPath, number: Annotated[int, typer.Argument(help="Version to go back to.")], overrides: Overrides = None
) -> None:
    """Publish a version equal to an older one. Nothing is lost: the others stay."""
    from pipelines import versions

    manifest = versions.rollback(load(config, overrides), number)
    typer.echo(f"Version {manifest.version} is the newest and equals version {number}: {manifest.rows:,} passages.")


@app.command()
def diff(
    config: ConfigPath,
    first: Annotated[int, typer.Argument(metavar="A", help="Version.")],
    second: Annotated[int, typer.Argument(metavar="B", help="Version to compare it with.")],
    overrides: Overrides = None,
) -> None:
    """What version B has in place of version A: passages and settings."""
    from pipelines.versions import difference_lines

    for line in difference_lines(load(config, overrides), first, second):
        typer.echo(line)
