"""The tiny checkpoints on inputs that their reference outputs do not have, against transformers' own networks on the same ids."""

import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from actors.models import load_encoder, load_reranker
from tests.jobs import CHECKPOINTS, sentence

RNG = random.Random(20261122)
TEXTS = [*(sentence(RNG, 1, 60) for _ in range(20)), "北京的大熊猫是中国特有的 🙂", "", "Ⅷ naïve — 12.5 %"]
PAIRS = [(RNG.choice(TEXTS), RNG.choice(TEXTS)) for _ in range(30)]


def check(got: np.ndarray, want: np.ndarray) -> None:
    assert got.shape == want.shape
    assert (np.abs(got - want) <= 1e-4 * np.maximum(1.0, np.abs(want))).all(), f"off by {np.abs(got - want).max():.1e}"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("tiny-bge-en", 0),
        ("tiny-bge-m3", 0),
        ("tiny-bge-code-v1", -1),
        ("tiny-bge-en-icl", -1),
        ("tiny-bge-multilingual-gemma2", -1),
    ],
)
def test_vectors_are_transformers_states_of_the_pooled_token(name, place):
    encoder = load_encoder(CHECKPOINTS / name, device="cpu", precision="fp32")
    model = AutoModel.from_pretrained(CHECKPOINTS / name, attn_implementation="eager", dtype=torch.float32).eval()
    tokens = encoder.tokenizer.passages(TEXTS)
    with torch.inference_mode():
        states = [
            model(input_ids=torch.from_numpy(tokens.take(row))[None].long()).last_hidden_state[0, place] for row in range(len(tokens))
        ]
    want = torch.nn.functional.normalize(torch.stack(states), dim=-1).numpy()
    check(encoder.encode_corpus(TEXTS).dense, want)


@pytest.mark.parametrize("name", ["tiny-bge-reranker", "tiny-bert-reranker"])
@pytest.mark.parametrize("max_length", [512, 40])
def test_cross_encoders_score_as_transformers_does(name, max_length):
    tokenizer = Tokenizer.from_file(str(CHECKPOINTS / name / "tokenizer.json"))  # transformers 5 loses XLM-R's NFKC
    tokenizer.enable_truncation(max_length, strategy="only_second")
    model = AutoModelForSequenceClassification.from_pretrained(CHECKPOINTS / name, dtype=torch.float32).eval()
    pairs = [(query[: max_length // 4], passage) for query, passage in PAIRS]
    with torch.inference_mode():
        joined = [tokenizer.encode(*pair) for pair in pairs]
        inputs = [(torch.tensor([one.ids]), torch.tensor([one.type_ids])) for one in joined]
        want = torch.stack([model(input_ids=ids, token_type_ids=types).logits[0, 0] for ids, types in inputs]).numpy()
    check(load_reranker(CHECKPOINTS / name, device="cpu", precision="fp32", max_length=max_length).compute_score(pairs), want)


def test_the_yes_logit_is_transformers():
    folder = CHECKPOINTS / "tiny-bge-reranker-v2-gemma"
    reranker = load_reranker(folder, device="cpu", precision="fp32")
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    yes = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("Yes", add_special_tokens=False).ids[0]
    pieces = reranker.pair_tokenizer
    with torch.inference_mode():
        halves = [(pieces.queries([query]).take(0), pieces.passages([passage]).take(0)) for query, passage in PAIRS]
        prompts = [np.concatenate([pieces.before_passage(query), pieces.from_passage_on(passage)]) for query, passage in halves]
        want = torch.stack([model(input_ids=torch.from_numpy(ids)[None].long()).logits[0, -1, yes] for ids in prompts]).numpy()
    check(reranker.compute_score(PAIRS), want)
