"""`ray job submit` to a real cluster on which only the dependencies are installed: the code comes with the working directory."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.jobs import ROOT, make_corpus, tiny_settings, write_config

pytestmark = pytest.mark.cluster
PORTS = range(20000, 32000)  # above Ray's worker ports, below the ephemeral ones


@dataclass(frozen=True)
class Head:
    address: str
    python: Path
    environment: dict[str, str]

    def submit(self, *entrypoint: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """`ray job submit` of the folder, as the README says it; waits for the job's end."""
        command = [str(self.python), "-m", "ray.scripts.scripts", "job", "submit", "--address", self.address, "--working-dir", "."]
        return subprocess.run(
            [*command, "--", *entrypoint], cwd=folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A cluster of one node in a process group of its own, behind a token."""
    short = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))  # Ray's sockets lie below it, and their paths are limited to 107 bytes
    python = _python_without_raytrieve(tmp_path_factory.mktemp("cluster") / "venv")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON", "AWS_"))},
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(short),
        "RAY_TMPDIR": str(short),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    port, dashboard, client, agent, metrics = _free_ports(5)
    options = {
        "port": port,
        "dashboard-port": dashboard,
        "ray-client-server-port": client,
        "dashboard-agent-listen-port": agent,
        "metrics-export-port": metrics,
        "node-ip-address": "127.0.0.1",
        "dashboard-host": "127.0.0.1",
        "include-dashboard": "true",
        "num-cpus": 8,
        "object-store-memory": 200 << 20,
    }
    command = [str(python), "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with open(short / "head.log", "wb") as log:
        process = subprocess.Popen(command, cwd=short, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{dashboard}", environment["RAY_AUTH_TOKEN"], process, short / "head.log")
        yield Head(f"http://127.0.0.1:{dashboard}", python, environment)
    finally:
        _stop(process)
        shutil.rmtree(short, ignore_errors=True)


def test_the_head_answers_nobody_who_lacks_the_token(head):
    for token in ({}, {"Authorization": "Bearer " + "0" * 64}):
        body = json.dumps({"entrypoint": "true"}).encode()
        request = urllib.request.Request(f"{head.address}/api/jobs/", body, {"Content-Type": "application/json", **token})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code in (401, 403)


def test_a_job_submitted_as_the_readme_says_runs_to_its_report(head, tmp_path):
    make_corpus(tmp_path, passages=60, queries=6)
    settings = tiny_settings(tmp_path, tmp_path / "store")
    config = write_config(tmp_path / "job.yaml", settings)
    done = head.submit("python", "-m", "pipelines", "run", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reranked: ndcg_at_10" in done.stdout and "succeeded" in done.stdout
    (report,) = (tmp_path / "store" / "runs").glob("*/report.json")
    facts = json.loads(report.read_text())
    assert facts["passages"] == 60 and facts["metrics"]["reranked"] and report.with_name("report.html").is_file()


def test_a_job_takes_its_code_from_the_working_directory_and_fails_with_a_sentence_that_says_what_to_mend(head, tmp_path):
    make_corpus(tmp_path, passages=60, queries=6)
    config = write_config(tmp_path / "job.yaml", tiny_settings(tmp_path, tmp_path / "store", corpus={"path": "/no/such.parquet"}))
    asking = "import pipelines, actors, configs; print('code from', pipelines.__file__)"
    done = head.submit("sh", "-c", f'python -c "{asking}" && exec python -m pipelines run {config}')
    assert done.returncode == 1
    assert "raytrieve: /no/such.parquet does not exist: correct corpus.path." in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("code from /"))
    assert "working_dir_files" in line and str(ROOT) not in line


def test_what_is_ignored_is_what_a_job_does_not_need(head, tmp_path):
    shutil.copy(ROOT / ".rayignore", tmp_path)
    for name in ("data/store/vectors.parquet", ".venv/bin/python", "tests/data/scifact/corpus.parquet", "configs/quickstart.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("here")
    listing = "import os; print('files', sorted(f'{d}/{n}' for d, _, names in os.walk('.') for n in names))"
    shown = head.submit("python", "-c", listing, folder=tmp_path).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("files")]
    assert "./tests/data/scifact/corpus.parquet" in line and "./configs/quickstart.yaml" in line
    assert "./data/" not in line and ".venv" not in line


def _python_without_raytrieve(folder: Path) -> Path:
    """An interpreter with all our dependencies but not the project: .pth files of a folder named by a .pth file do not count."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = sysconfig.get_paths()
    (packages / "dependencies.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")
    python = folder / "bin" / "python"
    alone = subprocess.run([str(python), "-c", "import pipelines"], cwd=folder, env={}, capture_output=True, text=True)
    assert "No module named 'pipelines'" in alone.stderr, alone.stderr
    return python


def _wait_for(address: str, token: str, process: subprocess.Popen, log: Path) -> None:
    request = urllib.request.Request(f"{address}/api/version", headers={"Authorization": f"Bearer {token}"})
    end = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)


def _stop(process: subprocess.Popen) -> None:
    """The head ends its node when it is asked to; whatever is left of its process group is killed."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
