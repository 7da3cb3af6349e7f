"""A private Ray listens on every interface, so it must ask for its token; nobody else may read where that is kept."""

import subprocess
import sys

import pytest

from tests.jobs import ROOT, environment

pytestmark = pytest.mark.cluster

JOIN = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False); print('joined')"
HOLD = """
import sys, ray
from configs.schema import RayConfig
from pipelines.cluster import connected
with connected(RayConfig(local_cpus=1, object_store_gb=0.1)):
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


def python(code: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, env=env, text=True, **pipes)


def test_only_who_has_the_token_joins_a_private_cluster(tmp_path):
    env = {**environment(), "HOME": str(tmp_path), "RAY_gcs_rpc_server_connect_timeout_s": "1"}
    env = {name: value for name, value in env.items() if name not in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}  # as a user has it
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("5" * 64)
    file.chmod(0o644)  # as another Ray of this user left it
    holder = python(HOLD, **env)
    try:
        address = holder.stdout.readline().strip()
        assert address, holder.stderr.read()
        assert file.stat().st_mode & 0o777 == 0o600
        tokens = [{"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"}]
        joiners = [python(JOIN, address, **env, **token) for token in tokens]
        assert ["joined" in joiner.communicate(timeout=120)[0] for joiner in joiners] == [True, False, False]
    finally:
        holder.communicate(timeout=60)
