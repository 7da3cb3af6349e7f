"""The rows of a batch in, slices of them and a map over these in threads out.

numpy lets go of Python's lock inside its loops, so plain threads share the work. There are as many as FAISS was told to use.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import faiss
import numpy as np

_LEAST = 32
"""Rows below which another thread costs more than it brings."""

Each = Callable[..., list[Any]]
"""As map: a function and one or more iterables, the results in order."""


@contextmanager
def shared_out(rows: int) -> Iterator[tuple[list[slice], Each]]:
    """Slices that together cover `rows`, and `each` to work on all of them at once. An exception in any of them is raised."""
    count = max(1, min(faiss.omp_get_max_threads(), rows // _LEAST))
    edges = np.linspace(0, rows, count + 1).astype(int)
    parts = [slice(int(start), int(stop)) for start, stop in pairwise(edges)]
    if count == 1:
        yield parts, lambda *arguments: list(map(*arguments))
        return
    with ThreadPoolExecutor(count) as pool:
        yield parts, lambda *arguments: list(pool.map(*arguments))
