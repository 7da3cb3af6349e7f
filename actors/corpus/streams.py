"""A source file in, its decompressed bytes out, and a clear division: the file is broken, or the reading of it failed.

Failures of the storage underneath (network, permissions) pass as they are, since another attempt may succeed;
only damage in the bytes themselves becomes BrokenFile.
"""

import io
import zlib
from typing import Any, Protocol

import pyarrow as pa
import zstandard
from fsspec.implementations.local import LocalFileSystem

from actors.corpus.listing import Compression, SourceFile
from actors.corpus.records import BrokenFile, StaleFile
from actors.corpus.tree import look_up, remote_etag
from actors.storage.access import retried
from actors.storage.filesystems import open_filesystem
from configs.schema import S3Config

BREAKS = (EOFError, zlib.error, zstandard.ZstdError, pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError)
"""What decoders raise on damaged bytes. pyarrow raises a bare OSError too, so `broken` asks the source who was to blame."""

_BUFFER = 1 << 20
_REMOTE_BLOCK = 8 << 20
_COMPRESSED_CHUNK = 1 << 16


class Source(io.RawIOBase):
    """The raw bytes of a file, remembering whether a read of the storage failed. Outages shorter than `patience_s` pass unnoticed."""

    def __init__(self, handle: Any, patience_s: float = 0.0) -> None:
        super().__init__()
        self._handle, self._patience_s = handle, patience_s
        self.failure: Exception | None = None

    def readable(self) -> bool:
        """See the class."""
        return True

    def seekable(self) -> bool:
        """See the class."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """See the class."""
        try:
            return bytes(retried(lambda: self._handle.read(-1 if size is None else size), self._patience_s))
        except Exception as error:
            self.failure = error
            raise

    def readinto(self, buffer: Any) -> int:
        """See the class."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """See the class."""
        return int(self._handle.seek(offset, whence))

    def tell(self) -> int:
        """See the class."""
        return int(self._handle.tell())

    def close(self) -> None:
        """See the class."""
        if not self.closed:
            self._handle.close()
        super().close()


def open_source(file: SourceFile, s3: S3Config) -> Source:
    """Opens the file's raw bytes. Raises StaleFile if it is gone, or no longer the one that was listed."""
    fs, path = open_filesystem(file.uri, s3)
    handle: Any
    try:
        if isinstance(fs, LocalFileSystem):
            found = look_up(fs, path)
            etag, handle = (found.etag if found else "a folder"), open(path, "rb")
        else:
            cache = "none" if file.format == "parquet" else "readahead"
            handle = retried(lambda: fs.open(path, "rb", block_size=_REMOTE_BLOCK, cache_type=cache), s3.deadline_s)
            etag = remote_etag(handle.details)
    except FileNotFoundError as error:
        raise gone() from error
    if etag != file.etag:
        handle.close()
        raise changed()
    return Source(handle, s3.deadline_s)


def gone() -> StaleFile:
    """The error of a file that is no more."""
    return StaleFile(0, "it is gone since it was listed", "put it back or run again")


def changed() -> StaleFile:
    """The error of a file that is another now."""
    return StaleFile(0, "it has changed since it was listed", "run again to read it as it is now")


def decompressed(source: Source, compression: Compression) -> io.BufferedReader:
    """The source's bytes without gzip or zstd, buffered. Only uncompressed streams can seek."""
    return io.BufferedReader(_Decompressed(source, compression) if compression else source, _BUFFER)


def broken(source: Source, row: int, error: Exception, rest_known: bool = False) -> Exception:
    """What to raise for `error` at `row`: the storage's own failure if there was one, else BrokenFile."""
    if source.failure is not None:
        return source.failure
    lines = str(error).splitlines() or [type(error).__name__]
    return BrokenFile(row, lines[0][:200], rest_known=rest_known)


class _Decoder(Protocol):
    """What zlib's and zstandard's decompression objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Decompressed(io.RawIOBase):
    """gzip members or zstd frames one after the other. Hands out all that can be decoded before it raises.

    zstandard's own stream reader ends in silence where a file is cut short, and gzip's drops the rows before the cut.
    """

    def __init__(self, source: Source, compression: Compression) -> None:
        super().__init__()
        self._source = source
        self._compression = compression
        self._decoder: _Decoder | None = None
        self._pending = b""
        self._output = memoryview(b"")
        self._any = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            chunk = self._pending or self._source.read(_COMPRESSED_CHUNK)
            self._pending = b""
            if not chunk:
                return self._end()
            self._output = memoryview(self._decode(chunk))
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _decode(self, chunk: bytes) -> bytes:
        if self._decoder is None:
            if self._compression == "gz" and self._any:
                # Tape and block devices pad gzip files with zeros; gzip itself skips them.
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return b""
            self._decoder = self._new_decoder()
            self._any = True
        data = self._decoder.decompress(chunk)
        if self._decoder.eof:
            self._pending = self._decoder.unused_data
            self._decoder = None
        return data

    def _new_decoder(self) -> _Decoder:
        return zlib.decompressobj(wbits=31) if self._compression == "gz" else zstandard.ZstdDecompressor().decompressobj()

    def _end(self) -> int:
        if self._decoder is not None:
            raise EOFError("the compressed data is cut short")
        if not self._any:
            raise EOFError("the file is empty, which no compressed file is")
        return 0
