"""Hashes of texts in, the committed units that embedded them before out: a text is embedded once under a fingerprint, for any id.

What was embedded is what the vectors' own commit records name, published or not: a run that died, or lost its race to publish,
has embedded for the next one too.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq

from actors.catalogue.hashing import hashes_of
from actors.storage.commits import CommitRecord, read_commits
from actors.storage.objects import Store
from actors.storage.verified import read_verified


def find_known(store: Store, folder: str, units: Sequence[str], first: int, wanted: np.ndarray) -> np.ndarray:
    """int32 [len(wanted)]: the number of a unit that embedded each text, -1 for none of these.

    `units` are committed in `folder`, the first of them has the number `first`; `wanted` are embedding hashes, sorted, distinct.
    """
    found = np.full(len(wanted), -1, np.int32)
    for number, record in enumerate(read_commits(store, folder, units), first):
        hashes = embedding_hashes(store, record)
        places = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        found[places[wanted[places] == hashes]] = number
    return found


def embedding_hashes(store: Store, record: CommitRecord) -> np.ndarray:
    """Of a committed unit of vectors, row-aligned with its data."""
    return hashes_of(pq.read_table(read_verified(store, record.files["ids"]), columns=["embedding_hash"])["embedding_hash"])
