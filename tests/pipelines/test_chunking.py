"""Long documents through the whole job: cut into passages, searched, rolled up and judged as documents."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from actors.corpus.schema import document_of
from actors.storage.local_store import LocalStore
from actors.storage.objects import open_store
from pipelines import run
from pipelines.job import run_name
from pipelines.reindex import reindex
from pipelines.verify import verify
from tests.jobs import indexed_ids, indexed_texts, read_rankings, sentence, tiny_config, tokens_of

pytestmark = pytest.mark.cluster

DOCUMENTS, TOKENS = 40, 64


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """A corpus of long documents with ids that hold #, one of them twice; queries of words of one paragraph; qrels by document."""
    folder, rng = tmp_path_factory.mktemp("inputs"), random.Random(11)
    paragraphs = {f"doc#{i}": [f"{sentence(rng, 20)}." for _ in range(8)] for i in range(DOCUMENTS)}
    rows = [{"_id": name, "title": f"title {name}", "text": "\n\n".join(parts), "year": 2000} for name, parts in paragraphs.items()]
    rows.append({**rows[3], "text": "\n\n".join(f"{sentence(rng)}." for _ in range(30))})
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {f"q{i}": f"doc#{i}" for i in range(12)}
    questions = [{"_id": query, "text": " ".join(paragraphs[name][5].split()[:8])} for query, name in asked.items()]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{name}\t1\n" for q, name in asked.items()))
    return folder, paragraphs


@pytest.fixture(scope="module")
def finished(texts: tuple[Path, dict[str, list[str]]], tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Any:
    """One whole run: (config, report)."""
    folder = texts[0]
    chunking = {"tokens": TOKENS, "unit_documents": 10}
    columns = {"title": "title", "metadata": ["year"]}
    corpus = {"path": str(folder / "corpus.jsonl"), "columns": columns, "chunking": chunking, "max_reject_share": 0.05}
    config = tiny_config(folder, tmp_path_factory.mktemp("store"), corpus=corpus, search={"top_k": 60, "roll_up": True})
    return config, run(config)


def test_the_index_holds_every_passage_of_every_document_once(finished, texts):
    config, report = finished
    ids, paragraphs = indexed_ids(config), texts[1]
    assert len(set(ids)) == len(ids) > 4 * DOCUMENTS and {document_of(name) for name in ids} == set(paragraphs)
    numbers: dict[str, set[int]] = {}
    for name in ids:
        numbers.setdefault(document_of(name), set()).add(int(name.rpartition("#")[2]))
    assert all(found == set(range(len(found))) for found in numbers.values())
    assert report.document["stages"][0]["rows"] >= len(ids)
    assert report.document["stages"][0]["truncated"] == 0


def test_rejects_count_documents_and_a_repeated_document_is_one(finished):
    config, report = finished
    rejects = report.document["rejects"]["corpus"]
    assert (rejects["total_rows"], rejects["rejected"]) == (DOCUMENTS + 1, 1)
    store = open_store(config.store, config.s3)
    (reject,) = map(json.loads, store.get(f"runs/{run_name(config)}/rejects-corpus.jsonl").splitlines())
    assert (reject["id"], reject["row"]) == ("doc#3", DOCUMENTS)


def test_rankings_hold_each_document_once_by_its_best_passage(finished):
    config, _ = finished
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in read_rankings(config):
        by_query.setdefault(row["query_id"], []).append(row)
    assert len(by_query) == 12
    for rows in by_query.values():
        documents = [row["document_id"] for row in rows]
        assert len(set(documents)) == len(documents) and 10 < len(documents) <= DOCUMENTS
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        assert sorted(row["retrieval_rank"] for row in rows) == list(range(1, len(rows) + 1))
        assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
        by_retrieval = sorted(rows, key=lambda row: row["retrieval_rank"])
        assert [row["retrieval_score"] for row in by_retrieval] == sorted((row["retrieval_score"] for row in rows), reverse=True)
        assert all(document_of(row["passage_id"]) == row["document_id"] and row["metadata"] == '{"year":2000}' for row in rows)


def test_documents_are_judged_and_the_report_says_what_top_k_came_to(finished):
    config, report = finished
    assert report.metrics["retrieved"]["recall_at_100"] > 0.5 and report.metrics["reranked"]["recall_at_100"] > 0.5
    assert any("the 60 passages of a query came from" in note for note in report.document["notes"])
    store, folder = open_store(config.store, config.s3), f"runs/{run_name(config)}"
    named = {line.split()[2] for line in store.get(f"{folder}/retrieved.trec").decode().splitlines()}
    assert named <= {f"doc#{i}" for i in range(DOCUMENTS)}


def test_an_edit_of_one_paragraph_embeds_only_the_passages_that_it_changes(finished, tmp_path):
    config, _ = finished
    store = LocalStore(Path(shutil.copytree(config.store.uri, tmp_path / "store")))
    before = indexed_texts(store)
    rows = [json.loads(line) for line in Path(config.corpus.path[0]).read_text().splitlines()]
    rows[7]["text"] = rows[7]["text"].replace("\n\n", "\n\nA panda that nobody has heard of. ", 1)
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = config.corpus.model_copy(update={"path": (str(tmp_path / "corpus.jsonl"),)})
    place = config.store.model_copy(update={"uri": store.uri})
    followed = config.model_copy(update={"store": place, "corpus": corpus, "queries": None, "rerank": None})
    done, after = reindex(followed), indexed_texts(store)
    changed = {name: text for name, text in after.items() if before.get(name) != text}
    assert 1 <= len(changed) < sum(document_of(name) == "doc#7" for name in after)
    assert {document_of(name) for name in changed} == {"doc#7"} and "nobody has heard of" in "".join(changed.values())
    assert {name for name in before if name not in after} <= {name for name in before if document_of(name) == "doc#7"}
    new = sorted(set(changed.values()) - set(before.values()))
    assert done.tokens == tokens_of(config, new)
    assert verify(followed).faults == ()
