"""Which files have to be read: those that are new, those that changed, and all of them when they are read in another way."""

from actors.catalogue.sources import Sources, changed_files, load_sources, moved_places, save_sources, source_of, sources_after
from actors.corpus.listing import SourceFile


def file(name: str, etag: str = "1", size: int = 10) -> SourceFile:
    return SourceFile(f"s3://corpus/{name}", "parquet", "", size, etag)


def known(*files: SourceFile, mapping: str = "map") -> Sources:
    return Sources(mapping, tuple(map(source_of, files)))


def test_only_new_and_changed_files_are_read():
    before = known(file("a"), file("b"), file("c"))
    now = [file("a"), file("b", etag="2"), file("c", size=11), file("d")]
    assert changed_files(before, "map", now) == now[1:]


def test_another_mapping_reads_all_files_again():
    assert changed_files(known(file("a")), "other columns", [file("a")]) == [file("a")]


def test_a_snapshot_knows_its_own_files_only_and_an_upsert_adds_to_those_known():
    before = known(file("a"), file("b"))
    assert sources_after(before, "map", [file("a")], upsert=False) == known(file("a"))
    assert sources_after(before, "map", [file("a", "2"), file("c")], upsert=True) == known(file("a", "2"), file("b"), file("c"))


def test_files_upserted_by_another_mapping_will_be_read_again_by_a_snapshot():
    after = sources_after(known(file("a")), "other", [file("u")], upsert=True)
    assert after.mapping == "map" and changed_files(after, "map", [file("a"), file("u")]) == [file("u")]


def test_places_follow_a_file_and_lose_what_changed_or_was_read():
    before, after = known(file("b"), file("c"), file("d"), file("e")), known(file("a"), file("b"), file("c", "2"), file("e"))
    assert moved_places(before, after, {"s3://corpus/e"}) == [1, -1, -1, -1, -1]


def test_sources_come_back_from_the_store_and_equal_ones_are_one_object(made):
    sources = known(file("a"), file("ü b"))
    stored = save_sources(made.store, sources)
    assert load_sources(made.store, stored) == sources and save_sources(made.store, sources) == stored
    assert load_sources(made.store, None) == Sources("", ())
