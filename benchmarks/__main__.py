"""`python -m benchmarks embed|rerank|search|pipeline|scaling`, a module each. Exit status 1: results differ."""

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
    chooser = argparse.ArgumentParser(prog="python -m benchmarks", description="Comparisons, side by side and interleaved.")
    chooser.add_argument("comparison", choices=COMPARISONS, help="what is compared; its own options: python -m benchmarks NAME --help")
    name = chooser.parse_args(arguments[:1]).comparison
    module = importlib.import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="counted runs of every contestant")
    parser.add_argument("--out", type=Path, default=None, help="folder of the JSON and the plot (default: benchmarks/results)")
    module.add_options(parser)
    options = parser.parse_args(arguments[1:])
    try:
        module.run(options)
    except NotTheSame as difference:
        print(f"refused: {difference}", file=sys.stderr)
        return 1
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
