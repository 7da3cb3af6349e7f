"""Looking after a store: is all in place, is it sound, what can go."""

from collections.abc import Sequence
from typing import Annotated

import typer

from pipelines.commands.arguments import ConfigPath, Overrides, Version, load


def doctor(config: ConfigPath, overrides: Overrides = None) -> None:
    """Check the config, the store, credentials, models, Ray and FAISS; say what is wrong and how to mend it."""
    from pipelines.doctor import examine

    found = examine(load(config, overrides))
    for check in found:
        typer.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.sentence}")
    if not all(check.ok for check in found):
        raise typer.Exit(2)


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

    found = collect(load(config, overrides), keep, parse_duration(older_than), delete)
    typer.echo(f"{'Deleted' if delete else 'Would delete'} {len(found)} objects, {sum(i.size for i in found) / 1e6:,.1f} MB.")
    if found and not delete:
        typer.echo("Nothing was touched: add --delete to do it.")


def verify(config: ConfigPath, overrides: Overrides = None, version: Version = None) -> None:
    """Re-read a version from end to end: sizes and sha256 of every file, counts, vectors, and each passage against the catalogue."""
    from pipelines.verify import verify

    found = verify(load(config, overrides), version)
    _print_faults(found.faults)
    read = f"{found.passages:,} passages, {found.files} files, {found.size / 1e6:,.1f} MB"
    typer.echo(f"Version {found.version}: {read}, {len(found.faults)} faults.")
    if found.faults:
        raise typer.Exit(2)


def repair(config: ConfigPath, overrides: Overrides = None) -> None:
    """Read every committed file of the store, and withdraw the units that are damaged: the next run makes them anew."""
    from pipelines.repair import repair

    found = repair(load(config, overrides))
    _print_faults(found.faults)
    again = "the next run or re-index makes them anew." if found.withdrawn else "nothing is damaged."
    typer.echo(
        f"Read {found.units} units, {found.files} files, {found.size / 1e6:,.1f} MB; {len(found.withdrawn)} units withdrawn: {again}"
    )


def _print_faults(faults: Sequence[str]) -> None:
    for fault in faults:
        typer.echo(f"FAIL {fault}")
