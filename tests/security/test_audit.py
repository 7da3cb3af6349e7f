"""`make audit`: the real pip-audit, asked about the pins and this environment, against an OSV service of ours or none at all."""

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULT = {
    "id": "PYSEC-2099-1",
    "details": "a fault",
    "affected": [{"package": {"name": "jinja2", "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9.9"}]}]}],
}


@pytest.fixture
def advisories() -> Iterator[Callable[..., str]]:
    """advisories(faults, status): the address of a service that knows these faults of jinja2 and none of anything else."""
    servers = []

    def serve(faults: list[dict], status: int = 200) -> str:
        class Service(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
                body = json.dumps({"vulns": faults} if asked == "jinja2" else {}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Service))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/v1/query"

    yield serve
    for server in servers:
        server.shutdown()


def audit(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "infra" / "audit.py"), *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=240)


def test_a_known_vulnerability_fails_the_audit_and_is_named_with_its_remedy(advisories):
    done = audit("--vulnerability-service", "osv", "--osv-url", advisories([FAULT]))
    assert done.returncode == 1, done.stderr
    assert re.search(r"^jinja2 \d[\d.]*: PYSEC-2099-1, mended in 9\.9$", done.stdout, re.MULTILINE)


def test_without_a_known_vulnerability_the_audit_passes_and_tells_how_much_it_looked_at(advisories):
    done = audit("--vulnerability-service", "osv", "--osv-url", advisories([]))
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = done.stdout.splitlines()
    assert told.endswith("packages audited, 0 faults.") and int(told.split()[0]) > 100


def test_a_service_that_fails_fails_the_audit(advisories):
    done = audit("--vulnerability-service", "osv", "--osv-url", advisories([], status=500))
    assert done.returncode == 1 and "SKIPPED" not in done.stdout


def test_without_network_the_audit_is_skipped_and_says_so():
    nowhere = "http://127.0.0.1:9"
    done = audit(HTTPS_PROXY=nowhere, https_proxy=nowhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "SKIPPED: nothing was audited, because the advisory service cannot be reached; run `make audit` on a machine with network.\n"
    )


def test_every_dependency_of_the_project_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    pinned = [line.split("==")[0] for line in (ROOT / "infra" / "constraints.txt").read_text().splitlines() if "==" in line]
    missing = {plain(name) for name in wanted} - {plain(name) for name in pinned}
    assert missing == set() and len(wanted) > 30


def plain(requirement: str) -> str:
    return re.split(r"[\[=<>]", requirement)[0].lower().replace("_", "-")
