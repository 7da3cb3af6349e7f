"""Files that will be read one after the other in, their sources out, fetched ahead by threads.

Of a small file on S3 nearly all the time is spent waiting for the answer: so some are asked for while others are parsed, with one
request each (fsspec would need two, and three times the processor's time).
"""

import io
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from actors.corpus.listing import SourceFile
from actors.corpus.streams import Source, changed, gone, open_source
from actors.storage.filesystems import split_uri
from actors.storage.s3_store import S3Store
from configs.schema import S3Config

_THREADS = 16
_AHEAD = 32  # files in memory
_SMALL = 1 << 20  # bytes of a file that is fetched whole


class Prefetcher:
    """Opens files in the order in which they were announced; any other is opened when it is asked for."""

    def __init__(self, files: Iterable[SourceFile], s3: S3Config) -> None:
        self._s3 = s3
        self._coming = deque(file for file in dict.fromkeys(files) if file.uri.startswith("s3://") and file.size <= _SMALL)
        self._fetched: dict[SourceFile, Future[Source]] = {}
        self._pool = ThreadPoolExecutor(_THREADS) if len(self._coming) > 1 else None
        self._buckets: dict[str, S3Store] = {}

    def open(self, file: SourceFile) -> Source:
        """The file's source. Raises as open_source does."""
        while self._pool and self._coming and len(self._fetched) < _AHEAD:
            following = self._coming.popleft()
            bucket, _, key = split_uri(following.uri)[1].partition("/")
            if bucket not in self._buckets:
                self._buckets[bucket] = S3Store(f"s3://{bucket}", self._s3, self._s3.deadline_s)
            self._fetched[following] = self._pool.submit(self._fetch, self._buckets[bucket], key, following.etag)
        fetched = self._fetched.pop(file, None)
        return fetched.result() if fetched else open_source(file, self._s3)

    def close(self) -> None:
        """Let go of what was fetched and not asked for."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def _fetch(self, bucket: S3Store, key: str, etag: str) -> Source:
        try:
            data, found = bucket.get_tagged(key)
        except FileNotFoundError as error:
            raise gone() from error
        if found != etag:
            raise changed()
        return Source(io.BytesIO(data))
