"""A corpus that changes at random, followed through its hashes alone, against a plain dict that is built anew at every step."""

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from actors.catalogue.hashing import hash_texts, partition_of
from actors.catalogue.partitions import settle_rows
from actors.catalogue.reconciling import Reconciled, Rules, reconcile
from actors.catalogue.rows import LOCATED, PENDING, ROW, SCANNED
from actors.catalogue.sources import Sources, changed_files, moved_places, source_of, sources_after
from actors.corpus.listing import SourceFile

Passage = tuple[str, str]
"""Text and metadata."""
NO_IDS = hash_texts([])


@dataclass
class File:
    """A file of the made corpus; `tag` changes with its contents."""

    passages: list[tuple[str, Passage]]
    tag: int = 0


@dataclass
class World:
    """A corpus, the index that follows it, and the catalogue between them."""

    files: dict[str, File] = field(default_factory=dict)
    known: Sources = field(default_factory=lambda: Sources("", ()))
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, ROW))
    segments: list[list[tuple[str, Passage]]] = field(default_factory=list)
    deleted: set[tuple[int, int]] = field(default_factory=set)
    opened: list[str] = field(default_factory=list)

    def follow(self, upserted: dict[str, File] | None = None, doomed: tuple[str, ...] = (), stuck: tuple[int, ...] = ()) -> Reconciled:
        """One re-index: of all files, or of `upserted` ones; with the numbers of segments that are `stuck`."""
        corpus = self.files if upserted is None else upserted
        listed = [SourceFile(uri, "jsonl", "", 1, str(file.tag)) for uri, file in sorted(corpus.items())]
        after = sources_after(self.known, "map", listed, upserted is not None)
        todo, read = changed_files(self.known, "map", listed), dict[str, list[tuple[str, Passage]]]()
        while True:
            read |= {file.uri: corpus[file.uri].passages for file in todo}
            scanned = scan(read, after)
            moved = np.array(moved_places(self.known, after, read.keys()), np.int32)
            rules = Rules(moved, upserted is not None, hash_texts(doomed), np.array(stuck, np.int32))
            found = reconcile(self.rows, scanned, rules)
            unread = {after.files[place][0] for place in found.unread}
            if not unread:
                break
            assert not unread & read.keys()
            todo = [file for file in listed if file.uri in unread]
        self.opened = sorted(read)
        self._apply(found, list(read.values()))
        self.known = after
        return found

    def _apply(self, found: Reconciled, units: list[list[tuple[str, Passage]]]) -> None:
        removed = {(int(segment), int(row)) for segment, row in found.removed}
        assert not removed & self.deleted
        self.deleted |= removed
        new = [units[row["unit"]][row["row"]] for row in found.wanted]
        located = np.zeros(len(new), LOCATED)
        located["id"], located["segment"], located["row"] = hash_texts(i for i, _ in new), len(self.segments), np.arange(len(new))
        self.rows = settle_rows(found.rows, located, np.arange(len(self.segments), dtype=np.int32))
        self.segments.append(new)

    def index(self) -> dict[str, Passage]:
        """What a search would find."""
        live = [entry for s, segment in enumerate(self.segments) for r, entry in enumerate(segment) if (s, r) not in self.deleted]
        assert len(live) == len(dict(live)), "an id is in the index twice"
        return dict(live)

    def check_catalogue(self) -> None:
        """Every live passage is where the catalogue says, and nothing else is."""
        held = self.rows[self.rows["segment"] >= 0]
        places = {(int(row["segment"]), int(row["row"])) for row in held}
        assert len(places) == len(held) == len(self.index())
        ids = hash_texts(self.segments[row["segment"]][row["row"]][0] for row in held)
        assert (ids == held["id"]).all()


def scan(read: dict[str, list[tuple[str, Passage]]], after: Sources) -> np.ndarray:
    parts = [np.zeros(0, SCANNED)]
    for unit, (uri, passages) in enumerate(read.items()):
        rows = np.zeros(len(passages), SCANNED)
        rows["id"] = hash_texts(i for i, _ in passages)
        rows["content"] = hash_texts(f"{i} {text}" for i, (text, _) in passages)
        rows["embedding"] = hash_texts(text for _, (text, _) in passages)
        rows["metadata"] = hash_texts(metadata for _, (_, metadata) in passages)
        rows["file"], rows["unit"], rows["row"] = after.positions()[uri], unit, np.arange(len(rows))
        parts.append(rows)
    return np.concatenate(parts)


def whole(files: dict[str, File]) -> dict[str, Passage]:
    """The index of all files built anew: an id belongs to the first row that has it."""
    built: dict[str, Passage] = {}
    for _, file in sorted(files.items()):
        for name, passage in file.passages:
            built.setdefault(name, passage)
    return built


def in_several(files: dict[str, File]) -> set[str]:
    names = [name for file in files.values() for name, _ in file.passages]
    return {name for name in names if names.count(name) > 1}


def world_of(**files: dict[str, str]) -> World:
    world = World({uri: File([(name, (text, "{}")) for name, text in passages.items()]) for uri, passages in files.items()})
    world.follow()
    return world


def edit(world: World, uri: str, **passages: str) -> None:
    world.files[uri] = File(
        [(name, (text, "{}")) for name, text in passages.items()], world.files[uri].tag + 1 if uri in world.files else 0
    )


def random_file(rng: random.Random, tag: int) -> File:
    names = rng.sample([f"d{i}" for i in range(30)], rng.randint(0, 8))
    return File([(name, (f"text {rng.randint(0, 5)}", f"{{{rng.randint(0, 1)}}}")) for name in names], tag)


@pytest.mark.parametrize("seed", range(12))
def test_thirty_random_changes_leave_the_index_that_a_rebuild_would_make(seed):
    rng, world = random.Random(seed), World()
    for step in range(30):
        tags, repeated = {uri: file.tag for uri, file in world.files.items()}, in_several(world.files)
        for _ in range(rng.randint(0, 3)):
            uri = f"f{rng.randint(0, 6)}"
            action = rng.choice(["write", "write", "remove", "move"])
            if action == "write":
                world.files[uri] = random_file(rng, step)
            elif action == "remove":
                world.files.pop(uri, None)
            elif uri in world.files:
                other = f"f{rng.randint(0, 6)}"
                world.files[other] = File(world.files.pop(uri).passages, step)
        before = world.index()
        found = world.follow()
        expected = whole(world.files)
        assert world.index() == expected
        world.check_catalogue()
        changed = {name for name, passage in expected.items() if before.get(name) != passage}
        assert len(found.wanted) == len(changed), "exactly what is new or different is taken in"
        same = [uri for uri in world.opened if tags.get(uri) == world.files[uri].tag]
        assert all(repeated & dict(world.files[uri].passages).keys() for uri in same), "opened for an id whose owner is gone, or not at all"


@pytest.mark.parametrize("seed", range(6))
def test_upserts_change_what_they_name_and_a_snapshot_after_them_is_the_truth_again(seed):
    rng, world = random.Random(seed), World({f"f{i}": random_file(random.Random(100 * seed + i), 0) for i in range(4)})
    world.follow()
    state = world.index()
    for step in range(8):
        batch = {f"u{rng.randint(0, 2)}": random_file(rng, step)}
        doomed = tuple(rng.sample(sorted(state), min(2, len(state))))
        world.follow(batch, doomed)
        fresh = whole(batch)
        state = {name: passage for name, passage in state.items() if name not in doomed} | fresh
        assert world.index() == state
        world.check_catalogue()
        if rng.random() < 0.4:
            world.follow()
            state = whole(world.files)
            assert world.index() == state
            world.check_catalogue()


def test_a_file_that_did_not_change_is_not_opened():
    world = world_of(a={"1": "one"}, b={"2": "two"})
    edit(world, "a", **{"1": "uno"})
    found = world.follow()
    assert world.opened == ["a"] and found.counts["edited"] == 1 and found.counts["unread"] == 1


def test_a_passage_that_moves_to_another_file_stays_as_it_is_and_goes_with_that_file():
    world = world_of(a={"1": "one", "2": "two"}, b={"3": "three"})
    edit(world, "a", **{"2": "two"})
    edit(world, "b", **{"3": "three", "1": "one"})
    found = world.follow()
    assert len(found.wanted) == len(found.removed) == 0
    edit(world, "b", **{"3": "three"})
    world.follow()
    assert set(world.index()) == {"2", "3"} and world.opened == ["b"]


def test_an_id_in_two_files_belongs_to_the_first_and_comes_back_from_the_second_when_that_goes():
    world = world_of(a={"1": "first"}, b={"1": "second", "2": "two"})
    assert world.index()["1"][0] == "first"
    edit(world, "a", **{"9": "other"})
    world.follow()
    assert world.index()["1"][0] == "second" and world.opened == ["a", "b"]


def test_other_metadata_is_told_from_another_text():
    world = world_of(a={"1": "one", "2": "two", "3": "three"})
    world.files["a"] = File([("1", ("one", "{1}")), ("2", ("zwei", "{}")), ("4", ("four", "{}"))], 1)
    counts = world.follow().counts
    assert (counts["restated"], counts["edited"], counts["added"], counts["deleted"], counts["unchanged"]) == (1, 1, 1, 1, 0)


def test_what_a_stuck_segment_holds_is_read_and_taken_in_again_and_no_more():
    world = world_of(a={"1": "one", "2": "two"}, b={"3": "three"})
    edit(world, "a", **{"1": "uno", "2": "two"})
    edit(world, "c", **{"4": "four"})
    world.follow()
    before = world.index()
    found = world.follow(stuck=(1,))
    assert world.opened == ["a", "c"] and world.index() == before
    assert found.counts["mended"] == 2 and found.counts["unchanged"] == 2
    assert sorted(map(tuple, found.removed)) == [(1, 0), (1, 1)]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_stays_in_a_stuck_segment_whatever_came_before(seed):
    rng, world = random.Random(seed), World()
    for step in range(8):
        world.files[f"f{rng.randint(0, 4)}"] = random_file(rng, step)
        world.follow()
    before, stuck = world.index(), tuple(rng.sample(range(8), 4))
    held = int(np.isin(world.rows["segment"], stuck).sum())
    found = world.follow(stuck=stuck)
    assert world.index() == before and len(found.wanted) == found.counts["mended"] == held > 0
    assert not np.isin(world.rows["segment"], stuck).any()
    world.check_catalogue()


def test_partitions_reconciled_apart_say_what_they_say_together():
    rng = random.Random(5)
    world = World({f"f{i}": random_file(rng, 0) for i in range(7)})
    world.follow()
    for uri in ("f1", "f3"):
        world.files[uri] = random_file(rng, 1)
    listed = [SourceFile(uri, "jsonl", "", 1, str(file.tag)) for uri, file in sorted(world.files.items())]
    after = Sources("map", tuple(map(source_of, listed)))
    read = {uri: world.files[uri].passages for uri in ("f1", "f3")}
    rules = Rules(np.array(moved_places(world.known, after, read.keys()), np.int32), False, NO_IDS)
    scanned = scan(read, after)
    together = reconcile(world.rows, scanned, rules)
    apart = [
        reconcile(world.rows[partition_of(world.rows["id"], 4) == part], scanned[partition_of(scanned["id"], 4) == part], rules)
        for part in range(4)
    ]
    assert sum(len(part.wanted) > 0 for part in apart) > 1
    for name in ("rows", "wanted", "touched"):
        assert sorted(np.concatenate([getattr(part, name) for part in apart]).tolist()) == sorted(getattr(together, name).tolist())
    assert sum(part.counts["unchanged"] for part in apart) == together.counts["unchanged"]


def test_a_pending_passage_that_was_rejected_when_it_was_embedded_leaves_the_catalogue():
    rows = np.zeros(2, ROW)
    rows["id"], rows["segment"] = hash_texts(["kept", "poison"]), PENDING
    located = np.zeros(1, LOCATED)
    located["id"], located["segment"], located["row"] = hash_texts(["kept"]), 3, 7
    settled = settle_rows(rows, located, np.zeros(0, np.int32))
    assert settled[["segment", "row"]].tolist() == [(3, 7)] and (settled["id"] == hash_texts(["kept"])).all()
