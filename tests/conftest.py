"""What tests share: a private Ray, a real S3, a small corpus with judgements, and tiny real checkpoints."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import seaweed

DATA = Path(__file__).parent / "data"
os.environ.setdefault("RAY_AUTH_MODE", "token")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-kills", action="store_true", help="run every kill of the fault tests, not the seeded sample")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a cluster first: what is quick then fills the time in which one of two processes would have nothing left to do."""
    slow = {item.path for item in items if item.get_closest_marker("cluster")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.S3Server]:
    server = seaweed.start(tmp_path_factory.mktemp("seaweed"), "corpus", "store")
    yield server
    server.stop()


@pytest.fixture
def s3_environment(s3: seaweed.S3Server, monkeypatch: pytest.MonkeyPatch) -> seaweed.S3Server:
    """The AWS chain of this process points at the test server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture(scope="session")
def local_ray(s3: seaweed.S3Server) -> Iterator[None]:
    """One private Ray for the whole session; runs inside a test join it.

    Its workers, not this process, have the AWS chain of the S3, and die of the word kumquat.
    """
    import ray

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**s3.environment, "RAYTRIEVE_TEST_POISON": "kumquat"}.items():
            patch.setenv(name, value)
        ray.init("local", num_cpus=8, object_store_memory=300 << 20, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_encoder() -> Path:
    return DATA / "parity" / "ckpt" / "tiny-bge-en"


@pytest.fixture(scope="session")
def tiny_reranker() -> Path:
    return DATA / "parity" / "ckpt" / "tiny-bge-reranker"


def random_words(seed: int) -> random.Random:
    return random.Random(seed)
