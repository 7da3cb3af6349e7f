"""When late interaction takes the token vectors that the index keeps, and what these take on disk."""

from dataclasses import replace

import pytest

from actors.corpus.listing import list_files
from actors.corpus.planning import count_rows, plan_units
from actors.loading import RerankerSpec
from actors.models.checkpoint import read_description
from actors.models.text_tokenizer import TextTokenizer
from actors.reader import Reader, Workplace
from actors.storage.local_store import LocalStore
from configs.schema import CorpusConfig, RerankConfig, S3Config
from pipelines.asking import stored_vectors_fit
from pipelines.estimates import token_vector_bytes
from tests.jobs import CHECKPOINTS

MODEL = CHECKPOINTS / "tiny-bge-en"


@pytest.fixture
def spec() -> RerankerSpec:
    return RerankerSpec(RerankConfig(kind="late_interaction", model=str(MODEL)), "fp32", S3Config(), "late_interaction")


@pytest.fixture
def facts(spec):
    info, tokenizer = read_description(MODEL), TextTokenizer(MODEL)
    return {
        "store_token_vectors": True,
        "weights": spec.weights,
        "precision": "fp32",
        "dimension": info.hidden_size,
        "normalize": True,
        "max_length": tokenizer.max_length,
        "passage_instruction": tokenizer.passage_instruction,
    }


def test_vectors_of_the_same_model_and_settings_are_taken(spec, facts):
    assert stored_vectors_fit(spec, read_description(MODEL), facts)


@pytest.mark.parametrize(
    "difference",
    [
        {"store_token_vectors": False},
        {"weights": "another model's"},
        {"precision": "bf16"},
        {"dimension": 16},
        {"normalize": False},
        {"max_length": 64},
        {"passage_instruction": "passage: "},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_vectors_that_the_reranker_would_not_compute_itself_are_left(spec, facts, difference):
    assert not stored_vectors_fit(spec, read_description(MODEL), {**facts, **difference})


def test_a_reranker_that_cuts_texts_elsewhere_computes_its_own(spec, facts):
    shorter = replace(spec, config=spec.config.model_copy(update={"max_length": 64}))
    assert not stored_vectors_fit(shorter, read_description(MODEL), facts)
    assert stored_vectors_fit(shorter, read_description(MODEL), {**facts, "max_length": 64})


def test_the_space_of_token_vectors_is_told_from_the_first_texts(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("".join(f'{{"_id": "p{i}", "text": "giant panda"}}\n' for i in range(1000)))
    spec, s3 = CorpusConfig(path=str(tmp_path / "corpus.jsonl")), S3Config()
    units = plan_units([count_rows(file, s3, 300, "stop", "corpus") for file in list_files(spec, s3, "corpus")], 300, "")
    tokenizer = TextTokenizer(MODEL)
    tokens = int(tokenizer.passages(["giant panda"]).lengths.sum())
    reader = Reader(spec, s3, "corpus", Workplace(LocalStore(tmp_path), "", "test"))
    assert token_vector_bytes(units, reader, tokenizer, 32) == 1000 * tokens * 32 * 2
