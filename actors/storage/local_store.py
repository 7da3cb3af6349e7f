"""A store on a local or shared disk. Writes go to a temporary name first, so a reader never sees half an object."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from actors.storage.node_disk import clear_half_made
from actors.storage.objects import ObjectInfo, checked_key, sync_folder
from configs.errors import UserError

_TEMPORARY, _SCRATCH = ".tmp-", ".scratch"


class LocalStore:
    """Objects as files below `root`. Satisfies `Store`."""

    on_disk = True

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.uri = str(self.root)
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.uri} is a file, not a folder: set store.uri to a folder.")

    def get(self, key: str) -> bytes:
        """See Store."""
        return self._path(key).read_bytes()

    def put(self, key: str, data: bytes) -> None:
        """See Store."""
        temporary, target = self._write_temporary(key, data), self._path(key)
        try:
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See Store. A hard link is the exclusive create that also carries the finished content."""
        temporary, target = self._write_temporary(key, data), self._path(key)
        beside = target.parent / f"{_TEMPORARY}{temporary.name}"  # some file systems link within a folder only
        os.replace(temporary, beside)
        try:
            os.link(beside, target)
        except FileExistsError:
            return self.get(key) == data  # ours: on NFS a repeated link finds its own first try
        finally:
            beside.unlink()
        sync_folder(target.parent)
        return True

    def upload(self, path: Path, key: str) -> None:
        """See Store. The scratch folder is on the same disk, so this is a rename."""
        target = self._path(key)
        self._make_folder(target.parent)
        with open(path, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(path, target)
        sync_folder(target.parent)  # or a power cut could keep the commit record and lose the name of its file

    def local_copy(self, key: str, folder: Path) -> Path:
        """See Store: the stored file itself."""
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(f"{self.uri}/{key} does not exist")
        return path

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        start = self._path(prefix) if prefix.endswith("/") or not prefix else self._path(prefix).parent
        found = []
        for folder, names, files in os.walk(start, onerror=_raise_unless_missing):
            names[:] = [name for name in names if name != _SCRATCH]
            for name in files:
                path = Path(folder, name)
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not name.startswith(_TEMPORARY):
                    found.append((key, path))
        for key, path in sorted(found):
            try:
                status = path.stat()
            except FileNotFoundError:  # deleted since it was listed
                continue
            yield ObjectInfo(key, status.st_size, status.st_mtime)

    def delete(self, key: str) -> None:
        """See Store."""
        self._path(key).unlink(missing_ok=True)

    def scratch(self) -> Path:
        """See Store."""
        folder = self.root / _SCRATCH
        self._make_folder(folder)
        clear_half_made(folder)
        return folder

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise UserError(
                f"Cannot create the folder {folder} ({error.strerror}): choose another store.uri or mend its permissions."
            ) from error

    def _write_temporary(self, key: str, data: bytes) -> Path:
        self._make_folder(self._path(key).parent)
        temporary = self.scratch() / secrets.token_hex(8)
        try:
            with open(temporary, "xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
