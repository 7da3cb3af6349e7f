"""One partition of the catalogue and of the scan in, what has to change out: which passages are new, which go, who owns each id.

snapshot: the files are the truth. An id belongs to the first file, in corpus order, that has it; an id in no file is deleted.
upsert: what was read wins over what is there; nothing else changes but what is deleted by name.

Where documents were cut into passages, they are owned, replaced and deleted by name as documents, with all their passages.
"""

from dataclasses import dataclass, field

import numpy as np

from actors.catalogue.hashing import HASH, documents_of
from actors.catalogue.rows import PENDING, ROW, SCANNED, SHADOW
from actors.catalogue.scanning import REPEATED

WANTED = np.dtype([("id", HASH), ("embedding", HASH), ("unit", "<i4"), ("row", "<i4")])
"""A passage that the index has to take in, and where it is read."""

TOUCHED = np.dtype([("id", HASH), ("before", HASH)])
"""An id that the run changes, and the content hash that the index has for it (zeros: none)."""

_CLAIM = np.dtype([*ROW.descr, ("unit", "<i4")])  # `row` is one of the segment, or of the unit where there is one


@dataclass(frozen=True, slots=True)
class Rules:
    """How claims are judged."""

    moved: np.ndarray
    """int32: for each file of the old version its place among the new sources, NOWHERE where it is gone or was read again; then
    NOWHERE once more, for rows that no file of the old version has."""
    upsert: bool
    doomed: np.ndarray
    """HASH: ids deleted by name."""
    stuck: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    """int32: segments whose stored vectors are damaged; whatever they hold is read and taken in again."""
    cut: bool = False
    """Whether the ids are those of passages that documents were cut into; `doomed` are documents then."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The changes of one partition."""

    rows: np.ndarray
    """ROW: the partition as it will be, in the old numbers of segments, PENDING where a passage has yet to be indexed."""
    wanted: np.ndarray
    """WANTED."""
    removed: np.ndarray
    """int32 [n, 2]: segment and row of passages that are deleted or replaced."""
    touched: np.ndarray
    """TOUCHED."""
    counts: dict[str, int]
    """Passages unchanged (of them unread: in files that were not read), added, edited (other text), restated (other metadata, or title
    and text parted elsewhere), mended (as they were, of a stuck segment), deleted; repeated: rows read whose id another file owns;
    named: ids to delete by name that the index has."""
    unread: np.ndarray
    """int32: places of unchanged files that now own an id which was never indexed from them, or is in a stuck segment: they have to
    be read."""
    contested: np.ndarray
    """HASH: ids that were read and are to be deleted by name, ascending. They stay here; a second run, which does not read them,
    would delete them."""


def reconcile(old: np.ndarray, scanned: np.ndarray, rules: Rules) -> Reconciled:
    """Compare the newest version (ROW) with the files read now (SCANNED), both of the same partition."""
    claims = _claims(old, scanned, rules.moved)
    winners = _winners(claims, rules)
    won = claims[winners]
    live = np.flatnonzero(old["segment"] >= 0)
    holders = _find(old["id"], live, won["id"])
    held = np.append(old, np.zeros(1, ROW))[holders]  # of a holder -1, the zeros at the end
    read, fresh = (claims["unit"] >= 0) & (claims["row"] != REPEATED), won["unit"] >= 0
    stuck = (holders >= 0) & np.isin(held["segment"], rules.stuck)
    unread = ~fresh & (stuck | (won["segment"] == SHADOW))
    alike = fresh & (holders >= 0) & _equal(held, won, "content", "embedding", "metadata")
    same, mended = alike & ~stuck, alike & stuck
    kept, wanted = same | (~fresh & ~unread), fresh & ~same
    stays = np.zeros(len(old), bool)
    stays[holders[kept]] = True
    going = live[~stays[live]]
    lost = going[_find(won["id"], np.arange(len(won)), old["id"][going]) < 0]
    restated = wanted & ~mended & _equal(held, won, "embedding")
    counts = {
        "unchanged": int(kept.sum()),
        "unread": int((kept & ~fresh).sum()),
        "added": int((wanted & (holders < 0)).sum()),
        "edited": int((wanted & (holders >= 0) & ~restated & ~mended).sum()),
        "restated": int(restated.sum()),
        "mended": int(mended.sum()),
        "deleted": len(lost),
        "repeated": _count_records(claims[read], rules) - _count_records(won[fresh], rules),
        "named": int(np.isin(np.unique(_records(rules.doomed, rules)), _records(old["id"][live], rules)).sum()),
    }
    return Reconciled(
        np.concatenate([_owned(won, held, kept), _owned(won, held, wanted, PENDING), _shadows(claims, winners)]),
        _pick(won[wanted], WANTED),
        np.stack([old["segment"][going], old["row"][going]], axis=1),
        np.concatenate([_touched(won["id"][wanted], held["content"][wanted]), _touched(old["id"][lost], old["content"][lost])]),
        counts,
        np.unique(won["file"][unread]),
        np.unique(claims["id"][read][np.isin(_records(claims["id"][read], rules), _records(rules.doomed, rules))]),
    )


def _claims(old: np.ndarray, scanned: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Who says to have which id: first the rows of `old`, by the new places of their files, then those of `scanned`."""
    claims = np.zeros(len(old) + len(scanned), _CLAIM)
    for name in ROW.names or ():
        claims[name][: len(old)] = old[name]
    for name in SCANNED.names or ():
        claims[name][len(old) :] = scanned[name]
    claims["file"][: len(old)] = moved[old["file"]]
    claims["unit"][: len(old)] = -1
    claims["segment"][len(old) :] = SHADOW
    return claims


def _winners(claims: np.ndarray, rules: Rules) -> np.ndarray:
    """Positions of the claims that own their ids, ascending by id."""
    fresh = (claims["unit"] >= 0) & (claims["row"] != REPEATED)
    records = _records(claims["id"], rules)
    if rules.upsert:
        able = fresh | ((claims["segment"] != SHADOW) & ~np.isin(records, _records(rules.doomed, rules)))
        rank = ~fresh
    else:
        able, rank = (claims["file"] >= 0) & (fresh | (claims["unit"] < 0)), np.zeros(len(claims), bool)
    places = np.flatnonzero(able)
    order = places[np.lexsort([column[places] for column in (claims["row"], claims["unit"], claims["file"], rank, records)])]
    first = _firsts(records[order])
    if not rules.cut:
        return order[first]
    leader = order[first][np.cumsum(first) - 1]  # of each claim, the first of its document: all passages come from where that one does
    order = order[np.logical_and.reduce([column[order] == column[leader] for column in (rank, claims["file"], claims["unit"])])]
    return order[np.argsort(claims["id"][order], kind="stable")]


def _records(ids: np.ndarray, rules: Rules) -> np.ndarray:
    """What is owned as one: passages, or the documents that they were cut from."""
    return documents_of(ids) if rules.cut else ids


def _count_records(claims: np.ndarray, rules: Rules) -> int:
    """Rows of the input that fresh claims come from."""
    if not rules.cut:
        return len(claims)
    return len(np.unique(np.rec.fromarrays([_records(claims["id"], rules), claims["file"], claims["unit"]])))


def _shadows(claims: np.ndarray, winners: np.ndarray) -> np.ndarray:
    """One row for each id and file whose claim did not win."""
    loses = np.ones(len(claims), bool)
    loses[winners] = False
    places = np.flatnonzero(claims["file"] >= 0)
    order = places[np.lexsort([column[places] for column in (loses, claims["file"], claims["id"])])]
    first = order[_firsts(claims["id"][order]) | _firsts(claims["file"][order])]
    rows = _pick(claims[first[loses[first]]], ROW)
    rows["segment"], rows["row"] = SHADOW, 0
    return rows


def _owned(won: np.ndarray, held: np.ndarray, chosen: np.ndarray, segment: int | None = None) -> np.ndarray:
    """The rows of chosen winners: where the index holds them, or all in `segment`."""
    rows = _pick(won[chosen], ROW)
    rows["segment"], rows["row"] = (held["segment"][chosen], held["row"][chosen]) if segment is None else (segment, 0)
    return rows


def _touched(ids: np.ndarray, before: np.ndarray) -> np.ndarray:
    rows = np.zeros(len(ids), TOUCHED)
    rows["id"], rows["before"] = ids, before
    return rows


def _pick(rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The fields of `dtype`, by name."""
    picked = np.zeros(len(rows), dtype)
    for name in dtype.names or ():
        picked[name] = rows[name]
    return picked


def _find(ids: np.ndarray, places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """int64 [n]: which of `places` holds each wanted id, -1 for none."""
    if not len(places):
        return np.full(len(wanted), -1)
    ordered = places[np.argsort(ids[places], kind="stable")]
    found = ordered[np.minimum(np.searchsorted(ids[ordered], wanted), len(ordered) - 1)]
    return np.where(ids[found] == wanted, found, -1)


def _equal(one: np.ndarray, other: np.ndarray, *fields: str) -> np.ndarray:
    return np.logical_and.reduce([one[field] == other[field] for field in fields])


def _firsts(ordered: np.ndarray) -> np.ndarray:
    """Whether each value differs from the one before it."""
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return first
