"""What the fault tests share: the job's inputs, its undisturbed rankings, and the table of what every fault did, printed at the end."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from tests.fault_proxy import faults
from tests.faults.outcomes import PASSAGES, QUERIES, SECTIONS, Outcome, end_started
from tests.faults.reindexing import Reindex, changed_job
from tests.faults.weather import Job
from tests.jobs import make_corpus, read_rankings, tiny_config
from tests.seaweed import S3Server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, and say so, unless --all-kills asks for it."""
    if not config.getoption("--all-kills"):
        long = [item for item in items if item.get_closest_marker("chaos")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Table(), "faults")


class _Table:
    """The rows of all tests that have ended, from whichever process ran them: an interrupted suite has those of its first part."""

    def __init__(self) -> None:
        self._rows = list[tuple[str, int, Outcome]]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":  # its properties come with each of a test's reports
            self._rows += [(row["name"], row["injected"], Outcome(**row["found"])) for key, row in report.user_properties if key == "fault"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._rows:
            terminalreporter.section("faults")
            terminalreporter.write_line(f"{'fault':110} {'injected':>8} {'lost':>5} {'doubled':>7} {'redone':>6}")
            for name, injected, found in self._rows:
                terminalreporter.write_line(f"{name:110} {injected:8} {found.lost:5} {found.doubled:7} {found.redone:6}")


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_started()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, int, Outcome, int], None]:
    """Call it with the fault's name, how often it struck, the outcome, and how many units may have been computed again.

    Fails on more than those, and on anything lost, doubled or damaged.
    """

    def enter(name: str, injected: int, found: Outcome, redone: int) -> None:
        request.node.user_properties.append(("fault", {"name": name, "injected": injected, "found": asdict(found)}))
        assert injected > 0, "the fault never struck"
        assert (found.lost, found.doubled, found.faults) == (0, 0, ())
        assert found.redone <= redone, "more units were begun again than were in hand"

    return enter


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made_once(tmp_path_factory, "inputs", lambda folder: make_corpus(folder, PASSAGES, QUERIES))


@pytest.fixture(scope="session")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Path:
    """The store of a run that nobody disturbed."""
    from pipelines import run

    return _made_once(tmp_path_factory, "finished", lambda store: run(tiny_config(inputs, store, **SECTIONS)))


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one of pytest's processes makes and the others wait for. Nobody may write to it afterwards."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not Path(f"{folder}.made").exists():
            shutil.rmtree(folder, ignore_errors=True)  # what another process made in part
            folder.mkdir()
            make(folder)
            Path(f"{folder}.made").touch()
    return folder


@pytest.fixture(scope="session")
def reference(inputs: Path, finished: Path) -> list[dict]:
    """The rankings of a run that nobody disturbed."""
    return read_rankings(tiny_config(inputs, finished, **SECTIONS))


@pytest.fixture
def changed(finished: Path, inputs: Path, tmp_path: Path) -> Callable[..., Reindex]:
    """Called with the number of edits and sections of the config: the finished store, and a corpus that has changed since."""
    return partial(changed_job, finished, inputs, tmp_path)


@pytest.fixture
def job(s3_environment: S3Server, inputs: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Job]:
    """The job with fair weather so far. This process reads the store without the proxy."""
    name = re.sub(r"\W+", "-", request.node.name.replace("_", "-")).strip("-")
    with faults(s3_environment.endpoint) as proxy:
        yield Job(s3_environment, proxy, inputs, tmp_path, name)
