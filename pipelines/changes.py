"""What a comparison of the newest version with the corpus found: what every later step of a re-index starts from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.catalogue.reconciling import Reconciled
from actors.catalogue.sources import Sources
from actors.corpus.listing import SourceFile
from actors.corpus.planning import WorkUnit
from actors.corpus.schema import Reject
from actors.storage.manifests import Manifest


@dataclass(slots=True)
class Changes:
    """What a re-index of one version has to do."""

    newest: Manifest
    sources: Sources
    """Of the new version."""
    read: list[SourceFile]
    """Files that were read."""
    units: list[WorkUnit]
    """What they were read in; WANTED rows name these by number."""
    rows: list[Any]
    """One reference a partition: ROW, PENDING where a passage has yet to be indexed."""
    found: list[Reconciled]
    """The rest of each partition's result; its `rows` are empty."""
    named: list[str] = field(default_factory=list)
    """Ids to delete by name."""
    rows_read: int = 0
    rejects: list[Reject] = field(default_factory=list)

    @property
    def wanted(self) -> np.ndarray:
        """WANTED: passages that the index has to take in, in corpus order."""
        rows = np.concatenate([part.wanted for part in self.found])
        return rows[np.lexsort((rows["row"], rows["unit"]))]

    @property
    def passages(self) -> int:
        """Passages of the new version, those counted that turn out to be rejected when they are embedded."""
        return self.summary["unchanged"] + sum(len(part.wanted) for part in self.found)

    @property
    def touched(self) -> np.ndarray:
        """TOUCHED: every id that changes."""
        return np.concatenate([part.touched for part in self.found])

    @property
    def summary(self) -> dict[str, int]:
        """Reconciled.counts over all partitions; files of the new version and those read; rows read and rejected."""
        found = {name: sum(part.counts[name] for part in self.found) for name in self.found[0].counts}
        files = {"files": len(self.sources.files), "files_read": len(self.read)}
        return {**found, **files, "rows_read": self.rows_read, "rejected": len(self.rejects)}

    def deletions(self) -> dict[str, np.ndarray]:
        """Deleted rows (int64, ascending) of each segment, those of before included."""
        removed = np.concatenate([part.removed for part in self.found])
        removed = removed[np.argsort(removed[:, 0], kind="stable")]
        ends = np.searchsorted(removed[:, 0], np.arange(len(self.newest.segments)), side="right")
        gone, before = np.split(removed[:, 1], ends)[:-1], self.newest.deletions
        names = [entry.segment for entry in self.newest.segments]
        both = {name: np.union1d(rows, before.get(name, [])).astype(np.int64) for name, rows in zip(names, gone, strict=True)}
        return {name: rows for name, rows in both.items() if len(rows)}
