"""A version in, what its segments were built from out, and what of that a repair has withdrawn since."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from actors.pieces import Piece
from actors.storage.commits import DataFile, all_withdrawn, committed_units, read_commits, read_withdrawn
from actors.storage.manifests import Manifest
from actors.storage.objects import Store
from configs.errors import UserError


@dataclass(frozen=True, slots=True)
class Past:
    """What the segments of a version come from."""

    pieces: dict[str, list[Piece]]
    """By segment, in the version's order, the rows of stored vectors that it was built from."""
    damaged: frozenset[str]
    """Segments to build again: a repair found their files damaged."""
    stuck: frozenset[str]
    """Segments that can not be built again: a repair found some of their vectors damaged, and nothing has made these anew."""

    def require_vectors(self, segments: Collection[str]) -> None:
        """Raise UserError when one of these segments, which are to be built again, can not be."""
        lost = sorted(self.stuck & set(segments))
        if lost:
            raise UserError(
                f"{len(lost)} segments have to be built again and their stored vectors are damaged (such as {lost[0]}): set corpus.path "
                "to the whole corpus and run `raytrieve reindex CONFIG --mode snapshot` first."
            )


def stuck_segments(store: Store, version: Manifest) -> list[int]:
    """The places in the version of its segments that can not be built again."""
    if not read_withdrawn(store, _vectors(version)):
        return []
    stuck = read_past(store, version).stuck
    return [place for place, entry in enumerate(version.segments) if entry.segment in stuck]


def damaged_segments(store: Store, version: Manifest) -> dict[str, list[Piece]]:
    """What the version's damaged segments were built from, by segment, where that is still there."""
    if not read_withdrawn(store, "segments"):
        return {}
    past = read_past(store, version)
    return {name: past.pieces[name] for name in past.damaged - past.stuck}


def read_past(store: Store, version: Manifest) -> Past:
    """Read the records of a version's segments, those that were withdrawn included."""
    names = [entry.segment for entry in version.segments]
    damaged = frozenset(set(names) - committed_units(store, "segments"))
    records = {record.unit: record for record in read_commits(store, "segments", [name for name in names if name not in damaged])}
    if damaged:
        records |= {name: record for name, record in read_withdrawn(store, "segments").items() if name in damaged}
    if lacking := [name for name in names if name not in records]:
        raise UserError(
            f"{store.uri}/segments/commits/{lacking[0]}.json is missing, which version {version.version} needs to be changed: "
            "index the whole corpus into a new store.uri, or go back: `raytrieve versions rollback`."
        )
    pieces = {name: [Piece.parse(plain) for plain in records[name].details["pieces"]] for name in names}
    mended = _mended_vectors(store, _vectors(version), {piece.file.key for some in pieces.values() for piece in some})
    current = {name: [_as_it_is_now(piece, mended) for piece in some] for name, some in pieces.items()}
    stuck = frozenset(name for name, some in current.items() if None in some)
    return Past({name: [now or old for now, old in zip(current[name], pieces[name], strict=True)] for name in names}, damaged, stuck)


def template_withdrawn(store: Store, version: Manifest) -> bool:
    """Whether a repair found the trained template of the version damaged."""
    key = version.index["template"]["key"]
    return any(record.files["template"].key == key for record in read_withdrawn(store, "quantizers").values())


def _vectors(version: Manifest) -> str:
    return f"vectors/{version.embedding['fingerprint']}"


def _mended_vectors(store: Store, folder: str, used: Collection[str]) -> dict[str, DataFile | None]:
    """By the key of each withdrawn vector file that is `used`, a committed file of the same bytes, whoever wrote it; none where there
    is none. Without such a file no commit is read: what was once withdrawn is remembered long after it was mended."""
    withdrawn = [file for record in all_withdrawn(store, folder) if (file := record.files["data"]).key in used]
    there = read_commits(store, folder, sorted(committed_units(store, folder))) if withdrawn else []
    sound = {record.files["data"].sha256: record.files["data"] for record in there}
    return {file.key: sound.get(file.sha256) for file in withdrawn}


def _as_it_is_now(piece: Piece, mended: dict[str, DataFile | None]) -> Piece | None:
    """The piece in a file that is there; none where there is none of its bytes: the rows of other bytes may be others."""
    file = mended.get(piece.file.key, piece.file)
    return None if file is None else replace(piece, file=file)
