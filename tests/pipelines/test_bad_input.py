"""Whatever a user can get wrong ends as one sentence that names the thing and the remedy, and as exit status 2.

`refused` also proves that no cluster was joined: a run that came so far leaves its events in the store.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import app, guarded
from tests.jobs import CHECKPOINTS, make_corpus, raytrieve, tiny_settings, write_config

ENCODER, RERANKER = CHECKPOINTS / "tiny-bge-en", CHECKPOINTS / "tiny-bge-reranker"
Refused = Callable[..., str]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_corpus(folder, passages=60, queries=6)
    (folder / "empty.jsonl").touch()
    (folder / "header.csv").write_text("_id,text\n")
    qrels = (folder / "qrels.tsv").read_text()
    (folder / "unknown-query.tsv").write_text(qrels + "q999\tp00001\t1\n")
    (folder / "unknown-passage.tsv").write_text(qrels + "q1\tp99999\t1\n")
    rows = [{"_id": f"a{i}", "text": "" if i % 4 == 0 else f"panda bear {i}"} for i in range(40)]
    (folder / "rejected.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def config(inputs: Path, tmp_path: Path) -> Path:
    return write_config(tmp_path / "job.yaml", tiny_settings(inputs, tmp_path / "store"))


@pytest.fixture
def complaint(config: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs a command that must fail with status 2; gives the lines on stderr, of which the last alone is the complaint."""

    def complaint(*settings: str, command: str = "run", path: Path = config) -> list[str]:
        overrides = [word for setting in settings for word in ("--set", setting)]
        status = guarded(lambda: app([command, str(path), *overrides]))
        shown = capfd.readouterr().err
        assert status == 2 and "Traceback" not in shown, shown
        lines = shown.splitlines()
        assert [line for line in lines if line.startswith("raytrieve: ")] == lines[-1:], shown
        return lines

    return complaint


@pytest.fixture
def refused(complaint: Callable[..., list[str]], tmp_path: Path) -> Refused:
    """The same for what must be found before Ray starts: the complaint is all there is."""

    def refused(*settings: str, **where: Any) -> str:
        lines = complaint(*settings, **where)
        assert len(lines) == 1, lines
        assert not list(tmp_path.rglob("events/*")), "a cluster was joined before the mistake was found"
        return lines[0].removeprefix("raytrieve: ")

    return refused


def test_a_missing_corpus_is_named_with_the_field(refused, inputs):
    told = refused(f"corpus.path={inputs}/nothing.parquet")
    assert told == f"{inputs}/nothing.parquet does not exist: correct corpus.path."


@pytest.mark.parametrize("role", ["corpus", "queries"])
def test_a_wrong_column_is_told_with_those_that_exist(refused, role):
    told = refused(f"{role}.columns.text=txt")
    assert "no column 'txt'; it has: _id, text" in told and f"Set {role}.columns.text" in told and "Nearest: text" in told


def test_an_unknown_field_is_told_with_the_nearest_right_one(refused, inputs, tmp_path):
    path = write_config(tmp_path / "typo.yaml", tiny_settings(inputs, tmp_path / "store", search={"topk": 5}))
    assert refused(path=path) == f"{path}: there is no field search.topk; did you mean search.top_k?"


def test_a_bad_value_is_told_with_its_field(refused, config):
    assert refused("search.top_k=many").startswith(f"{config}: search.top_k: input should be a valid integer")


def test_a_missing_config_is_told_with_the_shipped_names(refused, tmp_path):
    told = refused(path=tmp_path / "nothing.yaml")
    names = "bge, chinese, layerwise, m3-hybrid, quickstart"
    assert told == f"There is no config file {tmp_path}/nothing.yaml. Give a path, or one of the shipped names: {names}."


def test_an_s3_endpoint_that_cannot_be_reached_is_named(refused, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    endpoint = f"http://127.0.0.1:{_closed_port()}"
    told = refused("store.uri=s3://bucket/store", f"s3.endpoint_url={endpoint}", "store.deadline_s=1")
    assert told.startswith("s3://bucket/store: ") and endpoint in told and "Check s3.endpoint_url" in told


def test_wrong_s3_credentials_are_told_without_showing_them(refused, s3_environment, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    told = refused("store.uri=s3://store/bad-input")
    assert told.startswith("s3://store/bad-input: access is refused") and "check the AWS credentials" in told
    assert "not-the-secret" not in told


def test_wrong_s3_credentials_for_the_corpus_are_told_too(s3, config):
    # In a process of its own: fsspec would keep the connection with the wrong secret for the tests that follow.
    env = {**s3.environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    done = raytrieve("run", str(config), "--set", "corpus.path=s3://corpus/bad-input/", env=env)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("raytrieve: s3://corpus/bad-input/: access is refused") and "check the AWS credentials" in done.stderr


@pytest.mark.parametrize("field", ["embed.model", "rerank.model", "embed.adapter"])
def test_a_missing_model_folder_is_told_with_its_field(refused, field, tmp_path):
    told = refused(f"{field}={tmp_path}/nothing")
    assert told.startswith(f"{field}: no model folder at '{tmp_path}/nothing': give an existing folder, a hub id")


def test_a_hub_model_without_network_is_told_soon(config, tmp_path):
    env = {"HF_ENDPOINT": f"http://127.0.0.1:{_closed_port()}", "HF_HOME": str(tmp_path / "hub")}
    done = raytrieve("run", str(config), "--set", "embed.model=some-owner/some-model", env=env, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("raytrieve: embed.model: cannot reach the model hub for 'some-owner/some-model'")
    assert "give its path" in done.stderr


def test_a_reranker_as_encoder_is_told_where_it_belongs(refused):
    told = refused(f"embed.model={RERANKER}")
    assert told.startswith(f"embed.model {RERANKER} is a reranker") and "rerank.model" in told


def test_an_encoder_as_reranker_is_told_with_what_to_use(refused):
    told = refused(f"rerank.model={ENCODER}")
    assert told.startswith(f"rerank: {ENCODER} is an encoder, not a reranker") and "late_interaction" in told


def test_a_cross_encoder_for_late_interaction_is_told_the_kind(refused):
    assert "set kind to auto or cross_encoder" in refused("rerank.kind=late_interaction")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("embed.truncate_dim=9999",), "embed: truncate_dim is 9999, but the vectors of"),
        (("embed.max_length=100000",), "embed: max_length is 100000 but"),
        (("embed.store_sparse=true",), f"embed: {ENCODER} has no output 'sparse'"),
        (("embed.examples=[{query: a, response: b}]",), f"embed: {ENCODER} takes no examples"),
        ((f"rerank.model={ENCODER}", "rerank.kind=m3"), f"rerank: {ENCODER} is no bge-m3"),
        (("rerank.weights=[1, 1, 1]",), f"rerank: {RERANKER} is used as cross_encoder, which has no weights, only m3 have: leave it out."),
        (("rerank.head=position",), f"rerank: {RERANKER} is used as cross_encoder, which has no head"),
        (("rerank.max_length=100000",), "rerank: max_length is 100000 but"),
    ],
)
def test_a_setting_that_the_model_cannot_have_is_told_before_anything_runs(refused, settings, sentence):
    assert refused(*settings).startswith(sentence)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("index.kind=foo", "index.kind 'foo' is neither flat, ivf_flat, ivf_sq8, ivf_pq, auto nor a FAISS factory string"),
        ("index={kind: ivf_pq, pq_bytes: 7}", "index.pq_bytes is 7, which does not divide the dimension 32: use 4 or 8"),
        ("index={kind: ivf_flat, nlist: 500, train_rows: 100}", "The index wants 500 lists but only 100 vectors train it"),
        ("index.seed=-1", "index.seed"),
        (
            f"rerank={{model: {ENCODER}, kind: late_interaction, precision: int8, max_length: 64}}",
            "rerank: precision int8 is for encoders and cross-encoders: use auto, fp32, bf16 or fp16 for a reranker of kind late_",
        ),
        ("evaluate.cuts=[]", "evaluate.cuts"),
        ('corpus.path=""', "corpus.path.0: it is empty: give a path, or an s3:// address"),
    ],
)
def test_what_would_fail_after_hours_of_embedding_is_told_before(refused, setting, sentence):
    assert sentence in refused(setting)


def test_a_store_that_is_a_file_is_named(refused, inputs):
    assert f"{inputs}/corpus.parquet is a file, not a folder" in refused(f"store.uri={inputs}/corpus.parquet", command="status")


def test_a_column_that_only_a_later_file_lacks_is_one_sentence_too(complaint, inputs, tmp_path, local_ray):
    folder = tmp_path / "two"
    folder.mkdir()
    rows = [{"_id": f"a{i}", "text": f"panda bear {i}"} for i in range(30)]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "b.jsonl").write_text("\n".join(json.dumps({"id": row["_id"], "text": row["text"]}) for row in rows))
    told = complaint(f"corpus={{path: {folder}, columns: {{metadata: []}}}}", "search.top_k=5", "queries.qrels=")[-1]
    assert told.startswith(f"raytrieve: {folder}/b.jsonl has no column '_id'; it has: id, text.")


def test_more_candidates_than_passages_are_told_with_the_most_there_can_be(refused):
    assert refused("search.top_k=61") == "search.top_k is 61 but the corpus has only 60 rows: lower top_k to 60."


@pytest.mark.parametrize("name", ["empty.jsonl", "header.csv"])
def test_a_queries_file_without_queries_is_named(refused, inputs, name):
    told = refused(f"queries.path={inputs}/{name}", "queries.qrels=")
    assert told == f"There are no rows in {inputs}/{name}: set queries.path to files with at least one record."


@pytest.mark.parametrize("command", ["search", "rerank", "evaluate"])
def test_a_stage_that_asks_says_when_there_are_no_queries(refused, command):
    assert refused("queries=", command=command).startswith("The config has no queries: set queries.path")


def test_qrels_of_unknown_queries_are_told_with_an_example(refused, inputs):
    told = refused(f"queries.qrels={inputs}/unknown-query.tsv")
    assert told.startswith(f"{inputs}/unknown-query.tsv: 1 of 7 judged query ids are not in the queries file (such as 'q999')")


def test_passages_longer_than_the_model_reads_are_told_with_the_most_there_can_be(refused):
    told = refused("corpus.chunking.tokens=9999")
    assert told.startswith("corpus.chunking.tokens is 9999 but embed.model reads ") and "lower it to" in told


def test_qrels_of_documents_for_rankings_of_their_passages_are_told_the_way_out(refused):
    assert "judges documents, but rankings hold their passages: set search.roll_up to true" in refused("corpus.chunking.tokens=64")


def test_a_roll_up_of_whole_documents_is_told_to_be_none(refused):
    assert "search.roll_up is set, but the passages are whole documents: set corpus.chunking" in refused("search.roll_up=true")


@pytest.mark.cluster
def test_qrels_of_unknown_passages_are_told_with_an_example(complaint, inputs, local_ray):
    *progress, told = complaint(f"queries.qrels={inputs}/unknown-passage.tsv")
    assert "1 of 7 judged passage ids are not in the corpus (such as 'p99999')" in told and "corpus.columns.id" in told
    assert all(line.startswith(("embed: ", "train: ", "index: ")) for line in progress)


@pytest.mark.cluster
def test_too_many_rejected_rows_are_told_with_the_reasons(complaint, inputs, local_ray):
    *progress, told = complaint(f"corpus.path={inputs}/rejected.jsonl", "corpus.columns={}")
    assert "10 of 40 corpus rows were rejected (25.0%, but corpus.max_reject_share allows 1.0%): empty text (10)" in told
    assert all(line.startswith("embed: ") for line in progress)


def _closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
