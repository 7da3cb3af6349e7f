"""A corpus that changes, and the index that follows it: real Ray, real model, real FAISS, on the disk."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.index.kinds import IndexPlan
from actors.retrieval import Retrieval
from actors.searcher import Searcher
from actors.storage.local_store import LocalStore
from actors.storage.manifests import newest_version, read_version, version_numbers
from configs.errors import UserError
from configs.load import build_config
from configs.schema import Config, SearchConfig
from pipelines import run
from pipelines.cli import app, guarded
from pipelines.outcome import Outcome
from pipelines.preview import preview
from pipelines.reindex import reindex
from pipelines.verify import verify
from pipelines.versions import difference_lines, rollback
from tests.jobs import indexed_ids, indexed_texts, make_corpus, tiny_settings, tokens_of, write_config

pytestmark = pytest.mark.cluster
FILES, ROWS = 6, 60
IVF = {"kind": "ivf_flat", "nlist": 8, "nprobe": 8}
PQ = {**IVF, "kind": "ivf_pq", "pq_bytes": 8}


class Corpus:
    """Six Parquet files that a test may change: what it changes is undone after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}

    def rows(self, number: int) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / f"{number}.parquet").to_pylist()

    def write(self, number: int, rows: list[dict[str, Any]]) -> None:
        pq.write_table(pa.Table.from_pylist(rows), self.folder / f"{number}.parquet", row_group_size=100)

    def spoil(self, number: int) -> None:
        """Other bytes under the same size and time: whoever opens the file fails."""
        path = self.folder / f"{number}.parquet"
        status = path.stat()
        path.write_bytes(b"x" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def restore(self, but: int | None = None) -> None:
        for path in set(self.folder.iterdir()) - self._saved.keys():
            path.unlink()
        for path, (data, modified) in self._saved.items():
            if path.stem != str(but):
                path.write_bytes(data)
                os.utime(path, ns=(modified, modified))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder, FILES * ROWS, queries=8)
    rows = pq.read_table(folder / "corpus.parquet").to_pylist()
    (folder / "corpus").mkdir()
    for number in range(FILES):
        table = pa.Table.from_pylist(rows[number * ROWS : (number + 1) * ROWS])
        pq.write_table(table, folder / "corpus" / f"{number}.parquet", row_group_size=100)
    return folder


@pytest.fixture
def corpus(inputs: Path) -> Iterator[Corpus]:
    files = Corpus(inputs / "corpus")
    yield files
    files.restore()


def settings(inputs: Path, store: Path, queries: bool = False, **sections: Any) -> dict[str, Any]:
    """Flat, three full segments; without queries nothing is searched, so that no test pays for it that does not look at it."""
    corpus = {"path": str(inputs / "corpus"), "columns": {"metadata": ["year"]}}
    index = {"segment_rows": 120, **sections.pop("index", {})}
    asked = {"search": {"top_k": 50}} if queries else {"queries": None}
    return tiny_settings(inputs, store, **{"corpus": corpus, "index": index, "rerank": None, **asked, **sections})


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Path:
    store = tmp_path_factory.mktemp("store")
    run(configured(inputs, store))
    return store


def configured(inputs: Path, store: Path, **sections: Any) -> Config:
    return build_config(settings(inputs, store, **sections), "test")


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of the store with version 1, to go on from."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


def objects(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file() and ".scratch" not in path.parts}


def embedded(store: Path) -> dict[str, float]:
    """Unit of vectors -> tokens embedded in it."""
    records = [json.loads(path.read_text()) for path in store.glob("vectors/*/commits/*.json")]
    return {record["unit"]: record["counts"].get("tokens", 0) for record in records}


def live(store: Path) -> dict[str, str]:
    """Id -> text of the newest version."""
    return indexed_texts(LocalStore(store))


def hits(store: Path) -> tuple[list[list[str]], bytes]:
    """Ids and score bits that 20 made queries find in the newest version, through the worker that every search uses."""
    objects_ = LocalStore(store)
    newest = newest_version(objects_)
    assert newest is not None
    retrieval = Retrieval(IndexPlan(**newest.index["plan"]), SearchConfig())
    searcher = Searcher(objects_, dict(enumerate(newest.segments)), retrieval, newest.deletions, 1)
    queries = np.random.default_rng(0).standard_normal((20, retrieval.plan.dimension)).astype(np.float32)
    found = searcher.search({"dense": queries}, 50)["dense"]
    return found.ids.tolist(), found.scores.tobytes()


def test_only_what_changed_is_read_and_embedded_and_the_rankings_are_those_of_a_rebuilt_index(inputs, corpus, store, tmp_path):
    config = configured(inputs, store, queries=True)
    rows = corpus.rows(1)
    rows[3]["text"] = "a panda that nobody has heard of"
    rows[4]["year"] = 2020
    rows[5]["_id"] = "renamed"
    del rows[7:9]
    rows += [{"_id": f"twin{i}", "text": "two new passages with the same text", "year": i} for i in range(2)]
    corpus.write(1, rows)
    for number in (0, 2, 3, 4, 5):
        corpus.spoil(number)

    before, units = objects(store), embedded(store)
    planned = preview(config)
    assert objects(store) == before, "a dry run writes nothing"
    new = tokens_of(config, ["a panda that nobody has heard of", "two new passages with the same text"])
    assert "3 added, 1 edited, 1 restated, 3 deleted, 355 unchanged." in planned
    assert "1 of 6 files read, 60 rows." in planned
    assert f"2 texts to embed, {new} tokens; 3 passages find their vectors." in planned
    assert "1 segments to write, 0 of version 1 replaced." in planned

    done = reindex(config)
    assert done.manifest.version == 2 and done.manifest.rows == 360 and done.tokens == new
    assert done.delta is not None and (done.delta.built, done.delta.replaced) == (1, 0)
    assert sum(tokens for unit, tokens in embedded(store).items() if unit not in units) == new, "tokens embedded / tokens changed = 1.00"
    first = read_version(LocalStore(store), 1)
    assert [entry.segment for entry in done.manifest.segments[:3]] == [entry.segment for entry in first.segments]
    assert done.verdict is not None and done.verdict.after["ndcg_at_10"] > 0 and done.verdict.faults == ()
    assert verify(config).faults == ()

    again = reindex(config)
    assert again.lines() == ["Nothing changed: version 2 holds the corpus, 360 passages in 4 segments."]

    corpus.restore(but=1)
    assert run(config).document["version"] == 2, "a run takes the version that is up to date"
    assert version_numbers(LocalStore(store)) == [1, 2]
    run(configured(inputs, tmp_path / "rebuilt"))
    assert hits(store) == hits(tmp_path / "rebuilt")
    assert live(store) == live(tmp_path / "rebuilt")


def test_a_snapshot_that_lost_much_stops_the_run_and_leaves_everything_as_it_was(inputs, corpus, store):
    config = configured(inputs, store)
    for number in (0, 1):
        (corpus.folder / f"{number}.parquet").unlink()
    with pytest.raises(UserError, match=r"The corpus lacks 120 of the 360 passages of version 1 \(33.3%, .* allows 20.0%\)"):
        reindex(config)
    corpus.write(0, [])
    with pytest.raises(UserError, match="lacks 120 of the 360"):
        reindex(config)
    for number in range(FILES):
        (corpus.folder / f"{number}.parquet").unlink(missing_ok=True)
    with pytest.raises(UserError, match="is an empty folder"):
        reindex(config)
    assert version_numbers(LocalStore(store)) == [1]


def test_holes_and_small_segments_are_merged_from_stored_vectors_with_the_same_hits(inputs, corpus, store):
    for number in (0, 3):
        corpus.write(number, corpus.rows(number)[20:])
    loose = reindex(configured(inputs, store, reindex={"hollow_share": 1.0}))
    assert loose.manifest.rows == 320 and sum(map(len, loose.manifest.deletions.values())) == 40
    config = configured(inputs, store, reindex={"hollow_share": 0.1})
    before, units = hits(store), embedded(store)
    merged = reindex(config)
    assert merged.manifest.version == 3 and merged.manifest.deletions == {} and merged.delta is not None
    assert (merged.delta.replaced, merged.delta.built, merged.tokens) == (2, 2, 0) and embedded(store) == units
    assert hits(store) == before
    assert verify(config).faults == ()


@pytest.mark.parametrize("index", [{}, PQ], ids=["flat", "ivf_pq"])
def test_small_segments_are_merged_when_there_are_many_with_the_same_hits(index, inputs, corpus, store):
    kept: dict[str, Any] = {"max_recall_drop": 1, "max_drift": 100}
    kind: dict[str, Any] = {"index": index, "reindex": kept}
    if index:
        reindex(configured(inputs, store, **kind))
    for number in range(2):
        rows = [{"_id": f"new{number}{i}", "text": f"panda {number} of {i} bears", "year": i} for i in range(5)]
        corpus.write(number, corpus.rows(number) + rows)
        loose = reindex(configured(inputs, store, **kind))
    before, units, parent = hits(store), embedded(store), len(loose.manifest.segments)
    assert parent == 5 and loose.manifest.rows == 370
    config = configured(inputs, store, index=index, reindex={**kept, "small_segments": 1})
    assert "1 segments to write, 2 of version" in preview(config)[-2]
    merged = reindex(config)
    assert merged.delta is not None and (merged.delta.built, merged.delta.replaced, merged.tokens) == (1, 2, 0)
    assert len(merged.manifest.segments) == 4 and embedded(store) == units
    assert hits(store) == before
    assert verify(config).faults == ()


def test_a_corpus_that_doubles_gets_its_index_planned_anew(inputs, corpus, store):
    kind: dict[str, Any] = {"index": IVF, "reindex": {"max_recall_drop": 1}}
    reindex(configured(inputs, store, **kind))
    for number in range(FILES):
        rows = corpus.rows(number)
        more = [("second", row) for row in rows] + [("third", row) for row in rows[:5]]
        corpus.write(number, rows + [{**row, "_id": f"{word}-{row['_id']}", "text": f"{word} {row['text']}"} for word, row in more])
    done = reindex(configured(inputs, store, **kind))
    assert done.delta is not None and done.delta.retrained == "the corpus went from 360 to 750 passages since it was planned"
    assert verify(configured(inputs, store)).faults == ()


def test_an_upsert_changes_what_it_names_and_a_snapshot_makes_the_files_the_truth_again(inputs, corpus, store, tmp_path, monkeypatch):
    """Here the hashes are compared in eight partitions, as those of sixteen million passages would be."""
    monkeypatch.setattr("actors.catalogue.hashing.PARTITION_ROWS", 50)
    texts = live(store)
    known = texts["p00100"]
    upserts = [{"_id": "p00000", "text": known, "year": 1}, {"_id": "added", "text": known, "year": 2}]
    pq.write_table(pa.Table.from_pylist(upserts), tmp_path / "batch.parquet")
    (tmp_path / "gone.txt").write_text("\ufeffp00001\np00002\n\nunheard of\n")
    section = {"mode": "upsert", "deletions": str(tmp_path / "gone.txt")}
    batch = configured(inputs, store, reindex=section)
    batch = batch.model_copy(update={"corpus": batch.corpus.model_copy(update={"path": (str(tmp_path / "batch.parquet"),)})})
    done = reindex(batch)
    assert done.counts["named"] == 2
    expected = {name: text for name, text in texts.items() if name not in ("p00001", "p00002")} | {"p00000": known, "added": known}
    assert live(store) == expected and done.tokens == 0 and done.recalled == 2
    assert reindex(batch).manifest.version == done.manifest.version, "the same again changes nothing"
    back = reindex(configured(inputs, store))
    assert live(store) == texts and back.tokens == 0
    assert verify(configured(inputs, store)).faults == ()


def test_an_upsert_that_brings_what_it_deletes_is_refused(inputs, corpus, store, tmp_path):
    pq.write_table(pa.Table.from_pylist([{"_id": "p00003", "text": "new", "year": 1}]), tmp_path / "batch.parquet")
    (tmp_path / "gone.txt").write_text("p00001\np00003\n")
    batch = configured(inputs, store, reindex={"mode": "upsert", "deletions": str(tmp_path / "gone.txt")})
    batch = batch.model_copy(update={"corpus": batch.corpus.model_copy(update={"path": (str(tmp_path / "batch.parquet"),)})})
    before = live(store)
    (tmp_path / "latin.txt").write_bytes(b"p\xe9\n")
    with pytest.raises(UserError, match=r"latin\.txt is not UTF-8 \(byte 1\)"):
        reindex(configured(inputs, store, reindex={"mode": "upsert", "deletions": str(tmp_path / "latin.txt")}))
    with pytest.raises(UserError, match=r"p00003 of .*gone\.txt stand in the files to upsert too"):
        reindex(batch)
    assert live(store) == before


def test_deletions_by_name_are_for_upserts(inputs, corpus, store, tmp_path):
    (tmp_path / "gone.txt").write_text("p00001\n")
    with pytest.raises(UserError, match="in a snapshot, what is missing in the corpus is deleted"):
        reindex(configured(inputs, store, reindex={"deletions": str(tmp_path / "gone.txt")}))


def test_another_index_is_built_from_the_stored_vectors_and_published_only_if_it_is_good_enough(inputs, corpus, store):
    units = embedded(store)
    bad = configured(inputs, store, index={**IVF, "nlist": 24, "nprobe": 1, "recall_queries": 40})
    with pytest.raises(UserError, match=r"The new version was not published: recall_at_100 fell from 1.0000 to 0\.\d+, by more than 0.01"):
        reindex(bad)
    (report,) = (json.loads(path.read_text()) for path in store.glob("runs/*/reindex/unpublished.json"))
    assert report["gate"]["faults"] and report["manifest"]["index"]["plan"]["factory"] == "IVF24,Flat"
    assert version_numbers(LocalStore(store)) == [1]
    good = reindex(configured(inputs, store, index=IVF))
    assert good.manifest.version == 2 and good.manifest.index["plan"]["factory"] == "IVF8,Flat" and good.delta is not None
    assert good.delta.retrained == "the index is IVF8,Flat in place of Flat" and embedded(store) == units
    narrower = reindex(configured(inputs, store, index={**IVF, "nprobe": 5}, reindex={"max_recall_drop": 1}))
    assert narrower.delta is not None and narrower.delta.built == 0, "another nprobe is another way to search the same segments"
    recalls = [entry.details["recall"] for entry in narrower.manifest.segments]
    assert max(recalls) < 1, "and its recall is measured as it will be searched"


def test_a_version_that_answers_the_judged_queries_worse_stays_unpublished(inputs, corpus, store):
    judged = {line.split("\t")[1] for line in (inputs / "qrels.tsv").read_text().splitlines()[1:]}
    for number in range(FILES):
        rows = corpus.rows(number)
        corpus.write(number, [{**row, "text": "nothing of use"} if row["_id"] in judged else row for row in rows])
    config = configured(inputs, store, queries=True)
    with pytest.raises(UserError, match=r"not published: ndcg_at_10 fell from 0\.\d+ to 0\.\d+, by more than 0.01"):
        reindex(config)
    assert version_numbers(LocalStore(store)) == [1]
    (report,) = (json.loads(path.read_text()) for path in store.glob("runs/*/reindex/unpublished.json"))
    assert report["gate"]["before"]["ndcg_at_10"] > report["gate"]["after"]["ndcg_at_10"] and report["counts"]["edited"] == len(judged)


def test_a_corpus_that_drifts_from_its_centroids_gets_new_ones(inputs, corpus, store):
    config = configured(inputs, store, index=IVF, reindex={"max_drift": 0.02, "max_recall_drop": 1})
    first = reindex(config)
    corpus.write(6, [{"_id": f"odd{i}", "text": f"{i} ! ? {'zx ' * (i % 7)}", "year": 1} for i in range(60)])
    second = reindex(config)
    assert second.delta is not None and "farther from their centroids than at training" in second.delta.retrained
    assert second.manifest.index["template"] != first.manifest.index["template"] and second.manifest.rows == 420
    assert not {e.segment for e in first.manifest.segments} & {e.segment for e in second.manifest.segments}
    assert any("Trained anew" in line for line in second.lines())


def test_going_back_is_a_new_version_that_answers_as_the_old_one_did(inputs, corpus, store):
    config, before = configured(inputs, store), hits(store)
    corpus.write(0, corpus.rows(0)[1:])
    reindex(config)
    assert list(difference_lines(config, 1, 2))[:2] == ["0 added", "1 removed, such as p00000"]
    back = rollback(config, 1)
    assert (back.version, back.parent, back.rows) == (3, 2, 360)
    assert hits(store) == before
    assert reindex(config).manifest.rows == 359, "and the next re-index goes on from there"


def test_a_store_on_s3_is_followed_rolled_back_swept_and_verified_as_one_on_disk(inputs, corpus, store, s3_environment, tmp_path, capsys):
    corpus.write(0, [{**row, "text": "another text"} if row["_id"] == "p00001" else row for row in corpus.rows(0)][:-1])
    client = s3_environment.client()
    for bucket, folder in (("corpus", corpus.folder), ("store", store)):
        for key, data in objects(folder).items():
            client.put_object(Bucket=bucket, Key=f"followed/{key}", Body=data)
    made = {**settings(inputs, store), "store": {"uri": "s3://store/followed"}}
    made["corpus"]["path"] = "s3://corpus/followed"
    path, config = str(write_config(tmp_path / "s3.yaml", made)), build_config(made, "test")

    def told(*arguments: str) -> str:
        status, shown = guarded(lambda: app(list(arguments))), capsys.readouterr()
        assert status == 0 and s3_environment.secret_key not in shown.out + shown.err, shown.err
        return shown.out

    assert "0 added, 1 edited, 0 restated, 1 deleted" in told("reindex", path)
    ids = set(indexed_ids(config))
    assert len(ids) == 359 and "p00059" not in ids
    assert "Version 3 is the newest and equals version 1: 360 passages." in told("versions", "rollback", path, "1")
    assert "Deleted" in told("gc", path, "--keep", "1", "--older-than", "1s", "--delete")
    assert len(indexed_ids(config)) == 360
    assert "0 faults" in told("verify", path)


def test_another_embedding_is_built_beside_the_old_and_takes_over_with_its_manifest(inputs, corpus, store):
    config = configured(inputs, store, embed={"max_length": 16, "store_token_vectors": True})
    with pytest.raises(UserError, match="has no version with this embedding to upsert into"):
        reindex(configured(inputs, store, embed={"max_length": 16}, reindex={"mode": "upsert"}))
    old, done = read_version(LocalStore(store), 1), reindex(config)
    assert done.manifest.version == 2 and done.manifest.embedding["fingerprint"] != old.embedding["fingerprint"]
    assert verify(config, 1).faults == verify(config, 2).faults == ()
    back = reindex(configured(inputs, store))
    assert back.manifest.version == 3 and back.tokens == 0, "the old embedding is still there"
    rows = corpus.rows(1)
    rows[0]["text"] = "a panda that came while the other embedding was in use"
    corpus.write(1, [*rows[:-1], {**rows[-1], "text": " "}])
    (corpus.folder / "2.parquet").rename(corpus.folder / "7.parquet")
    planned = preview(config)
    assert planned[1].startswith("4 of 6 units are embedded already; the others hold about ")
    assert planned[2] == "Texts of these that other units have embedded get their vectors from there."
    again = reindex(config)
    assert again.manifest.version == 4 and again.recalled == 58 + 60, "of the files that changed meanwhile, one text is new"
    assert again.tokens == tokens_of(config, [rows[0]["text"]]) and again.counts["rejected"] == 1
    assert verify(config, 4).faults == () and live(store)["p00060"] == rows[0]["text"]
    for number in (0, 1, 7):
        (corpus.folder / f"{number}.parquet").unlink()
    with pytest.raises(UserError, match="The corpus lacks 179 of the 359 passages of version 4"):
        reindex(config)
    assert version_numbers(LocalStore(store)) == [1, 2, 3, 4]


def test_a_first_version_has_a_catalogue_so_that_the_next_reindex_reads_no_passage_of_it(inputs, corpus, tmp_path, local_ray):
    config = configured(inputs, tmp_path)
    rows, tokens = corpus.rows(1), tokens_of(config, pq.read_table(inputs / "corpus.parquet")["text"].to_pylist())
    (line,) = (line for line in preview(config) if "units are embedded already" in line)
    assert float(line.split("about ")[1].split(" tokens")[0].replace(",", "")) == pytest.approx(tokens, rel=0.2)
    corpus.write(1, [*rows, {**rows[0], "text": "the same id as a passage before it"}])
    assert reindex(config).counts["repeated"] == 1
    assert verify(config).faults == ()
    for path in tmp_path.glob("segments/data/*passages.arrow"):
        path.unlink()
    corpus.write(1, rows[1:])
    assert "1 deleted, 359 unchanged." in preview(config)[1]


def embedding_plans(store: Path) -> dict[Path, int]:
    """What runs have planned to embed, and when."""
    return {path: path.stat().st_mtime_ns for path in store.glob("runs/*/stages/embed.json.zst")}


def upsert_while(inputs: Path, store: Path, folder: Path, row: dict[str, Any], meanwhile: Callable[[], object]) -> Outcome:
    """An upsert of one new text; `meanwhile` is called when it has compared, and before it publishes."""
    pq.write_table(pa.Table.from_pylist([row]), folder / f"{row['_id']}.parquet")
    made = settings(inputs, store, reindex={"mode": "upsert"})
    made["corpus"]["path"] = str(folder / f"{row['_id']}.parquet")
    before = embedding_plans(store)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(reindex, build_config(made, "test"))
        while embedding_plans(store) == before and not working.done():
            time.sleep(0.01)
        meanwhile()
        return working.result()


def test_a_run_that_loses_its_race_goes_on_from_the_winner_unless_both_change_the_same_passage(inputs, corpus, store, tmp_path):
    config = configured(inputs, store)
    corpus.write(0, corpus.rows(0)[1:])
    assert reindex(config).manifest.version == 2
    row = {"_id": "late", "text": "a panda that came while another run published", "year": 1}
    done = upsert_while(inputs, store, tmp_path, row, lambda: rollback(config, 1))
    assert done.parent == 3 and done.manifest.version == 4, "version 3 is that of the rollback"
    assert {"late", "p00000"} <= live(store).keys() and done.manifest.rows == 361
    row = {"_id": "p00000", "text": "a panda that two runs want to change", "year": 1}
    with pytest.raises(UserError, match="1 of the passages to upsert were changed by another run after version 4: look at version 5"):
        upsert_while(inputs, store, tmp_path, row, lambda: rollback(config, 2))
    assert version_numbers(LocalStore(store)) == [1, 2, 3, 4, 5]
