"""The two stores that every test of the protocol runs on, and short names for their parts."""

import secrets

import pytest

from actors.storage.local_store import LocalStore
from actors.storage.s3_store import S3Store
from configs.schema import S3Config


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    """An empty store: a folder, or a fresh prefix on a real S3."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    request.getfixturevalue("s3_environment")
    return S3Store(f"s3://store/{secrets.token_hex(6)}", S3Config(), deadline_s=20)


@pytest.fixture
def s3_store(s3_environment):
    """Makes stores on a fresh prefix of the real S3, at an address of the caller's choice."""
    uri = f"s3://store/{secrets.token_hex(6)}"

    def make(endpoint: str | None = None, deadline_s: float = 20) -> S3Store:
        return S3Store(uri, S3Config(endpoint_url=endpoint), deadline_s)

    return make
