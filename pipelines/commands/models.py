"""`raytrieve models`: the families that are known, and what one model is."""

import json
from typing import Annotated

import typer

app = typer.Typer(invoke_without_command=True, help="The model families and what they need.")

Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@app.callback()
def list_all(context: typer.Context, as_json: Json = False) -> None:
    """The model families: languages, lengths, what they give, licences, and memory by precision."""
    from pipelines.models import all_families, print_families

    if context.invoked_subcommand is None:
        families = all_families()
        _print_json(families) if as_json else print_families(families)


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, hub id, s3:// or pkg:// address, or a family's name.")],
    as_json: Json = False,
) -> None:
    """One model: what its files say, or what is known of its name, and the instructions that take effect."""
    from pipelines.models import model_facts, print_model

    facts = model_facts(model)
    _print_json(facts) if as_json else print_model(facts)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
