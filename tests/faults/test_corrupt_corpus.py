"""A Parquet file of the corpus that is damaged half-way: the job names it, and goes on when it is mended."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.storage.manifests import version_numbers
from configs.load import build_config
from pipelines.cli import app, guarded
from pipelines.reindex import reindex
from tests.faults.outcomes import IN_HAND, SECTIONS, all_attempts, committed, outcome
from tests.jobs import tiny_settings, write_config

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]


class Spoilt:
    """A file of which a row group's pages are zeros, until it is mended: the same bytes and the same time as before."""

    def __init__(self, path: Path, row_group: int) -> None:
        self.path, self._data, self._status = path, path.read_bytes(), path.stat()
        column = pq.ParquetFile(path).metadata.row_group(row_group).column(1)
        start, size = column.dictionary_page_offset or column.data_page_offset, column.total_compressed_size // 2
        self._write(self._data[:start] + bytes(size) + self._data[start + size :])

    def mend(self) -> None:
        self._write(self._data)

    def _write(self, data: bytes) -> None:
        self.path.write_bytes(data)
        os.utime(self.path, ns=(self._status.st_atime_ns, self._status.st_mtime_ns))


def test_a_damaged_file_is_named_and_when_it_is_mended_the_run_goes_on(inputs, local_ray, tally, tmp_path, capfd):
    corpus, store = tmp_path / "corpus", tmp_path / "store"
    corpus.mkdir()
    table = pq.read_table(inputs / "corpus.parquet")
    pq.write_table(table[:300], corpus / "a.parquet")
    settings = tiny_settings(inputs, store, **SECTIONS, corpus={"path": str(corpus), "columns": {}})
    path, config = str(write_config(tmp_path / "job.yaml", settings)), build_config(settings, "test")
    assert guarded(lambda: app(["embed", path])) == 0
    done = committed(store, "vectors").keys()
    pq.write_table(table[300:], corpus / "b.parquet", row_group_size=100)
    spoilt = Spoilt(corpus / "b.parquet", 2)
    assert guarded(lambda: app(["run", path])) == 2
    told = capfd.readouterr().err.splitlines()[-1]
    assert (
        told.startswith("raytrieve: ")
        and f"{spoilt.path} breaks at row 200" in told
        and "replace the file, or set corpus.broken_files: reject" in told
    )
    spoilt.mend()
    assert guarded(lambda: app(["run", path])) == 0
    tally("a Parquet file damaged half-way", 1, outcome(config), IN_HAND["embed"])
    tried = [unit for unit, _, _ in all_attempts(store)]
    assert done and all(tried.count(unit) == 1 for unit in done), "what was committed before the damage was found is computed again"


def test_a_damaged_file_stops_a_reindex_before_it_publishes(changed, tally, tmp_path, capfd):
    job = changed()
    spoilt = Spoilt(tmp_path / "corpus.parquet", 4)
    assert guarded(lambda: reindex(job.config)) == 2
    assert str(spoilt.path) in capfd.readouterr().err.splitlines()[-1] and version_numbers(job.store) == [1]
    spoilt.mend()
    assert reindex(job.config).manifest.version == 2
    tally("a Parquet file damaged half-way, in a re-index", 1, job.outcome(), IN_HAND["reindex"])
