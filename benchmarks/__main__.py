"""`python -m benchmarks embed|rerank|search|pipeline|scaling`: a module each. Exit status 1: results differ."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.parity import NotTheSame
from configs.errors import UserError

COMPARISONS = ("embed", "rerank", "search", "pipeline", "scaling")


def main(arguments: Sequence[str]) -> int:
    """Run one comparison; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Comparisons, side by side and interleaved.")
    commands = parser.add_subparsers(dest="comparison", required=True)
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in COMPARISONS}
    for name, module in modules.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").partition(": ")[2].partition(".")[0])
        command.add_argument("--repeats", type=int, default=5, help="counted runs of every contestant")
        command.add_argument("--out", type=Path, default=None, help="folder of the JSON and the plot (default: benchmarks/results)")
        module.add_options(command)
    options = parser.parse_args(arguments)
    try:
        modules[options.comparison].run(options)
    except NotTheSame as difference:
        print(f"refused: {difference}", file=sys.stderr)
        return 1
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
