"""How the files of a corpus are dealt out to the tasks that count them."""

import pytest

from actors.corpus.listing import SourceFile
from pipelines.planning import _chunks


@pytest.mark.parametrize(
    ("kind", "size", "sizes"),
    [("jsonl", 1, [256, 44]), ("parquet", 1 << 40, [64] * 4 + [44]), ("jsonl", 128 << 20, [2] * 150), ("jsonl", 1 << 40, [1] * 300)],
)
def test_a_counting_task_takes_many_small_files_and_few_large_ones_in_order(kind, size, sizes):
    files = [SourceFile(f"x{number}", kind, "", size, "e") for number in range(300)]
    chunks = list(_chunks(files))
    assert [len(chunk) for chunk in chunks] == sizes
    assert [file for chunk in chunks for file in chunk] == files
