"""What tests know of processes beside their own: those below a driver, the workers of Ray among them, and their end."""

import subprocess
from collections.abc import Iterable
from contextlib import suppress

import psutil


def below(pid: int) -> set[psutil.Process]:
    """The process's children and theirs; none if it is gone."""
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(pid).children(recursive=True))
    return set()


def workers_of(pid: int, name: str) -> set[psutil.Process]:
    """The Ray workers below a process whose title holds `name`."""
    return {process for process in below(pid) if "ray::" in (title := _title(process)) and name in title}


def kill(processes: Iterable[psutil.Process]) -> None:
    """kill -9; what has ended since is let be."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def end(process: subprocess.Popen) -> str:
    """kill -9 of a driver and of all below it. Returns what it had said on its error stream."""
    family = below(process.pid)
    process.kill()
    kill(family)
    return process.communicate()[1] or ""


def alive(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Those that have not ended; a zombie has."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(process)
    return found


def _title(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
