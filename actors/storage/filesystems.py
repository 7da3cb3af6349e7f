"""URIs in, filesystems out: local folders and s3://, and nothing else. The only module that makes an fsspec filesystem."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from configs.errors import UserError
from configs.schema import S3Config


def split_uri(uri: str) -> tuple[str, str]:
    """Scheme ("file" or "s3") and path of a URI. Raises UserError on other schemes and on credentials in the URI."""
    if "://" not in uri:
        return "file", str(Path(uri).expanduser())
    parts = urlsplit(uri)
    if parts.username or parts.password or parts.query:
        raise UserError(f"{parts.scheme}://{parts.hostname or ''}... carries credentials or options: leave only bucket and path, and put credentials into the environment.")
    if parts.scheme == "file":
        return "file", parts.path
    if parts.scheme == "s3":
        return "s3", f"{parts.netloc}{parts.path}".rstrip("/")
    raise UserError(f"{uri} has the scheme {parts.scheme}://, which is not supported: use a local path or s3://bucket/path.")


def open_filesystem(uri: str, s3: S3Config) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec filesystem behind a URI and the path to use with it. Credentials come from the AWS chain only."""
    scheme, path = split_uri(uri)
    if scheme == "file":
        return fsspec.filesystem("file"), str(Path(path).absolute())
    client: dict[str, Any] = {"region_name": s3.region} if s3.region else {}
    options: dict[str, Any] = {"endpoint_url": s3.endpoint_url} if s3.endpoint_url else {}
    config = {"retries": {"mode": "standard", "max_attempts": 10}, "connect_timeout": 5, "read_timeout": 60}
    return fsspec.filesystem("s3", client_kwargs=client, config_kwargs=config, **options), path


def full_uri(uri: str, path: str) -> str:
    """The URI of `path` as `open_filesystem(uri)`'s filesystem names it."""
    return f"s3://{path}" if split_uri(uri)[0] == "s3" else path
