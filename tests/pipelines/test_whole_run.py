"""The main job end to end: real Ray, real models, real FAISS, local disk and S3."""

import json
import random
import re
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from actors.models import load_reranker
from actors.storage.manifests import newest_version
from actors.storage.objects import open_store
from configs.load import load_config
from pipelines import run
from pipelines.cli import app, guarded
from pipelines.job import open_job, run_name
from pipelines.searchers import resident_searchers
from tests.jobs import indexed_ids, make_corpus, read_rankings, tiny_config, tiny_settings, write_config

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the runs that need no empty one: what is embedded once serves all of them."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def finished(inputs: Path, store: Path, local_ray: None):
    """One whole run that several tests look at: (config, report)."""
    config = tiny_config(inputs, store)
    return config, run(config)


@pytest.fixture(scope="module")
def spread(inputs: Path, store: Path, finished):
    """The same run with a searcher for every segment, pools that grow, and candidates that are kept."""
    pool = {"min_size": 1, "max_size": 3}
    search = {"searchers": 3, "keep_candidates": True, "workers": pool}
    config = tiny_config(inputs, store, name="spread", search=search, rerank={"workers": pool})
    return config, run(config)


def committed(config, folder: str) -> list[dict]:
    """All rows that a stage of the run committed, read as another tool would."""
    store = open_store(config.store, config.s3)
    records = [json.loads(store.get(item.key)) for item in store.list(f"runs/{run_name(config)}/{folder}/commits/")]
    return [row for each in records for row in pq.read_table(pa.BufferReader(store.get(each["files"]["data"]["key"]))).to_pylist()]


def test_every_query_gets_top_k_candidates_with_both_scores_both_ranks_and_metadata(finished):
    config, _ = finished
    rows = read_rankings(config)
    by_query: dict[str, list[dict]] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    assert len(by_query) == 24 and all(len(found) == 20 for found in by_query.values())
    for found in by_query.values():
        assert [row["rank"] for row in found] == list(range(1, 21))
        assert sorted(row["retrieval_rank"] for row in found) == list(range(1, 21))
        assert [row["rerank_score"] for row in found] == sorted((row["rerank_score"] for row in found), reverse=True)
        by_retrieval = sorted(found, key=lambda row: row["retrieval_rank"])
        assert [row["retrieval_score"] for row in by_retrieval] == sorted((row["retrieval_score"] for row in found), reverse=True)
        assert all(json.loads(row["metadata"])["year"] == 1900 + int(row["passage_id"][1:]) % 100 for row in found)


def test_every_passage_is_in_the_index_once(finished):
    config, _ = finished
    assert sorted(indexed_ids(config)) == [f"p{i:05d}" for i in range(600)]


def test_the_report_holds_the_measures_before_and_after_and_is_stored(finished):
    config, report = finished
    for ranked in ("retrieved", "reranked"):
        assert 0 <= report.metrics[ranked]["ndcg_at_10"] <= 1 and 0 < report.metrics[ranked]["recall_at_100"] <= 1
    store = open_store(config.store, config.s3)
    stored = json.loads(store.get(f"runs/{run_name(config)}/report.json"))
    assert stored["metrics"] == report.metrics
    assert b"<html" in store.get(f"runs/{run_name(config)}/report.html")
    names = [stage["name"] for stage in stored["stages"]]
    assert names == ["embed", "train", "index", "search and rerank"]
    assert stored["stages"][0]["rows"] == 600 and stored["stages"][0]["tokens"] > 0
    # The queries' vectors, and 24 x 20 pairs of 4 tokens at least, with 4 special ones.
    assert stored["stages"][-1]["tokens"] > 24 * 20 * 8


def test_the_config_saved_beside_the_outputs_is_that_of_the_run(finished, tmp_path):
    config, _ = finished
    (tmp_path / "saved.yaml").write_bytes(open_store(config.store, config.s3).get(f"runs/{run_name(config)}/config.yaml"))
    saved = load_config(tmp_path / "saved.yaml", environ={})
    assert saved == config and run_name(saved) == run_name(config)


def test_running_again_computes_nothing_and_gives_the_same_report(finished):
    config, report = finished
    store = open_store(config.store, config.s3)

    def attempts() -> int:
        return sum("/attempts/" in item.key for item in store.list(""))

    before, again = attempts(), run(config)
    assert attempts() == before
    assert again.metrics == report.metrics
    assert again.document["version"] == report.document["version"]


def test_trec_files_written_are_those_trec_eval_would_score_alike(finished):
    import pytrec_eval

    config, report = finished
    store, folder = open_store(config.store, config.s3), f"runs/{run_name(config)}"
    lines = (line.split() for line in store.get(f"{folder}/reranked.trec").decode().splitlines())
    found: dict[str, dict[str, float]] = {}
    for query, _, passage, _, score, _ in lines:
        found.setdefault(query, {})[passage] = float(score)
    judged: dict[str, dict[str, int]] = {}
    for line in store.get(f"{folder}/qrels.tsv").decode().splitlines()[1:]:
        query, passage, grade = line.split("\t")
        judged.setdefault(query, {})[passage] = int(grade)
    scores = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut_10"}).evaluate(found)
    mean = sum(value["ndcg_cut_10"] for value in scores.values()) / len(judged)
    assert mean == pytest.approx(report.metrics["reranked"]["ndcg_at_10"], abs=1e-6)


def test_a_run_file_of_another_tool_has_the_figures_of_the_run_whose_rankings_it_holds(finished, inputs, store, tmp_path, capsys):
    config, report = finished
    saved = open_store(config.store, config.s3).get(f"runs/{run_name(config)}/reranked.trec").decode()
    lines = ["\t".join([*line.split()[:3], "0", line.split()[4], "other"]) for line in saved.splitlines()]  # no ranks, and in no order
    random.Random(0).shuffle(lines)
    (tmp_path / "other.trec").write_text("\r\n".join(lines))
    job = write_config(tmp_path / "job.yaml", tiny_settings(inputs, store))
    assert guarded(lambda: app(["evaluate", str(job), "--run-file", str(tmp_path / "other.trec")])) == 0
    figures = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert figures == {name: f"{value:.4f}" for name, value in report.metrics["reranked"].items()}


def test_several_searchers_and_pools_that_grow_give_the_same_rankings(finished, spread):
    several, one = read_rankings(spread[0]), read_rankings(finished[0])
    for row, other in zip(several, one, strict=True):
        # Workers of fewer threads may add the numbers of a product in another order, as MKL does on AMD's processors.
        near = {name: pytest.approx(row.pop(name), abs=1e-5) for name in ("score", "rerank_score", "retrieval_score")}
        assert row == {name: value for name, value in other.items() if name not in near}
        assert near == {name: other[name] for name in near}
    assert spread[1].metrics == finished[1].metrics


def test_each_of_several_searchers_answers_for_its_share_of_the_segments(spread):
    with open_job(spread[0]) as job, resident_searchers(job, newest_version(job.store)) as ask:
        vector = np.random.default_rng(0).standard_normal((1, 32)).astype(np.float32)
        parts = [found["dense"].ids[0].tolist() for found in ask("unit", lambda: {"dense": vector}, 600)]
    shares = [{name for name in part if name} for part in parts]
    assert sorted(map(len, shares)) == [100, 250, 250] and set.union(*shares) == {f"p{i:05d}" for i in range(600)}


def test_kept_candidates_are_those_that_the_reranker_got(finished, spread):
    assert not committed(finished[0], "candidates")
    kept = {row["id"]: row for row in committed(spread[0], "candidates")}
    rankings = sorted(read_rankings(spread[0]), key=lambda row: row["retrieval_rank"])
    assert len(kept) == 24
    for query, row in kept.items():
        mine = [ranked for ranked in rankings if ranked["query_id"] == query]
        assert row["candidate_ids"] == [ranked["passage_id"] for ranked in mine]
        assert row["candidate_scores"] == [ranked["retrieval_score"] for ranked in mine]


def test_what_every_stage_committed_is_counted_in_rays_metrics(spread):
    expected = {"embed": 600, "index": 600, "candidates": 24, "rerank": 24}
    port, until = ray.nodes()[0]["MetricsExportPort"], time.monotonic() + 30
    while True:  # Ray's workers report every few seconds
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            shown = answer.read().decode()
        counted: Counter[str] = Counter()
        for stage, amount in re.findall(r'^ray_raytrieve_rows_total\{.*stage="([^"]+)".*\} (\S+)$', shown, re.MULTILINE):
            counted[stage] += float(amount)
        if all(counted[stage] >= rows for stage, rows in expected.items()) or time.monotonic() > until:
            break
        time.sleep(0.5)
    assert all(counted[stage] >= rows for stage, rows in expected.items())


@pytest.mark.parametrize("kind", ["flat", "ivf_flat"])
def test_one_and_eight_segments_give_the_same_rankings(kind, inputs, store, finished):
    rankings = []
    for segments in (1, 8):
        index = {"kind": kind, "segment_rows": -(-600 // segments), "nlist": 16, "nprobe": 4}
        config = tiny_config(inputs, store, index=index, rerank=None)
        assert len(run(config).document["segments"]) == segments
        rankings.append([(r["query_id"], r["passage_id"], r["score"]) for r in read_rankings(config)])
    assert rankings[0] == rankings[1]


def test_an_index_larger_than_its_memory_is_searched_shard_by_shard_with_the_same_result(finished, inputs, store):
    config, _ = finished
    small = tiny_config(inputs, store, name="swept", search={"top_k": 20, "memory_gb": 1e-6})
    run(small)
    assert read_rankings(small) == read_rankings(config)
    assert any("/partials/" in item.key for item in open_store(small.store, small.s3).list(""))


def test_stages_run_one_by_one_give_the_same_rankings_as_the_whole_run(finished, inputs, tmp_path):
    from pipelines.whole_run import embed_only, evaluate_only, index_only, rerank_only, search_only

    config, report = finished
    alone = tiny_config(inputs, tmp_path / "store")
    assert embed_only(alone) == 600
    assert index_only(alone).rows == 600
    assert search_only(alone) == rerank_only(alone) == 24
    assert evaluate_only(alone).metrics == report.metrics
    assert read_rankings(alone) == read_rankings(config)


def test_late_interaction_over_stored_token_vectors_scores_as_the_texts_do(inputs, tmp_path, local_ray):
    model = tiny_settings(inputs, "")["embed"]["model"]
    rerank = {"kind": "late_interaction", "model": model, "max_length": None}
    config = tiny_config(inputs, tmp_path / "store", embed={"store_token_vectors": True}, rerank=rerank)
    run(config)
    texts = {row["_id"]: row["text"] for row in pq.read_table(inputs / "corpus.parquet").to_pylist()}
    queries = {row["_id"]: row["text"] for row in map(json.loads, (inputs / "queries.jsonl").read_text().splitlines())}
    rows = read_rankings(config)
    pairs = [(queries[row["query_id"]], texts[row["passage_id"]]) for row in rows]
    expected = load_reranker(model, device="cpu", precision="fp32", kind="late_interaction").compute_score(pairs)
    assert [row["rerank_score"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-3)
    assert len({row["rerank_score"] for row in rows}) > len(rows) // 2


def test_the_same_run_on_s3_gives_the_same_rankings(finished, inputs, s3_environment, capfd):
    config, _ = finished
    client = s3_environment.client()
    for file in inputs.iterdir():
        client.put_object(Bucket="corpus", Key=f"whole/{file.name}", Body=file.read_bytes())
    there = tiny_config("s3://corpus/whole", "s3://store/whole")
    run(there)
    assert read_rankings(there) == read_rankings(config)
    secret = s3_environment.secret_key.encode()
    store = open_store(there.store, there.s3)
    assert not any(secret in store.get(item.key) for item in store.list("runs/"))
    assert s3_environment.secret_key not in "".join(capfd.readouterr())


def test_rejected_rows_are_counted_named_and_left_out(inputs, tmp_path, local_ray):
    rows = [{"_id": f"a{i}", "text": f"panda bear {i}"} for i in range(40)]
    rows += [{"_id": "a3", "text": "the same id again"}, {"_id": "", "text": "no id"}, {"_id": "empty", "text": " "}]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "corpus.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    corpus = {"path": str(tmp_path / "in" / "corpus.jsonl"), "columns": {}, "max_reject_share": 0.5}
    asked = (inputs / "queries.jsonl").read_text()
    (tmp_path / "in" / "queries.jsonl").write_text(asked + asked.splitlines()[1])  # in another unit than the first
    queries = {"path": str(tmp_path / "in" / "queries.jsonl"), "qrels": None, "max_reject_share": 0.5}
    config = tiny_config(inputs, tmp_path / "store", corpus=corpus, queries=queries, embed={"unit_rows": 8}, search={"top_k": 5})
    report = run(config)
    assert Counter(row["query_id"] for row in read_rankings(config)) == {f"q{number}": 5 for number in range(24)}
    assert report.document["rejects"]["queries"]["by_reason"] == {"duplicate id": 1}
    assert sorted(indexed_ids(config)) == sorted(f"a{i}" for i in range(40))
    rejects = report.document["rejects"]["corpus"]
    assert rejects["rejected"] == 3 and rejects["total_rows"] == 43
    assert set(rejects["by_reason"]) == {"duplicate id", "no id", "empty text"}
    store = open_store(config.store, config.s3)
    listed = [json.loads(line) for line in store.get(f"runs/{run_name(config)}/rejects-corpus.jsonl").splitlines()]
    assert {(reject["row"], reject["reason"].partition(":")[0]) for reject in listed} == {
        (40, "duplicate id"),
        (41, "no id"),
        (42, "empty text"),
    }
    assert all(reject["source"].endswith("corpus.jsonl") for reject in listed)
