"""Chinese and English side by side: XQuAD through the shipped config, with tiny models whose tokenizers know each language."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertModel

from actors.models import load_encoder
from actors.models.text_tokenizer import TextTokenizer
from configs.load import load_config
from tests.jobs import ROOT, read_rankings

XQUAD = ROOT / "tests" / "data" / "xquad"
INSTRUCTIONS = {
    "zh": "为这个句子生成表示以用于检索相关文章：",  # noqa: RUF001 - the model's own colon
    "en": "Represent this sentence for searching relevant passages: ",
}


def texts(language: str, file: str) -> dict[str, str]:
    return {row["_id"]: row["text"] for row in map(json.loads, (XQUAD / language / file).read_text("utf-8").splitlines())}


def make_checkpoint(folder: Path, language: str, kind: type) -> Path:
    """A small random BERT whose mean is close to a bag of words, with a tokenizer of the kind that bge-*-zh and bge-*-en have."""
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    known = [*texts(language, "corpus.jsonl").values(), *texts(language, "queries.jsonl").values(), INSTRUCTIONS[language]]
    tokenizer.train_from_iterator(known, vocab_size=4000, min_frequency=1, show_progress=False)
    shape = {"hidden_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "num_labels": 1}
    torch.manual_seed(0)
    model = kind(BertConfig(vocab_size=tokenizer.get_vocab_size(), **shape))
    torch.nn.init.zeros_(model.base_model.embeddings.position_embeddings.weight)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.cluster
@pytest.mark.parametrize("language", ["zh", "en"])
def test_xquad_runs_through_the_chinese_config(language, tmp_path, local_ray):
    from pipelines import run

    encoder = make_checkpoint(tmp_path / f"tiny-bge-base-{language}-v1.5", language, BertModel)
    reranker = make_checkpoint(tmp_path / "tiny-reranker", language, BertForSequenceClassification)
    folder = XQUAD / language
    overrides = {"corpus.path": folder, "queries.path": folder, "queries.qrels": folder / "qrels" / "test.tsv"}
    overrides |= {"store.uri": tmp_path / "store", "embed.model": encoder, "rerank.model": reranker}
    overrides |= {"embed.precision": "fp32", "rerank.precision": "fp32", "embed.pooling": "mean", "embed.tokenizers": 2}
    config = load_config("chinese", [f"{field}={value}" for field, value in overrides.items()])
    report = run(config)

    queries, rows = texts(language, "queries.jsonl"), read_rankings(config)
    unknown = TextTokenizer(encoder).queries(list(queries.values())).values == 1
    assert unknown.mean() < 0.01
    assert {row["query_id"] for row in rows} == set(queries) and len(rows) == 118 * 20
    assert report.metrics["retrieved"]["recall_at_10"] > 0.6  # of 40 passages, 10 at random would be a quarter
    given = load_encoder(encoder, device="cpu", precision="fp32", pooling="mean", query_instruction=INSTRUCTIONS[language])
    first = rows[:20]
    passages = given.encode_corpus([texts(language, "corpus.jsonl")[row["passage_id"]] for row in first]).dense
    expected = passages @ given.encode_queries([queries[first[0]["query_id"]]]).dense[0]
    assert [row["retrieval_score"] for row in first] == pytest.approx(expected.tolist(), abs=1e-3)
