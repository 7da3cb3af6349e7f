"""URIs in, filesystems out: local folders and s3://, and nothing else. The only module that makes an fsspec filesystem."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from actors.storage.access import explained, retried
from configs.errors import UserError
from configs.schema import S3Config

_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")


def split_uri(uri: str) -> tuple[str, str]:
    """Scheme ("file" or "s3") and path of a URI. Raises UserError on other schemes and on credentials in the URI."""
    if "://" not in uri:
        return "file", str(Path(uri).expanduser())
    parts = urlsplit(uri)
    if parts.scheme not in ("file", "s3"):
        shown = "An address" if "@" in uri or parts.query else uri
        raise UserError(f"{shown} has the scheme {parts.scheme}://, which is not supported: use a local path or s3://bucket/path.")
    # A secret may hold a slash, which ends the part that urlsplit searches for it; no bucket has a colon. Never shown.
    if "@" in parts.netloc or ":" in parts.netloc or parts.query:
        raise UserError(
            f"A {parts.scheme}:// URI carries credentials or options: leave only bucket and path, and put credentials into the environment."
        )
    path = uri.partition("://")[2]  # unlike parts.path with what follows a "#", which is an ordinary character here
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UserError(f"{uri} names the host {parts.netloc}: a file:// URI has three slashes, as in file:///data/corpus.")
        return "file", path.removeprefix("localhost")
    if not _BUCKET.fullmatch(parts.netloc):
        raise UserError(f"{uri} names no bucket: write s3://bucket/path, the bucket in letters, digits, dots and hyphens.")
    return "s3", path.rstrip("/")


def open_filesystem(uri: str, s3: S3Config) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec filesystem behind a URI and the path to use with it. Credentials come from the AWS chain only."""
    scheme, path = split_uri(uri)
    if scheme == "file":
        return fsspec.filesystem("file"), str(Path(path).absolute())
    client: dict[str, Any] = {"region_name": s3.region} if s3.region else {}
    options: dict[str, Any] = {"endpoint_url": s3.endpoint_url} if s3.endpoint_url else {}
    config = {"retries": {"mode": "standard", "max_attempts": 5}, "connect_timeout": 5, "read_timeout": 60}
    filesystem = fsspec.filesystem("s3", client_kwargs=client, config_kwargs=config, **options)
    filesystem.retries = 1  # s3fs would try each five times five times; who reads waits by a deadline of its own
    return filesystem, path


def read_file(uri: str, s3: S3Config) -> bytes:
    """A small file as a whole. An outage of S3 is waited out for s3.deadline_s. Raises UserError where it cannot be read."""
    with explained(uri):
        filesystem, path = open_filesystem(uri, s3)
        return bytes(retried(lambda: filesystem.cat_file(path), s3.deadline_s))


def full_uri(uri: str, path: str) -> str:
    """The URI of `path` as `open_filesystem(uri)`'s filesystem names it."""
    return f"s3://{path}" if split_uri(uri)[0] == "s3" else path
