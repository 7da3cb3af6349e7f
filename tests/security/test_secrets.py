"""One real run on S3 whose secrets are marked and whose ids and file names are hostile: where do they turn up afterwards?"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from tests.jobs import ROOT, command, environment, indexed_ids, make_corpus, read_rankings, tiny_config, tiny_settings, write_config
from tests.seaweed import S3Server

pytestmark = pytest.mark.cluster

HUB_TOKEN = "hf_MARKED0123456789"
INPUTS, STORE = "s3://corpus/marked", "s3://store/marked/deep"
IDS = ["../../x", "..", "/etc/passwd", "file:///etc/passwd", "s3://corpus/x", "a/../../../b", "C:\\x", "%2e%2e%2fx"]
IDS += ["<script>alert(1)</script>", "$(touch%20x)", "{{7*7}}"]
FILES = ["x..%2F..%2Fevil.jsonl", "http:/169.254.169.254/latest.jsonl", "file:/etc/passwd.jsonl", "$(touch x).jsonl"]


@dataclass(frozen=True)
class Finished:
    """What a run left behind: bytes by place, the objects of all buckets before and after, and what must be in none of the places."""

    places: dict[str, bytes]
    before: set[str]
    objects: dict[str, bytes]
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def finished(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("marked")
    upload_inputs(s3, folder)
    before = set(all_objects(s3))
    config = write_config(folder / "job.yaml", settings())
    ray = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))  # short, for Ray's sockets lie below it
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    env = environment({**s3.environment, "HF_TOKEN": HUB_TOKEN, "HOME": str(home), "TMPDIR": str(temporary), "RAY_TMPDIR": str(ray)})
    del env["RAY_AUTH_MODE"]  # the default is what is tested
    process = subprocess.Popen(command("run", str(config)), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    commands = watch(process)
    output = process.stdout.read()
    assert process.wait() == 0, output.decode()
    token_file = home / ".ray" / "auth_token"
    assert token_file.stat().st_mode & 0o777 == 0o600
    token = token_file.read_text()
    token_file.unlink()
    objects = all_objects(s3)
    ours = b"\n".join(key.encode() + b"\n" + body for key, body in objects.items() if key not in before)
    files = {"Ray's session": contents(ray), "home and temporary files": contents(home) + contents(temporary)}
    places = {"store": ours, "ps": "\n".join(commands).encode(), "output": output, **files}
    secrets = {"secret key": s3.secret_key, "access key": s3.access_key, "hub token": HUB_TOKEN, "Ray's token": token}
    yield Finished(places, before, objects, secrets)
    shutil.rmtree(ray, ignore_errors=True)


def test_no_secret_is_in_the_store_the_logs_ps_or_any_file(finished):
    # The search would find them: each place holds what it must hold.
    for place, known in (("store", b"tiny"), ("ps", b"gcs_server"), ("output", b"ndcg_at_10"), ("Ray's session", b"raylet")):
        assert known in finished.places[place]
    assert b"corpus/marked" in finished.places["store"] and len(finished.secrets["Ray's token"]) == 64
    found = [
        (what, place) for what, secret in finished.secrets.items() for place, held in finished.places.items() if secret.encode() in held
    ]
    assert found == []


def test_ids_and_file_names_of_the_data_stay_data(finished, s3_environment):
    new = set(finished.objects) - finished.before
    assert new and all(key.startswith("store/marked/deep/") for key in new)
    config = tiny_config(INPUTS, STORE, **sections())
    assert set(IDS) <= set(indexed_ids(config))
    ranked = {row["query_id"] for row in read_rankings(config)}
    assert set(IDS) <= ranked
    (page,) = (body for key, body in finished.objects.items() if key in new and key.endswith("report.html"))
    assert b"<script" not in page


def sections() -> dict:
    corpus = {"path": f"{INPUTS}/corpus/", "columns": {"metadata": ["year"]}, "max_reject_share": 0.0}
    return {"corpus": corpus, "queries": {"path": f"{INPUTS}/queries.jsonl", "qrels": f"{INPUTS}/qrels.tsv"}, "search": {"top_k": 10}}


def settings() -> dict:
    return tiny_settings(INPUTS, STORE, **sections())


def upload_inputs(s3: S3Server, folder: Path) -> None:
    """A small corpus with further files of hostile names and ids, and queries that have the same ids."""
    make_corpus(folder, passages=60, queries=6)
    queries = (folder / "queries.jsonl").read_text() + "".join(f"{json.dumps({'_id': name, 'text': 'giant panda'})}\n" for name in IDS)
    rows = [{"_id": name, "text": "the giant panda eats bamboo", "year": "../../y"} for name in IDS]
    bodies = {f"corpus/{name}": f"{json.dumps(row)}\n" for name, row in zip(FILES, rows, strict=False)}
    bodies[f"corpus/{FILES[0]}"] += "".join(f"{json.dumps(row)}\n" for row in rows[len(FILES) :])
    bodies |= {"queries.jsonl": queries, "qrels.tsv": (folder / "qrels.tsv").read_text()}
    client = s3.client()
    client.put_object(Bucket="corpus", Key="marked/corpus/corpus.parquet", Body=(folder / "corpus.parquet").read_bytes())
    for key, body in bodies.items():
        client.put_object(Bucket="corpus", Key=f"marked/{key}", Body=body.encode())


def all_objects(s3: S3Server) -> dict[str, bytes]:
    """bucket/key -> bytes, of every bucket there is."""
    client, found = s3.client(), {}
    for bucket in (entry["Name"] for entry in client.list_buckets()["Buckets"]):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", []):
                body = client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                found[f"{bucket}/{item['Key']}"] = zstandard.decompress(body) if item["Key"].endswith(".zst") else body
    return found


def watch(process: subprocess.Popen) -> set[str]:
    """The command lines of all processes of the machine while the run goes on, as ps shows them to everybody."""
    seen: set[str] = set()
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
                seen.add(entry.read_text("utf-8", "replace"))
        time.sleep(0.5)
    return seen


def contents(folder: Path) -> bytes:
    """Names and bytes of all regular files below a folder."""
    found = b""
    for path, _, names in os.walk(folder):
        for file in (Path(path, name) for name in names):
            if file.is_file() and not file.is_symlink():
                found += str(file).encode() + b"\n" + file.read_bytes() + b"\n"
    return found
