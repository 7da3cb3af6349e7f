"""The shipped configs of a cluster, of bge-m3 and of the layerwise cascade, run whole on tiny checkpoints of the same architectures."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from actors.models import load_encoder, load_reranker
from actors.storage.manifests import newest_version
from actors.storage.objects import open_store
from configs.load import load_config
from tests.jobs import CHECKPOINTS, make_corpus, read_rankings

pytestmark = pytest.mark.cluster


def shipped(name: str, folder, **values: Any):
    """A shipped config with this test's paths; corpus and queries have BEIR's column names."""
    make_corpus(folder, passages=150, queries=6)
    values |= {"store.uri": f"{folder}/store", "corpus.path": f"{folder}/corpus.parquet", "queries.path": f"{folder}/queries.jsonl"}
    values |= {"queries.qrels": f"{folder}/qrels.tsv", "corpus.columns": {"metadata": ["year"]}, "queries.columns": {}, "search.top_k": 20}
    values |= {"embed.precision": "fp32", "rerank.precision": "fp32", "embed.max_length": 128, "embed.tokenizers": 2}
    return load_config(name, [f"{field}={yaml.safe_dump(value, default_flow_style=True)}" for field, value in values.items()])


def texts_of(config) -> tuple[dict[str, str], dict[str, str]]:
    corpus = pq.read_table(config.corpus.path[0]).to_pydict()
    queries = [json.loads(line) for line in open(config.queries.path[0])]
    return {row["_id"]: row["text"] for row in queries}, dict(zip(corpus["_id"], corpus["text"], strict=True))


def test_m3_finds_by_vectors_weights_and_words_and_ranks_by_its_own_mix(tmp_path, local_ray):
    from pipelines import run

    model = str(CHECKPOINTS / "tiny-bge-m3")
    config = shipped("m3-hybrid", tmp_path, **{"embed.model": model, "rerank.model": model, "rerank.max_length": 128})
    report = run(config)
    rows = read_rankings(config)
    assert len(rows) == 6 * 20 and report.metrics["reranked"]["ndcg_at_10"] > 0
    queries, passages = texts_of(config)
    first = rows[:20]
    reranker = load_reranker(model, device="cpu", precision="fp32", kind="m3", weights=(0.4, 0.2, 0.4), max_length=128)
    expected = reranker.compute_score([(queries[row["query_id"]], passages[row["passage_id"]]) for row in first])
    np.testing.assert_allclose([row["rerank_score"] for row in first], expected, atol=1e-5)


def test_a_cascade_ends_with_a_layerwise_model_that_lets_the_weaker_half_go_early(tmp_path, local_ray):
    from pipelines import run

    layerwise, cross = str(CHECKPOINTS / "tiny-bge-reranker-v2-minicpm-layerwise"), str(CHECKPOINTS / "tiny-bge-reranker")
    last = {"model": layerwise, "precision": "fp32", "depth": 8, "cutoff_layers": [5], "exits": [{"layer": 3, "keep": 4}]}
    values = {"embed.model": str(CHECKPOINTS / "tiny-bge-en"), "rerank.model": cross, "cascade": [last]}
    config = shipped("layerwise", tmp_path, **values)
    run(config)
    rows = read_rankings(config)
    queries, passages = texts_of(config)
    first = rows[:20]
    pairs = [(queries[row["query_id"]], passages[row["passage_id"]]) for row in first]
    by_layer = load_reranker(layerwise, device="cpu", precision="fp32", cutoff_layers=[3, 5]).compute_score(pairs)
    scores = np.array([row["rerank_score"] for row in first])
    np.testing.assert_allclose(scores[:4], by_layer[:4, 1], atol=1e-5)  # the four that stayed, by the last layer
    np.testing.assert_allclose(scores[4:8], by_layer[4:8, 0], atol=1e-5)  # the four that left, by the early one
    assert by_layer[:4, 0].min() >= by_layer[4:8, 0].max()
    rest = load_reranker(cross, device="cpu", precision="fp32").compute_score(pairs[8:])
    np.testing.assert_allclose(scores[8:], rest, atol=1e-5)  # the others keep what the cross-encoder gave them
    assert (np.diff(scores[8:]) <= 1e-6).all()


def test_the_config_of_a_cluster_runs_with_nothing_but_its_places_and_models_changed(tmp_path, local_ray):
    from pipelines import run

    queries, passages = titled_corpus(tmp_path)
    encoder, reranker = str(CHECKPOINTS / "tiny-bge-en"), str(CHECKPOINTS / "tiny-bge-reranker")
    values = {"store.uri": tmp_path / "store", "corpus.path": tmp_path / "corpus.parquet", "queries.path": tmp_path / "queries.jsonl"}
    values |= {"queries.qrels": tmp_path / "qrels.tsv", "embed.model": encoder, "rerank.model": reranker}
    values |= {"embed.precision": "fp32", "rerank.precision": "fp32"}  # what the expected figures have, whatever the CPU
    values |= {"index.segment_rows": 40}  # for 2,000,000: 200 passages are five segments then, which the four searchers share
    config = load_config("bge", [f"{field}={value}" for field, value in values.items()])
    report = run(config)
    manifest = newest_version(open_store(config.store, config.s3))
    assert manifest.index["plan"]["factory"] == "IVF5,SQ8" and len(manifest.segments) == 5
    rows = read_rankings(config)
    assert len(rows) == 4 * 100 and report.metrics["reranked"]["recall_at_100"] > 0

    first, query = rows[:100], queries[rows[0]["query_id"]]
    model = load_encoder(encoder, device="cpu", precision="fp32", query_instruction=config.embed.query_instruction)
    exact = model.encode_corpus(list(passages.values())).dense @ model.encode_queries([query]).dense[0]
    best = np.sort(exact)[::-1][:100]  # of five lists sixteen would be visited: nothing is missed
    np.testing.assert_allclose(sorted((row["retrieval_score"] for row in first), reverse=True), best, atol=1e-3)
    pairs = [(query, passages[row["passage_id"]]) for row in first]
    expected = load_reranker(reranker, device="cpu", precision="fp32", max_length=512).compute_score(pairs, normalize=True)
    np.testing.assert_allclose([row["rerank_score"] for row in first], expected, atol=1e-5)
    assert (np.diff(expected) <= 1e-6).all() and 0 < expected.min() < expected.max() < 1


def titled_corpus(folder) -> tuple[dict[str, str], dict[str, str]]:
    """Inputs with the columns that the config names. Gives the queries, and the passages as they are embedded."""
    make_corpus(folder, passages=200, queries=4)
    table = pq.read_table(folder / "corpus.parquet").rename_columns({"_id": "id"}).drop_columns("year")
    titles = [f"index {number} {text.split()[0]}" for number, text in enumerate(table["text"].to_pylist())]
    pq.write_table(table.append_column("title", pa.array(titles)), folder / "corpus.parquet")
    (folder / "queries.jsonl").write_text((folder / "queries.jsonl").read_text().replace('"_id"', '"id"'))
    queries = {row["id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())}
    passages = [f"{title} {text}" for title, text in zip(titles, table["text"].to_pylist(), strict=True)]
    return queries, dict(zip(table["id"].to_pylist(), passages, strict=True))
