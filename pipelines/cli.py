"""The command line: one command per stage, thin over the functions that the Python API has. The commands are in commands/.

Exit status: 0 done; 1 an error of the program or the machine; 2 something the user can mend; 130 interrupted; 143 terminated.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable

import typer

from configs.errors import UserError
from pipelines.commands import models, stages, upkeep, versions
from pipelines.termination import ending_on_sigterm

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Embed, index, retrieve and rerank a corpus of any size on Ray.",
)
for command in (
    *(stages.run, stages.embed, stages.index, stages.reindex, stages.search, stages.rerank, stages.evaluate, stages.status),
    *(upkeep.doctor, upkeep.verify, upkeep.repair, upkeep.gc),
):
    app.command()(command)
app.add_typer(versions.app, name="versions")
app.add_typer(models.app, name="models")
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; every known failure ends as one clear sentence on stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with ending_on_sigterm():
        sys.exit(guarded(app))


def guarded(command: Callable[[], object]) -> int:
    """Call a command and give its exit status."""
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of tasks that fail beside the one whose error the command ends with
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
    from pipelines.failures import chain, wraps

    for link in chain(error):
        if isinstance(link, UserError) and not wraps(link):
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
