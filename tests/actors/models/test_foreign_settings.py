"""Settings in a checkpoint's files that change what its weights mean: followed as transformers and sentence-transformers do, or refused."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from actors.models import load_encoder, load_reranker
from actors.models.backbones.decoder import DecoderShape
from actors.models.description import read_description
from actors.models.text_tokenizer import PairTokenizer, TextTokenizer
from configs.errors import UserError

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
TEXTS = ["What is a PANDA?", "Größe naïve 熊猫 eats", "THE giant panda"]


@pytest.fixture
def copy(tmp_path):
    def made(name: str, folder: str = "model") -> Path:
        return Path(shutil.copytree(CKPT / name, tmp_path / folder))

    return made


def edit(path: Path, **changes: object) -> None:
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **changes}))


def ids(model: Path, **settings: int) -> list[list[int]]:
    tokens = TextTokenizer(model, **settings).passages(TEXTS)
    return [tokens.take(number).tolist() for number in range(len(TEXTS))]


@pytest.mark.parametrize(("lower", "accents", "chinese"), itertools.product([True, False, "absent"], [None, True, False], [True, False]))
def test_bert_tokenizers_follow_their_config_where_tokenizer_json_says_otherwise(copy, lower, accents, chinese):
    model = copy("tiny-bge-en")
    edit(model / "tokenizer_config.json", do_lower_case=lower, strip_accents=accents, tokenize_chinese_chars=chinese)
    if lower == "absent":
        config = json.loads((model / "tokenizer_config.json").read_text())
        del config["do_lower_case"]
        (model / "tokenizer_config.json").write_text(json.dumps(config))
    assert ids(model) == AutoTokenizer.from_pretrained(model)(TEXTS)["input_ids"]
    assert bool(TextTokenizer(model).overruled) == ((lower, accents, chinese) not in ((True, None, True), ("absent", None, True)))


def test_texts_are_lowered_where_the_sentence_transformers_files_ask_for_it(copy):
    model = copy("tiny-bge-m3")
    before = ids(model)
    edit(model / "sentence_xlm-roberta_config.json", max_seq_length=9, do_lower_case=True)
    tokens = TextTokenizer(model)
    assert tokens.max_length == 9 and tokens.overruled and not TextTokenizer(CKPT / "tiny-bge-m3").overruled
    lowered = TextTokenizer(CKPT / "tiny-bge-m3", max_length=9).passages([text.lower() for text in TEXTS])
    assert tokens.passages(TEXTS).values.tolist() == lowered.values.tolist() != before


def test_texts_are_cut_at_their_head_where_the_tokenizer_asks_for_it(copy):
    model = copy("tiny-bge-en")
    whole = ids(model)
    edit(model / "tokenizer_config.json", truncation_side="left")
    assert ids(model, max_length=5) == [[row[0], *row[-4:]] for row in whole]
    with pytest.raises(UserError, match="cuts texts at their head"):
        PairTokenizer(model)


def test_pairs_have_no_token_types_where_the_tokenizer_gives_none(copy):
    model = copy("tiny-bert-reranker")
    pairs = [("what is panda", "the giant panda is a bear")]
    usual = load_reranker(model, device="cpu", precision="fp32").compute_score(pairs)
    edit(model / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    bare = load_reranker(model, device="cpu", precision="fp32").compute_score(pairs)
    assert not read_description(model).token_types and np.abs(usual - bare).max() > 1e-4


def test_the_document_prompt_comes_before_the_passage_prompt(copy):
    model = copy("tiny-bge-en")
    edit(model / "config_sentence_transformers.json", prompts={"passage": "p: ", "document": "d: "})
    assert TextTokenizer(model).passage_instruction == "d: "


def test_a_model_named_noinstruct_gets_no_instruction(copy):
    assert TextTokenizer(copy("tiny-bge-en", "bge-large-zh")).query_instruction
    assert TextTokenizer(copy("tiny-bge-en", "bge-large-zh-noinstruct")).query_instruction == ""


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("tiny-bge-en", {"quantization_config": {"quant_method": "bitsandbytes"}}, "holds quantised weights"),
        ("tiny-bge-en", {"is_decoder": True}, "used as a decoder"),
        ("tiny-bge-code-v1", {"is_causal": False}, "attends to both sides"),
    ],
)
def test_settings_that_give_the_weights_another_meaning_are_refused(copy, name, changes, sentence):
    model = copy(name)
    edit(model / "config.json", **changes)
    with pytest.raises(UserError, match=sentence):
        load_encoder(model, device="cpu")


@pytest.mark.parametrize("key", ["hidden_act", "max_position_embeddings", "vocab_size", "num_attention_heads"])
def test_a_config_that_lacks_a_setting_is_told(copy, key):
    model = copy("tiny-bge-en")
    config = json.loads((model / "config.json").read_text())
    del config[key]
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"config\.json lacks {key}: "):
        load_encoder(model, device="cpu")


def test_an_llm_reranker_of_another_prompt_is_refused_unless_the_user_says_that_it_takes_bges(copy):
    model = copy("tiny-bge-reranker-v2-gemma", "Qwen3-Reranker-0.6B-mine")
    with pytest.raises(UserError, match="is a qwen3-reranker, whose prompt is not that of BGE's LLM rerankers"):
        load_reranker(model, device="cpu")
    load_reranker(model, device="cpu", kind="llm")


def test_weights_from_before_torch_1_6_are_read(copy):
    model = copy("tiny-bge-en")
    want = load_encoder(model, device="cpu", precision="fp32").encode_corpus(TEXTS).dense
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    (model / "model.safetensors").unlink()
    np.testing.assert_array_equal(load_encoder(model, device="cpu", precision="fp32").encode_corpus(TEXTS).dense, want)


def test_a_window_counts_for_the_families_that_have_one():
    config = json.loads((CKPT / "tiny-bge-code-v1" / "config.json").read_text())
    shapes = {kind: DecoderShape.read({**config, "model_type": kind, "sliding_window": 4}) for kind in ("llama", "mistral")}
    assert shapes["llama"].windows == () and set(shapes["mistral"].windows) == {4}
