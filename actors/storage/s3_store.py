"""A store on S3 or a service that speaks it. Conditional puts go through botocore, whose errors are typed.

Retries are ours and run to a deadline, not to a count, and each attempt of a conditional put stays conditional: after
a lost reply the object is read back and compared, so "412 against our own write" counts as success.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import botocore.config
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from actors.storage.access import error_code, explain_access_error, http_status, is_transient, retried
from actors.storage.filesystems import open_filesystem, split_uri
from actors.storage.node_disk import clear_half_made
from actors.storage.objects import ObjectInfo, checked_key, private_folder
from configs.errors import UserError
from configs.schema import S3Config

T = TypeVar("T")
_WHOLE = 64 << 20  # bytes up to which an object goes out in one request; larger ones go in parts
_CONNECTIONS = 32  # as many as commit records are read at once


class S3Store:
    """Objects below s3://bucket/prefix. Satisfies `Store`; crosses processes by its settings, never with credentials."""

    on_disk = False

    def __init__(self, uri: str, s3: S3Config, deadline_s: float) -> None:
        self.uri, self._s3, self._deadline_s = uri.rstrip("/"), s3, deadline_s
        bucket, _, prefix = split_uri(uri)[1].partition("/")
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._lazy_client: Any = None
        self._opening = threading.Lock()  # a client costs a third of a second: threads that want the first one wait for it

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Store, (self.uri, self._s3, self._deadline_s)

    @property
    def _client(self) -> Any:
        if self._lazy_client is None:
            with self._opening:
                self._lazy_client = self._lazy_client or self._open_client()
        return self._lazy_client

    def _open_client(self) -> Any:
        # A silent service must leave time for another attempt before the deadline.
        silence = min(60.0, max(1.0, self._deadline_s / 3))
        config = botocore.config.Config(
            retries={"total_max_attempts": 1},
            connect_timeout=min(5.0, silence),
            read_timeout=silence,
            max_pool_connections=_CONNECTIONS,
        )
        session = botocore.session.get_session()
        try:
            return session.create_client("s3", region_name=self._s3.region, endpoint_url=self._s3.endpoint_url, config=config)
        except ValueError as error:
            raise UserError(f"{self.uri}: {error}: mend s3.endpoint_url, s3.region or AWS_ENDPOINT_URL.") from error

    def get(self, key: str) -> bytes:
        """See Store."""
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """An object and its ETag, by one request."""

        def get() -> tuple[bytes, str]:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            return answer["Body"].read(), answer["ETag"].strip('"')

        return self._retry(get, key)

    def put(self, key: str, data: bytes) -> None:
        """See Store."""
        self._retry(lambda: self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data), key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See Store."""
        try:
            self._retry(lambda: self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data, IfNoneMatch="*"), key)
        except ClientError as error:
            if http_status(error) != 412:
                raise
            return self.get(key) == data
        return True

    def upload(self, path: Path, key: str) -> None:
        """See Store."""
        if path.stat().st_size <= _WHOLE:
            self.put(key, path.read_bytes())
        else:
            filesystem, _ = open_filesystem(self.uri, self._s3)
            self._retry(lambda: filesystem.put_file(str(path), f"{self._bucket}/{self._name(key)}"), key)
        path.unlink()

    def local_copy(self, key: str, folder: Path) -> Path:
        """See Store: a download, streamed to disk."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / Path(key).name

        def download() -> None:
            body = self._client.get_object(Bucket=self._bucket, Key=self._name(key))["Body"]
            with open(target, "wb") as handle:
                for chunk in body.iter_chunks(8 << 20):
                    handle.write(chunk)

        self._retry(download, key)
        return target

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        start, token = self._name(prefix), dict[str, str]()
        while True:
            page = self._retry(lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=start, **token), prefix)  # noqa: B023
            for item in page.get("Contents", []):
                yield ObjectInfo(item["Key"][len(self._prefix) :], item["Size"], item["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """See Store."""
        self._retry(lambda: self._client.delete_object(Bucket=self._bucket, Key=self._name(key)), key)

    def scratch(self) -> Path:
        """See Store."""
        folder = private_folder(Path(tempfile.gettempdir(), f"raytrieve-scratch-{os.getuid()}"))
        clear_half_made(folder)
        return folder

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _retry(self, operation: Callable[[], T], key: str) -> T:
        """The operation's result, tried until the deadline. UserError or FileNotFoundError where the reason is known."""
        try:
            return retried(operation, self._deadline_s)
        except (ClientError, BotoCoreError, OSError) as error:
            known = self._outage(key, error) if is_transient(error) else self._explained(key, error)
            if known is None:
                raise
            raise known from error

    def _explained(self, key: str, error: Exception) -> Exception | None:
        answer = error.__cause__ if isinstance(error, OSError) else error  # s3fs wraps; any other OSError is the local disk's
        if not isinstance(answer, ClientError | BotoCoreError):
            return None
        if not isinstance(answer, ClientError) or http_status(answer) != 404:
            return explain_access_error(self.uri, answer)
        if error_code(answer) == "NoSuchBucket":
            return UserError(f"There is no bucket {self._bucket} at {self._s3.endpoint_url or 'AWS'}: create it, or mend store.uri.")
        return FileNotFoundError(f"{self.uri}/{key} does not exist")

    def _outage(self, key: str, error: Exception) -> UserError:
        tried = f"tried for {self._deadline_s:g} s (store.deadline_s; s3.deadline_s for input files)"
        return UserError(f"{self.uri}: no success with {key}, {tried}: {error}. Check s3.endpoint_url, the network and the service.")
