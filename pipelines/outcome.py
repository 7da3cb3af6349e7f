"""What a re-index did, for people and for its report in the store."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from actors.storage.manifests import Manifest
from pipelines.delta import Delta
from pipelines.gate import Verdict

_KINDS = ("added", "edited", "restated", "deleted", "unchanged")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One re-index, from the draft of its version on."""

    manifest: Manifest
    """The version that holds the corpus now."""
    parent: int
    """The version it was compared with, 0 for none."""
    counts: dict[str, int] = field(default_factory=dict)
    """As Changes.summary."""
    tokens: int = 0
    """Tokens embedded."""
    recalled: int = 0
    """Vectors that were there already."""
    delta: Delta | None = None
    """How the index changed; none when it was built over the whole corpus."""
    verdict: Verdict | None = None
    """What the gate measured; none when the index stayed as it was."""

    def lines(self) -> list[str]:
        """In words."""
        version = f"{self.manifest.rows:,} passages in {len(self.manifest.segments)} segments"
        if self.manifest.version == self.parent:
            return [f"Nothing changed: version {self.parent} holds the corpus, {version}."]
        said = [f"Version {self.manifest.version}: {version}.", *count_lines(self.counts)]
        said.append(f"{self.tokens:,} tokens embedded, {self.recalled:,} vectors re-used.")
        if self.delta is not None:
            said.append(f"{self.delta.built} segments written, {self.delta.replaced} of version {self.parent} replaced.")
            said += [f"Trained anew: {self.delta.retrained}."] if self.delta.retrained else []
        return said

    def told(self) -> dict[str, Any]:
        """JSON values for the report, without the manifest."""
        told = {"version": self.manifest.version, "parent": self.parent, "passages": self.manifest.rows, "counts": self.counts}
        told |= {"tokens": self.tokens, "recalled": self.recalled, "gate": asdict(self.verdict) if self.verdict else None}
        if self.delta is not None:
            told |= {name: getattr(self.delta, name) for name in ("built", "replaced", "drift", "retrained")}
        return told


def count_lines(counts: Mapping[str, int]) -> Iterator[str]:
    """The counts of a comparison, in words."""
    yield ", ".join(f"{counts[kind]:,} {kind}" for kind in _KINDS if kind in counts) + "."
    if counts.get("mended"):
        yield f"{counts['mended']:,} taken in again: stored vectors of their segments were damaged."
    if "files_read" in counts:
        yield f"{counts['files_read']:,} of {counts['files']:,} files read, {counts['rows_read']:,} rows."
    if counts["rejected"] + counts["repeated"]:
        yield f"{counts['rejected']:,} rows rejected; {counts['repeated']:,} left out because another file has their id."
