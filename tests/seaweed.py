"""A real S3 for tests: one SeaweedFS process on loopback with credentials; anonymous access is refused.

Everything lies in one folder: data, credentials (0600), log. Stopped by SIGKILL, for a clean stop waits 15 s and the data is thrown away.
"""

import json
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

HOST = "127.0.0.1"
_START_S = 60


@dataclass
class S3Server:
    endpoint: str
    access_key: str
    secret_key: str
    folder: Path
    command: list[str]
    process: subprocess.Popen

    @property
    def environment(self) -> dict[str, str]:
        """The AWS chain for processes that shall reach the server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self):
        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return botocore.session.get_session().create_client(
            "s3", region_name="us-east-1", endpoint_url=self.endpoint, config=config, **keys
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        """After `stop`: on the same data and the same address. Returns when it answers."""
        self.process = _launched(self.folder, self.command)
        _wait_until_usable(self, ())


def start(folder: Path, *buckets: str) -> S3Server:
    """Start a server whose data lies in `folder`, with these buckets; returns when a first write has worked."""
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    s3, master, volume, filer = _free_ports(4)
    access, secret = "RW" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
    identity = {"name": "rw", "credentials": [{"accessKey": access, "secretKey": secret}], "actions": ["Admin", "Read", "Write", "List"]}
    _private(folder / "s3.json", json.dumps({"identities": [identity]}))
    # Without these keys the filer and volume ports would serve the same bytes to anybody.
    sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    _private(folder / "security.toml", "".join(f'[{name}]\nkey = "{secrets.token_urlsafe(32)}"\n' for name in sections))
    (folder / "data").mkdir()
    (folder / "sock").mkdir()
    command = [weed, "-logtostderr=true", f"-config_dir={folder}", "server", f"-dir={folder}/data", f"-ip={HOST}", f"-ip.bind={HOST}"]
    command += [f"-master.port={master}", "-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms"]
    command += ["-master.volumeSizeLimitMB=256", f"-volume.port={volume}", "-volume.max=40", "-filer", f"-filer.port={filer}"]
    command += [f"-filer.localSocket={folder}/sock/f", "-s3", f"-s3.port={s3}", f"-s3.config={folder}/s3.json", "-s3.iam=false"]
    command += ["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder}/sock/s"]
    server = S3Server(f"http://{HOST}:{s3}", access, secret, folder, command, _launched(folder, command))
    try:
        _wait_until_usable(server, buckets)
        _check_anonymous_is_refused(server)
    except BaseException:
        server.stop()
        raise
    return server


def _launched(folder: Path, command: list[str]) -> subprocess.Popen:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "GOMEMLIMIT": "600MiB"}
    with open(folder / "weed.log", "ab") as log:
        return subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def _wait_until_usable(server: S3Server, buckets: tuple[str, ...]) -> None:
    """Until a write works; buckets that are not there are made."""
    end, client = time.monotonic() + _START_S, server.client()
    while True:
        try:
            made = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
            for bucket in set(buckets).difference(made):
                client.create_bucket(Bucket=bucket)
            probe = (*buckets, *made)[0]
            client.put_object(Bucket=probe, Key=".ready", Body=b"")
            client.delete_object(Bucket=probe, Key=".ready")
            return
        except (ClientError, BotoCoreError, IndexError):  # the last: its list of buckets comes later than its answers
            if time.monotonic() > end or server.process.poll() is not None:
                raise
            time.sleep(0.1)


def _check_anonymous_is_refused(server: S3Server) -> None:
    try:
        urllib.request.urlopen(f"{server.endpoint}/", timeout=5)
    except urllib.error.HTTPError as error:
        assert error.code == 403, f"anonymous access answered {error.code}"
    else:
        raise AssertionError("anonymous access was answered")


def _private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def _free_ports(count: int) -> list[int]:
    """HTTP ports whose gRPC twins (port + 10000) are free too, below the ephemeral range."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 20000)
        if port not in found and _is_free(port) and _is_free(port + 10000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
