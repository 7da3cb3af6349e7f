"""What the commands share: their arguments, and the config that these make."""

from typing import Annotated

import typer

from configs.load import load_config
from configs.schema import Config

ConfigPath = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped one such as quickstart.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, for example search.top_k=50.")]
Version = Annotated[int | None, typer.Option("--version", help="Index version; the newest by default.")]


def load(config: str, overrides: list[str] | None) -> Config:
    """The config with its overrides."""
    return load_config(config, overrides or ())


def load_asking(config: str, overrides: list[str] | None) -> Config:
    """The same for a command that needs queries."""
    from pipelines.preflight import require_queries

    loaded = load(config, overrides)
    require_queries(loaded)
    return loaded
