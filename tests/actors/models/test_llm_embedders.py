"""Embedding models with a decoder: FlagEmbedding's vectors, instructions as tasks, the token that ends a text, few-shot queries."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, processors

from actors.models import load_encoder
from actors.models.text_tokenizer import TextTokenizer
from configs.errors import UserError

PARITY = Path(__file__).parents[2] / "data" / "parity"
REFERENCE = json.loads((PARITY / "reference.json").read_text())
INPUTS = json.loads((PARITY / "inputs.json").read_text())
QUERIES, PASSAGES = INPUTS["queries"], INPUTS["passages"]
GEMMA2, QWEN2, ICL = (PARITY / "ckpt" / f"tiny-bge-{name}" for name in ("multilingual-gemma2", "code-v1", "en-icl"))
TASK = "Given a query, match passages."
EXAMPLES = [
    {"instruct": TASK, "query": "what is panda", "response": "a bear"},
    {"query": "capital of France", "response": "Paris"},
]
TEXTS = ["panda", "the giant panda is a bear endemic to China " * 6, "", "北京的大熊猫 🙂", "protein " * 40, "the highest point"]


def load(folder, **settings):
    return load_encoder(folder, device="cpu", precision="fp32", **settings)


def assert_same(got, case):
    want = np.array(REFERENCE[case])
    assert got.shape == want.shape
    assert np.all(np.abs(got - want) <= 1e-4 * np.maximum(1.0, np.abs(want))), f"{case}: off by {np.abs(got - want).max():.2e}"


@pytest.mark.parametrize(
    ("case", "folder", "settings"),
    [
        ("FlagLLMModel-gemma2/corpus", GEMMA2, {}),
        ("FlagLLMModel-gemma2/corpus_pad8_maxlen24", GEMMA2, {"max_length": 24}),
        ("FlagLLMModel-qwen2/corpus", QWEN2, {"batch_tokens": 100}),
        ("FlagICLModel/corpus", ICL, {}),
    ],
)
def test_passage_vectors_are_flagembeddings(case, folder, settings):
    assert_same(load(folder, **settings).encode_corpus(PASSAGES).dense, case)


@pytest.mark.parametrize("instruction", [TASK, f"<instruct>{TASK}\n<query>", f"<instruct>{TASK}\n<query>{{}}"])
@pytest.mark.parametrize(
    ("case", "folder"),
    [("FlagLLMModel-gemma2/queries", GEMMA2), ("FlagLLMModel-qwen2/queries", QWEN2), ("FlagICLModel/queries_noexamples", ICL)],
)
def test_query_vectors_are_flagembeddings_however_the_task_is_given(case, folder, instruction):
    assert_same(load(folder, query_instruction=instruction).encode_queries(QUERIES).dense, case)


@pytest.mark.parametrize("folder", [ICL, GEMMA2, QWEN2])
def test_queries_that_begin_alike_get_the_vectors_that_each_gets_alone(folder):
    """Their examples or instruction go through the network once a batch; a lone query has nothing to share."""
    settings = {"examples": EXAMPLES} if folder == ICL else {}
    encoder, small = (load(folder, query_instruction=TASK, **settings, batch_tokens=budget) for budget in (2048, 40))
    alone = np.concatenate([encoder.encode_queries([text]).dense for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_queries(TEXTS).dense, alone, atol=1e-5)
    np.testing.assert_allclose(small.encode_queries(TEXTS).dense, alone, atol=1e-5)


def test_few_shot_queries_are_flagembeddings():
    encoder = load(ICL, query_instruction=TASK, max_length=48, examples=EXAMPLES)
    encoded = encoder.encode_queries(QUERIES)
    assert_same(encoded.dense, "FlagICLModel/queries_examples")


@pytest.mark.parametrize("folder", [GEMMA2, QWEN2, ICL])
def test_neither_order_nor_budget_changes_a_vector(folder):
    encoder = load(folder)
    alone = np.concatenate([encoder.encode_queries([text]).dense for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_queries(TEXTS).dense, alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS[::-1]).dense[::-1], alone, atol=1e-5)
    np.testing.assert_allclose(load(folder, batch_tokens=30).encode_queries(TEXTS).dense, alone, atol=1e-5)


def test_a_long_query_is_cut_before_it_is_framed():
    """FlagICLModel's rule written out with the bare tokenizer."""
    rust, text, length = Tokenizer.from_file(str(ICL / "tokenizer.json")), "the giant panda is a bear endemic to China " * 9, 40

    def count(piece):
        return len(rust.encode(piece, add_special_tokens=False).ids)

    kept = rust.encode(f"<instruct>{TASK}\n<query>{text}", add_special_tokens=False).ids[
        : length - count("<s>") - count("\n<response></s>")
    ]
    example = f"<instruct>{TASK}\n<query>capital of France\n<response>Paris\n\n"
    framed = rust.encode(f"{example}{rust.decode(kept, skip_special_tokens=False)}\n<response>").ids
    tokens = TextTokenizer(ICL, length, TASK, examples=EXAMPLES[1:]).queries([text])
    assert tokens.values.tolist() == framed and tokens.truncated == 1


def test_a_query_is_cut_so_that_examples_and_cue_stay():
    tokenizer = TextTokenizer(ICL, 48, TASK, examples=EXAMPLES)
    tokens = tokenizer.queries(["panda", "panda " * 200])
    cue = Tokenizer.from_file(str(ICL / "tokenizer.json")).encode("\n<response>").ids[-2:]
    assert tokens.truncated == 1
    assert [tokens.take(i)[-2:].tolist() for i in (0, 1)] == [cue, cue]
    first = tokenizer.queries([""]).take(0)[:30].tolist()
    assert tokens.take(1)[:30].tolist() == first


@pytest.mark.parametrize(
    ("folder", "settings", "sentence"),
    [
        (ICL, {"examples": [{"query": "a"}]}, "example 0 has no field 'response'"),
        (ICL, {"examples": [*EXAMPLES, {"query": "a", "response": "b", "task": "c"}]}, "example 2 has a field 'task'"),
        (ICL, {"examples": [{"query": "a", "response": "panda " * 33_000}]}, "leave no room for a query"),
        (QWEN2, {"examples": EXAMPLES}, "takes no examples"),
        (ICL, {"pooling": "cls"}, "pooling cls takes the first token"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        load(folder, **settings)


def test_a_known_name_tells_that_a_language_model_embeds(tmp_path):
    for name, known in (("bge-code-v1", True), ("my-model", False)):
        shutil.copytree(QWEN2, tmp_path / name)
        config = json.loads((QWEN2 / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps({**config, "architectures": ["Qwen2ForCausalLM"]}))
        if known:
            assert load(tmp_path / name).pooling == "last"
        else:
            with pytest.raises(UserError, match=r"is a reranker \(kind llm\)"):
                load(tmp_path / name)


def test_what_is_no_text_is_a_type_error_for_few_shot_queries_too():
    with pytest.raises(TypeError, match="text 1 is a NoneType"):
        TextTokenizer(ICL, examples=EXAMPLES).queries(["fine", None])


def unended(folder: Path, target: Path) -> Path:
    """A copy whose tokenizer.json puts bos before a text and nothing behind it, as that of e5-mistral."""
    shutil.copytree(folder, target)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bos = tokenizer.token_to_id("<s>") or tokenizer.token_to_id("<bos>")
    single = [] if bos is None else [tokenizer.id_to_token(bos)]
    tokenizer.post_processor = processors.TemplateProcessing(single=[*single, "$A"], special_tokens=[(name, bos) for name in single])
    tokenizer.save(str(target / "tokenizer.json"))
    return target


@pytest.mark.parametrize("folder", [GEMMA2, QWEN2, ICL])
def test_a_text_ends_with_eos_even_where_the_tokenizer_leaves_it_out(folder, tmp_path):
    bare = TextTokenizer(unended(folder, tmp_path / folder.name), 12)
    whole = TextTokenizer(folder, 12)
    for tokens, want in ((bare.passages(TEXTS), whole.passages(TEXTS)), (bare.queries(TEXTS), whole.queries(TEXTS))):
        assert tokens.values.tolist() == want.values.tolist() and tokens.truncated == want.truncated


def test_sentence_transformers_files_decide_whether_eos_is_added(tmp_path):
    folder = unended(GEMMA2, tmp_path / "model")
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer", "path": ""}]))
    eos = TextTokenizer(GEMMA2).passages(["panda"]).take(0)[-1]
    assert TextTokenizer(folder).passages(["panda"]).take(0)[-1] != eos
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "add_eos_token": True}))
    assert TextTokenizer(folder).passages(["panda"]).take(0)[-1] == eos


def test_a_tokenizer_without_any_eos_is_one_sentence(tmp_path):
    folder = unended(QWEN2, tmp_path / "model")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_text("{}")
    with pytest.raises(UserError, match=r"names none \(eos_token\)"):
        TextTokenizer(folder)
