"""The token budget: found once, remembered, and never a matter of results."""

import json

import pytest
import torch
from transformers import BertConfig, BertModel

from actors.models import load_encoder
from actors.models.probing import CANDIDATES
from tests.jobs import CHECKPOINTS


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("actors.models.probing._SECONDS", 120.0)  # a busy machine must not leave the probe without time
    return tmp_path


@pytest.fixture
def narrow(tmp_path):
    """One layer of width 128, the narrowest that is worth a probe, with the tokenizer of a tiny checkpoint."""
    folder = tmp_path / "narrow"
    vocabulary = json.loads((CHECKPOINTS / "tiny-bge-en" / "config.json").read_text())["vocab_size"]
    shape = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=vocabulary, max_position_embeddings=128, **shape)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((CHECKPOINTS / "tiny-bge-en" / name).read_bytes())
    return folder


def remembered(home):
    return list((home / ".cache" / "raytrieve" / "budgets").glob("*"))


def test_a_budget_is_probed_once_and_then_read(home, narrow):
    found = load_encoder(narrow, device="cpu", precision="fp32").batch_tokens
    (path,) = remembered(home)
    assert found in CANDIDATES["cpu"] and json.loads(path.read_text()) == {"batch_tokens": found}
    other = next(tokens for tokens in CANDIDATES["cpu"] if tokens != found)
    path.write_text(json.dumps({"batch_tokens": other}))
    assert load_encoder(narrow, device="cpu", precision="fp32").batch_tokens == other
    assert load_encoder(narrow, device="cpu", precision="fp32", batch_tokens=77).batch_tokens == 77


@pytest.mark.parametrize("damage", ["", "[]", '{"batch_tokens": 0}', '{"batch_tokens": "many"}'])
def test_a_damaged_memory_is_made_anew(home, narrow, damage):
    load_encoder(narrow, device="cpu", precision="fp32")
    (path,) = remembered(home)
    path.write_text(damage)
    assert load_encoder(narrow, device="cpu", precision="fp32").batch_tokens in CANDIDATES["cpu"]
    assert json.loads(path.read_text())["batch_tokens"] in CANDIDATES["cpu"]


def test_a_home_that_can_not_be_written_stops_nothing(home, narrow):
    (home / ".cache").write_text("a file where a folder should be")
    assert load_encoder(narrow, device="cpu", precision="fp32").batch_tokens in CANDIDATES["cpu"]


def test_tiny_networks_are_not_probed(home):
    assert load_encoder(CHECKPOINTS / "tiny-bge-en", device="cpu", precision="fp32").batch_tokens == 2048
    assert not remembered(home)


def test_threads_are_part_of_what_is_remembered(home, narrow):
    load_encoder(narrow, device="cpu", precision="fp32")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        load_encoder(narrow, device="cpu", precision="fp32")
    finally:
        torch.set_num_threads(threads)
    assert len(remembered(home)) == 2


def test_without_time_for_a_probe_the_usual_budget_is_taken_and_nothing_is_remembered(home, narrow, monkeypatch):
    monkeypatch.setattr("actors.models.probing._SECONDS", 0.0)
    assert load_encoder(narrow, device="cpu", precision="fp32").batch_tokens == 2048
    assert not remembered(home)
