"""The three LLM rerankers: FlagEmbedding's numbers, the right head on every layer, and what does not fit said in one sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2Model

from actors.models import load_encoder, load_reranker
from actors.models.backbones import SharedPrefixes
from actors.models.backbones.packing import Spans
from actors.models.lightweight import Compression
from actors.models.prompt_tokenizer import PromptTokenizer
from configs.errors import UserError

PARITY = Path(__file__).parents[2] / "data" / "parity"
REFERENCE = json.loads((PARITY / "reference.json").read_text())
PAIRS = [tuple(pair) for pair in json.loads((PARITY / "inputs.json").read_text())["pairs"]]
GEMMA = PARITY / "ckpt" / "tiny-bge-reranker-v2-gemma"
LAYERWISE = PARITY / "ckpt" / "tiny-bge-reranker-v2-minicpm-layerwise"
LIGHTWEIGHT = PARITY / "ckpt" / "tiny-bge-reranker-v2.5-gemma2-lightweight"
FAMILIES = {
    "llm": (GEMMA, {}),
    "layerwise": (LAYERWISE, {"cutoff_layers": [6, 3, 3, 2]}),
    "lightweight": (LIGHTWEIGHT, {"cutoff_layers": [5, 6, 2], "compress_ratio": 2, "compress_layers": [2, 4]}),
}
OTHERS = [
    ("what is panda?", "the giant panda is a bear"),
    ("capital of France", "Paris " * 30),
    ("what is panda?", ""),
    ("", "hi"),
    ("capital of France " * 9, "hi"),
    ("大熊猫", "北京的大熊猫是中国特有的 🙂"),
    ("capital of France", "the highest point of a mountain " * 4),
]


def load(folder, **settings):
    return load_reranker(folder, device="cpu", precision="fp32", **settings)


def joined(tokenizer, query_ids, passage_ids):
    """The ids of a whole pair."""
    return np.concatenate([tokenizer.before_passage(query_ids), tokenizer.from_passage_on(passage_ids)])


def assert_same(got, want, name="scores"):
    want = np.asarray(want)
    assert got.shape == want.shape, f"{name}: {got.shape} instead of {want.shape}"
    assert np.all(np.abs(got - want) <= 1e-4 * np.maximum(1.0, np.abs(want))), f"{name}: off by {np.abs(got - want).max():.2e}"


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("default", {}),
        ("maxlen24_batch3", {"max_length": 24, "batch_tokens": 250}),
        ("prompt", {"prompt": "Given a query A and a passage B, is it a match? Yes or No."}),
    ],
)
def test_yes_logits_are_flagembeddings(case, settings):
    assert_same(load(GEMMA, **settings).compute_score(PAIRS), REFERENCE[f"FlagLLMReranker/{case}"], case)


def test_normalised_scores_are_flagembeddings():
    assert_same(load(GEMMA).compute_score(PAIRS, normalize=True), REFERENCE["FlagLLMReranker/normalize"])
    layerwise = load(LAYERWISE, cutoff_layers=[4], max_length=24)
    assert_same(layerwise.compute_score(PAIRS, normalize=True), REFERENCE["LayerWise/normalize_maxlen24"])
    lightweight = load(LIGHTWEIGHT, compress_ratio=2, compress_layers=[3], max_length=24, head="position")
    assert_same(lightweight.compute_score(PAIRS, normalize=True), REFERENCE["LightWeight/maxlen24_ratio2"])


@pytest.mark.parametrize(("case", "layers"), [("default", None), ("cutoff3", [3]), ("cutoff3", 3), ("cutoff2_4_6", [2, 4, 6])])
def test_layerwise_scores_are_flagembeddings(case, layers):
    want = np.array(REFERENCE[f"LayerWise/{case}"]).T
    assert_same(load(LAYERWISE, cutoff_layers=layers).compute_score(PAIRS), want, case)


def test_a_layer_without_a_head_is_refused_where_the_reference_drops_it():
    want = np.array(REFERENCE["LayerWise/cutoff1_out_of_range"])
    assert_same(load(LAYERWISE, cutoff_layers=[4]).compute_score(PAIRS[:2]), want)
    with pytest.raises(UserError, match=r"cutoff_layers is \[1, 4\]"):
        load(LAYERWISE, cutoff_layers=[1, 4])


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("default", {}),
        ("cutoff3", {"cutoff_layers": [3]}),
        ("cutoff2_4_6", {"cutoff_layers": [2, 4, 6]}),
        ("ratio2_layer3", {"compress_ratio": 2, "compress_layers": [3]}),
        ("ratio2_layers2_4_cutoff4_6", {"compress_ratio": 2, "compress_layers": [2, 4], "cutoff_layers": [4, 6]}),
        ("ratio4_layer2_cutoff6_batch3", {"compress_ratio": 4, "compress_layers": [2], "cutoff_layers": [6], "batch_tokens": 200}),
        ("ratio8_layer0", {"compress_ratio": 8, "compress_layers": [0]}),
    ],
)
def test_lightweight_scores_by_position_are_flagembeddings(case, settings):
    assert_same(load(LIGHTWEIGHT, head="position", **settings).compute_score(PAIRS), np.array(REFERENCE[f"LightWeight/{case}"]).T, case)


def test_every_layer_of_a_layerwise_model_has_its_own_head_in_whatever_order():
    """FlagEmbedding pairs the layers 6 and 3 of an unsorted list with each other's heads (its case cutoff6_3_unsorted)."""
    columns = load(LAYERWISE, cutoff_layers=[6, 3, 6, 2]).compute_score(PAIRS)
    for column, layer in enumerate([6, 3, 6, 2]):
        np.testing.assert_allclose(columns[:, column], load(LAYERWISE, cutoff_layers=[layer]).compute_score(PAIRS), atol=1e-5)
    assert_same(columns[:, 0], REFERENCE["LayerWise/default"])
    assert_same(columns[:, 1], REFERENCE["LayerWise/cutoff3"])
    assert np.abs(columns[:, :2] - np.array(REFERENCE["LayerWise/cutoff6_3_unsorted"]).T).max() > 0.1


def test_every_layer_of_a_lightweight_model_has_its_own_head():
    """By another route: transformers' Gemma 2 without the soft cap, its states at each layer times that layer's head."""
    weights = load_file(LIGHTWEIGHT / "model.safetensors")
    config = json.loads((LIGHTWEIGHT / "config.json").read_text())
    fields = {name: value for name, value in config.items() if name not in ("model_type", "architectures", "torch_dtype")}
    network = Gemma2Model._from_config(Gemma2Config(**{**fields, "attn_logit_softcapping": None}), attn_implementation="eager").eval()
    network.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items() if name.startswith("model.")})
    model = load(LIGHTWEIGHT, cutoff_layers=[3, 6])
    tokenizer, scores = model.pair_tokenizer, model.compute_score(OTHERS)
    for (query, passage), by_layer in zip(OTHERS, scores, strict=True):
        ids = joined(tokenizer, tokenizer.queries([query]).take(0), tokenizer.passages([passage]).take(0))
        with torch.inference_mode():
            output = network(torch.tensor(ids[None], dtype=torch.long), output_hidden_states=True)
            states = {3: network.norm(output.hidden_states[3][0, -1]), 6: output.last_hidden_state[0, -1]}
            logits = [float(weights[f"lm_head.{layer - 2}.linear_head.weight"] @ states[layer]) for layer in (3, 6)]
        assert_same(by_layer, 30 * np.tanh(np.array(logits) / 30))
    assert np.abs(scores[:, 1] - load(LIGHTWEIGHT, head="position").compute_score(OTHERS)).max() > 0.1
    by_position = load(LIGHTWEIGHT, cutoff_layers=[2, 3, 4, 5, 6], head="position").compute_score(OTHERS)
    np.testing.assert_allclose(by_position[:, [1, 4]], scores, atol=1e-5)  # with all layers named, place and layer agree


@pytest.mark.parametrize("kind", FAMILIES)
def test_neither_order_nor_budget_changes_a_score(kind):
    folder, settings = FAMILIES[kind]
    model, small = load(folder, **settings), load(folder, **settings, batch_tokens=90)
    alone = np.concatenate([model.compute_score([pair]) for pair in OTHERS])
    np.testing.assert_allclose(model.compute_score(OTHERS), alone, atol=1e-5)
    np.testing.assert_allclose(model.compute_score(OTHERS[::-1])[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(small.compute_score(OTHERS), alone, atol=1e-5)
    assert alone.dtype == np.float32
    assert model.compute_score([]).shape == (0, *alone.shape[1:])


@pytest.mark.parametrize("kind", FAMILIES)
def test_scores_from_tokens_are_those_from_texts(kind):
    folder, settings = FAMILIES[kind]
    model = load(folder, **settings, max_length=40)
    queries, passages = model.pair_tokenizer.queries(["what is panda?", "x"]), model.pair_tokenizer.passages(["hi", "a bear " * 40])
    scores = model.score_tokens(queries, passages, np.array([[1, 0], [0, 1]], np.int32), normalize=True)
    texts = model.compute_score([("x", "hi"), ("what is panda?", "a bear " * 40)], normalize=True)
    np.testing.assert_allclose(scores, texts, atol=1e-6)
    assert passages.truncated == 1


def test_compression_takes_means_of_passage_tokens_alone():
    hidden = torch.arange(11.0)[:, None].repeat(1, 2)
    # 4 query tokens, a passage of 5 and 1 after it; and a passage of none
    pairs = SharedPrefixes(Spans(np.array([4, 6, 1]), hidden.device), np.array([0, 0]))
    merged, lay = Compression(2, (1,), ending=1).merge(hidden, pairs)
    assert merged[:, 0].tolist() == [0, 1, 2, 3, 4.5, 6.5, 8, 9, 10]
    assert lay.pieces.lengths.tolist() == [4, 4, 1] and lay.prefix_of.tolist() == [0, 0]


def test_a_prompt_reads_as_the_models_were_trained():
    tokenizer = PromptTokenizer(GEMMA, max_length=24)
    rust = tokenizer._tokenizer
    query, passage = tokenizer.queries(["what is panda?"]).take(0), tokenizer.passages(["a bear " * 40]).take(0)
    kept = int(tokenizer.kept([len(query)], [len(passage)])[0])
    text = rust.decode(joined(tokenizer, query, passage[:kept]).tolist(), skip_special_tokens=False)
    assert text.startswith("<bos>A: what is panda?\nB: a bear a bear") and text.endswith(f"\n{tokenizer.prompt}")
    assert tokenizer.prompt.endswith("'Yes' or 'No'.") and PromptTokenizer(LIGHTWEIGHT).prompt.startswith("Predict whether passage B")


def test_a_passage_gives_up_what_is_over_unless_that_is_all_of_it():
    tokenizer = PromptTokenizer(GEMMA, max_length=20)
    room = 20 + tokenizer.ending - 2  # bos and newline
    lengths = np.array([room - 5, room - 5, room - 5, room - 1, room])
    assert tokenizer.kept(lengths, np.array([4, 5, 9, 4, 4])).tolist() == [4, 5, 5, 1, 4]


def test_a_bos_that_pads_is_left_out(tmp_path):
    shutil.copytree(GEMMA, tmp_path / "model")
    config = json.loads((GEMMA / "tokenizer_config.json").read_text())
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": {"content": "<bos>"}}))
    without, whole = (joined(PromptTokenizer(folder), np.array([5]), np.array([6])).tolist() for folder in (tmp_path / "model", GEMMA))
    assert whole == [2, *without] and without[0] == 5


@pytest.mark.parametrize("name", ["tiny-bge-multilingual-gemma2", "tiny-bge-en-icl"])
def test_any_language_model_of_our_families_can_answer_yes(name, tmp_path):
    """Against transformers' whole logits: Gemma 2 ties its head and caps what it says, Mistral has a head of its own."""
    shutil.copytree(PARITY / "ckpt" / name, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    kind = {"gemma2": "Gemma2ForCausalLM", "mistral": "MistralForCausalLM"}[config["model_type"]]
    weights = {f"model.{key}": tensor for key, tensor in load_file(tmp_path / "model" / "model.safetensors").items()}
    if kind == "MistralForCausalLM":
        weights["lm_head.weight"] = torch.randn(config["vocab_size"], config["hidden_size"], generator=torch.Generator().manual_seed(1))
    weights["model.norm.weight"] = weights["model.norm.weight"] + 20  # large logits, which the cap then bends
    del config["tie_word_embeddings"]
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "architectures": [kind]}))
    save_file(weights, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    model = load(tmp_path / "model")
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "model", attn_implementation="eager", dtype=torch.float32).eval()
    tokenizer = model.pair_tokenizer
    for (query, passage), score in zip(OTHERS, model.compute_score(OTHERS), strict=True):
        ids = joined(tokenizer, tokenizer.queries([query]).take(0), tokenizer.passages([passage]).take(0))
        with torch.inference_mode():
            logits = network(torch.tensor(ids[None], dtype=torch.long)).logits[0, -1]
        assert_same(score, float(logits[tokenizer.yes_id]))


def test_layers_between_the_heads_can_not_score(tmp_path):
    shutil.copytree(LIGHTWEIGHT, tmp_path / "model")
    config = json.loads((LIGHTWEIGHT / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "layer_sep": 2}))
    by_place = load(LIGHTWEIGHT, cutoff_layers=[2, 4, 6], head="position").compute_score(PAIRS)
    np.testing.assert_allclose(load(tmp_path / "model", cutoff_layers=[6, 4]).compute_score(PAIRS), by_place[:, [2, 1]], atol=1e-5)
    with pytest.raises(UserError, match="scores at layers 2 to 6 in steps of 2"):
        load(tmp_path / "model", cutoff_layers=3)


def test_an_untied_head_gives_its_own_yes_row(tmp_path):
    shutil.copytree(GEMMA, tmp_path / "model")
    weights = load_file(GEMMA / "model.safetensors")
    words = next(name for name in weights if name.endswith("embed_tokens.weight"))
    save_file({**weights, "lm_head.weight": weights[words] * -2}, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    assert_same(load(tmp_path / "model").compute_score(PAIRS), REFERENCE["FlagLLMReranker/default"])  # tied: as transformers has it
    config = json.loads((GEMMA / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    assert_same(load(tmp_path / "model").compute_score(PAIRS), -2 * np.array(REFERENCE["FlagLLMReranker/default"]))


@pytest.mark.parametrize(
    ("folder", "settings", "sentence"),
    [
        (LAYERWISE, {"cutoff_layers": [1]}, r"cutoff_layers is \[1\], but .* scores at layers 2 to 6"),
        (LAYERWISE, {"cutoff_layers": [4, 7]}, "scores at layers 2 to 6"),
        (LIGHTWEIGHT, {"cutoff_layers": 1}, "scores at layers 2 to 6"),
        (LIGHTWEIGHT, {"compress_ratio": 0}, "compress_ratio is 0"),
        (LIGHTWEIGHT, {"head": "last"}, "head 'last' is unknown: use layer or position"),
        (GEMMA, {"cutoff_layers": [3]}, "is used as llm, which has no cutoff_layers, only layerwise, lightweight have"),
        (LAYERWISE, {"compress_ratio": 2}, "layerwise, which has no compress_ratio"),
        (PARITY / "ckpt" / "tiny-bge-reranker", {"cutoff_layers": [8]}, "cross_encoder, which has no cutoff_layers"),
        (PARITY / "ckpt" / "tiny-bge-reranker", {"prompt": "Is it?"}, "cross_encoder, which has no prompt"),
        (PARITY / "ckpt" / "tiny-bge-en", {"kind": "late_interaction", "head": "position"}, "late_interaction, which has no head"),
        (GEMMA, {"kind": "layerwise"}, "is a llm reranker, not layerwise: set kind to auto or llm"),
        (PARITY / "ckpt" / "tiny-bge-code-v1", {}, "is an encoder, not a reranker"),
        (PARITY / "ckpt" / "tiny-bge-code-v1", {"kind": "llm"}, "is an encoder, not a reranker"),
        (LAYERWISE, {"max_length": 2040}, "max_length is 2040, but with the prompt .* has positions for"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        load(folder, **settings)


def test_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="cutoff_layer'"):
        load(LAYERWISE, cutoff_layer=3)


@pytest.mark.parametrize("folder", [GEMMA, LAYERWISE, LIGHTWEIGHT])
def test_an_llm_reranker_is_no_encoder(folder):
    with pytest.raises(UserError, match="is a reranker"):
        load_encoder(folder, device="cpu")


def test_a_query_that_leaves_no_room_for_the_models_positions_is_one_sentence():
    model = load(LAYERWISE, max_length=100, query_max_length=2030)
    with pytest.raises(UserError, match="lower query_max_length to at most 75"):
        model.compute_score([("panda " * 3000, "hi")])
