"""Ids: truncation and its count, instructions, the layout of pairs, and tokenizers without tokenizer.json."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.models.beginnings import beginning_of
from actors.models.checkpoint import read_description
from actors.models.text_tokenizer import PairTokenizer, TextTokenizer
from actors.models.tokenizing import open_tokenizer, tokenize
from actors.models.tokens import TokenBatch
from configs.errors import UserError

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
BERT, XLMR = CKPT / "tiny-bert-reranker", CKPT / "tiny-bge-reranker"


def test_only_texts_that_lost_tokens_count_as_truncated():
    tokenizer = TextTokenizer(CKPT / "tiny-bge-en", max_length=8)
    tokens = tokenizer.passages(["the", "the " * 6, "the " * 7, "the " * 50])
    assert tokens.lengths.tolist() == [3, 8, 8, 8] and tokens.truncated == 2
    assert tokens.take(3)[-1] == tokens.take(0)[-1]  # the closing special token stays


def long_text(rng: random.Random) -> str:
    """Words, numbers, other scripts, runs of white space, stretches without any: in pieces, so that some of it stands at every place."""
    alphabets = [
        "the giant panda eats bamboo in China".split(),
        ["12.5", "a-b", "www.x.org/?q=1"],
        ["大熊猫吃竹子", "北京"],
        ["naïve", "Ⅷ", "ﬁn", "é"],
        ["🐼", "👩‍🔬"],
    ]
    parts = []
    for _ in range(rng.randint(2, 9)):
        words = rng.choices(rng.choice(alphabets), k=rng.choice([1, 20, 150]))
        parts.append(rng.choice([" ", "  ", "\n", " \t ", "\u3000", "", "\u00a0"]).join(words))
    return rng.choice(["", " ", "\n\n"]).join(parts)


@pytest.mark.parametrize("name", sorted(path.name for path in CKPT.iterdir()))
def test_a_long_texts_ids_are_those_of_the_whole_text(name):
    rng, reference, ours = random.Random(name), *(open_tokenizer(read_description(CKPT / name)) for _ in range(2))
    texts = [long_text(rng) for _ in range(24)] + ["x" * 3_000, " " * 3_000, "panda " * 900, "竹" * 3_000]
    for tokenizer in (reference, ours):
        tokenizer.enable_truncation(16)
    tokens = tokenize(ours, texts, True, 16)
    whole = [reference.encode(text) for text in texts]
    assert [tokens.take(row).tolist() for row in range(len(texts))] == [encoding.ids for encoding in whole]
    assert tokens.truncated == sum(bool(encoding.overflowing) for encoding in whole) > 18
    assert sum(beginning_of(text, 16) != text for text in texts) > 6


def test_an_instruction_is_a_prefix_or_a_frame_and_an_empty_one_overrides_the_checkpoints(tmp_path):
    shutil.copytree(CKPT / "tiny-bge-en", tmp_path / "model")
    (tmp_path / "model" / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "find ", "document": "text "}}))
    plain = TextTokenizer(tmp_path / "model", query_instruction="", passage_instruction="")
    own = TextTokenizer(tmp_path / "model", query_instruction="<{}>")
    assert (own.query_instruction, own.passage_instruction) == ("<{}>", "text ")
    assert own.queries(["panda"]).values.tolist() == plain.queries(["<panda>"]).values.tolist()
    assert own.passages(["panda"]).values.tolist() == plain.passages(["text panda"]).values.tolist()
    assert TextTokenizer(tmp_path / "model").queries(["panda"]).values.tolist() == plain.queries(["find panda"]).values.tolist()


def test_queries_can_be_kept_shorter_than_passages():
    tokenizer = TextTokenizer(CKPT / "tiny-bge-en", max_length=20, query_max_length=10)
    assert tokenizer.queries(["the " * 50]).lengths.tolist() == [10]
    assert tokenizer.passages(["the " * 50]).lengths.tolist() == [20]


def test_a_folder_with_only_a_vocabulary_gives_the_same_ids(tmp_path):
    texts = ["What is a panda?", "Привет 🙂 熊猫", ""]
    for name in ("config.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(CKPT / "tiny-bge-en" / name, tmp_path)
    assert TextTokenizer(tmp_path).passages(texts).values.tolist() == TextTokenizer(CKPT / "tiny-bge-en").passages(texts).values.tolist()


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    shutil.copytree(CKPT / "tiny-bge-en", tmp_path / "model")
    shutil.copy(XLMR / "tokenizer.json", tmp_path / "model" / "tokenizer.json")
    with pytest.raises(UserError, match="490 tokens but the model 392"):
        TextTokenizer(tmp_path / "model")


def test_tokenising_needs_no_torch():
    code = "import sys; from pathlib import Path; from actors.models.text_tokenizer import PairTokenizer; "
    code += f"PairTokenizer(Path({str(BERT)!r})); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_xlmr_pairs_have_two_separators_and_no_types():
    tokenizer = PairTokenizer(XLMR)
    query, passage = tokenizer.queries(["what is panda?"]).take(0), tokenizer.passages(["hi"]).take(0)
    ids, types = tokenizer.join(query, passage)
    assert ids.tolist() == [0, *query, 2, 2, *passage, 2]
    assert not types.any() and tokenizer.special_tokens == 4


def test_bert_pairs_have_one_separator_and_types():
    tokenizer = PairTokenizer(BERT)
    query, passage = tokenizer.queries(["what is panda?"]).take(0), tokenizer.passages(["the bear"]).take(0)
    ids, types = tokenizer.join(query, passage)
    assert ids.tolist() == [2, *query, 3, *passage, 3]
    assert types.tolist() == [0] * (len(query) + 2) + [1] * (len(passage) + 1)


def test_only_the_passage_gives_up_tokens_and_only_if_it_has_enough():
    tokenizer = PairTokenizer(BERT, max_length=24)
    query = np.arange(10, 20, dtype=np.int32)
    cut, _ = tokenizer.join(query, np.arange(100, 120, dtype=np.int32))
    assert cut.tolist() == [2, *query, 3, *range(100, 111), 3]  # 33 tokens: the last 9 of the passage go
    fits, _ = tokenizer.join(query, np.arange(100, 111, dtype=np.int32))
    assert len(fits) == 24
    last, _ = tokenizer.join(np.arange(10, 30, dtype=np.int32), np.array([100, 101, 102], np.int32))
    assert last.tolist() == [2, *range(10, 30), 3, 100, 3]  # 26 tokens: two of three go
    uncut, _ = tokenizer.join(np.arange(10, 31, dtype=np.int32), np.array([100, 101, 102], np.int32))
    assert len(uncut) == 27  # three over and three to give: nothing is cut, as in FlagEmbedding


def test_a_pair_longer_than_the_models_positions_is_one_sentence():
    tokenizer = PairTokenizer(BERT, query_max_length=512)
    with pytest.raises(UserError, match="lower query_max_length"):
        tokenizer.join(np.full(512, 10, np.int32), np.array([5], np.int32))


def test_pieces_are_cut_to_their_own_lengths_without_special_tokens():
    tokenizer = PairTokenizer(XLMR, max_length=24)
    queries, passages = tokenizer.queries(["the " * 90, "the"]), tokenizer.passages(["the " * 90])
    assert queries.lengths[0] == 18 and queries.truncated == 1
    assert passages.lengths.tolist() == [24] and passages.truncated == 1
    assert not set(queries.values.tolist()) & {0, 2}


def test_arrow_keeps_chunked_and_sliced_ids():
    tokens = TokenBatch.from_rows([np.array([1, 2, 3], np.int32), np.array([], np.int32), np.array([4], np.int32)], truncated=1)
    chunked = pa.chunked_array([tokens.to_arrow(), tokens.to_arrow()[2:]])
    back = TokenBatch.from_arrow(chunked, 1)
    assert [back.take(i).tolist() for i in range(len(back))] == [[1, 2, 3], [], [4], [4]]
    assert tokens.to_arrow().type == pa.large_list(pa.int32()) and back.truncated == 1
    assert len(TokenBatch.from_arrow(chunked.slice(0, 0))) == 0
