"""Sections of a config in, models out: what a worker opens is what load_encoder and load_reranker would."""

import json

import numpy as np
import pytest

from actors.loading import EncoderSpec, RerankerSpec
from actors.models import load_reranker
from actors.models.text_tokenizer import TextTokenizer
from configs.errors import UserError
from configs.schema import EmbedConfig, RerankConfig, S3Config
from tests.actors.models.test_adapters import CKPT, ENCODER, GEMMA, PAIRS, TEXTS, adapt

EXAMPLES = [{"query": "what is panda?", "response": "a bear of china", "instruct": "Find its kind."}, {"query": "hi", "response": "bear"}]


def encoder_spec(**section) -> EncoderSpec:
    return EncoderSpec(EmbedConfig.model_validate(section), "fp32", S3Config(), "cpu")


def test_an_embedders_adapter_is_merged_and_belongs_to_its_identity(tmp_path):
    adapter, merged = adapt(ENCODER, tmp_path, ("q_proj", "v_proj"))
    spec = encoder_spec(model=str(ENCODER), adapter=str(adapter))
    want = encoder_spec(model=str(merged)).encoder().encode_corpus(TEXTS).dense
    np.testing.assert_allclose(spec.encoder().encode_corpus(TEXTS).dense, want, atol=1e-6)
    identities = {encoder_spec(model=str(ENCODER)).weights, spec.weights}
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "lora_alpha": 1}))
    assert len(identities | {spec.weights}) == 3


def test_a_rerankers_adapter_is_merged(tmp_path):
    adapter, merged = adapt(GEMMA, tmp_path, ("q_proj", "v_proj"))
    spec = RerankerSpec(RerankConfig(model=str(GEMMA), adapter=str(adapter)), "fp32", S3Config(), "llm", device="cpu")
    want = load_reranker(merged, device="cpu", precision="fp32").compute_score(PAIRS)
    np.testing.assert_allclose(spec.reranker().compute_score(PAIRS), want, atol=1e-4)


def test_examples_of_a_config_are_read_before_every_query():
    folder = CKPT / "tiny-bge-en-icl"
    tokenizer = encoder_spec(model=str(folder), examples=EXAMPLES).tokenizer()
    want = TextTokenizer(folder, examples=EXAMPLES).queries(TEXTS)
    assert tokenizer.queries(TEXTS).values.tolist() == want.values.tolist() != TextTokenizer(folder).queries(TEXTS).values.tolist()


def test_a_folder_that_is_no_adapter_is_told(tmp_path):
    with pytest.raises(UserError, match=r"lacks adapter_config\.json: give the folder that peft's save_pretrained wrote"):
        encoder_spec(model=str(ENCODER), adapter=str(tmp_path)).encoder()
