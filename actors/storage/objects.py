"""What every store can do: whole objects in, whole objects out, and one conditional write.

A key is a relative path such as `vectors/ab12/commits/0f3e.json`. Objects are immutable once a commit record or a
manifest names them. `put_if_absent` is the only operation that decides anything between two writers.
"""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from configs.errors import UserError
from configs.schema import S3Config, StoreConfig

_FOREIGN = re.compile(r"://|[\\\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed object: key, size in bytes, and seconds since the epoch of its last change."""

    key: str
    size: int
    modified: float


class Store(Protocol):
    """A folder of objects. Missing keys raise FileNotFoundError; outages raise after the configured deadline."""

    uri: str
    on_disk: bool
    """Whether `local_copy` gives the stored file itself."""

    def get(self, key: str) -> bytes:
        """The whole object."""

    def put(self, key: str, data: bytes) -> None:
        """Write the whole object at once, replacing any other: readers see all of it or none."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object only if there is none. True: what is stored is ours; False: another writer came first.

        `data` must be unique to the caller (hold a nonce), so that a lost reply can be told from a lost race.
        """

    def upload(self, path: Path, key: str) -> None:
        """Move a local file into the store. The local file is gone afterwards."""

    def local_copy(self, key: str, folder: Path) -> Path:
        """A local file with the object's bytes: the stored file itself, or a download into `folder`."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in key order. An error is an error, never a shorter list."""

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""

    def scratch(self) -> Path:
        """A local folder for files on their way into the store, on the store's own disk where it has one."""


def open_store(config: StoreConfig, s3: S3Config) -> Store:
    """The store behind a config. Opening touches nothing; `probe` does."""
    from actors.storage.filesystems import split_uri
    from actors.storage.local_store import LocalStore
    from actors.storage.s3_store import S3Store

    scheme, path = split_uri(config.uri)
    if scheme == "file":
        return LocalStore(Path(path))
    return S3Store(config.uri, s3, config.deadline_s)


def probe(store: Store, unsafe_single_writer: bool) -> None:
    """Prove once, before any work, that the store can be written and that it honours conditional writes."""
    # One key for ever, and no delete: a job needs no right to delete, and nothing is cleaned up after an unknown outcome.
    key = "probes/conditional-writes"
    store.put_if_absent(key, secrets.token_bytes(16))
    if store.put_if_absent(key, secrets.token_bytes(16)) and not unsafe_single_writer:
        raise UserError(
            f"{store.uri} ignores conditional writes (If-None-Match), so two runs could overwrite each other: "
            "use a store that honours them, or set store.unsafe_single_writer=true and start one run at a time."
        )


def checked_key(key: str) -> str:
    """The key itself. Raises UserError when it is absolute, climbs out of the store or names another place."""
    if key.startswith("/") or ".." in key.split("/") or _FOREIGN.search(key):
        raise UserError(
            f"The object name {key!r} leaves the store, so whatever holds it was not written by a run: remove that record or version."
        )
    return key


def private_folder(folder: Path) -> Path:
    """Make a folder in a place that all users of the machine share. Raises UserError where another user could look in or swap it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UserError(f"{folder} is not a folder of this user alone: remove it, or set TMPDIR to a folder of your own.")
    return folder


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def new_attempt() -> str:
    """A name no other writer has: 12 random hex digits."""
    return secrets.token_hex(6)


def sync_folder(folder: Path) -> None:
    """Make a folder's new names durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
