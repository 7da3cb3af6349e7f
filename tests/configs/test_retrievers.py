"""The retrievers of a config: what they may be, and whose identity they leave alone."""

import pytest

from actors.storage.fingerprints import fingerprint, semantic_fields
from configs.errors import UserError
from configs.load import build_config
from configs.schema import Config

LEAST = {"corpus": {"path": "c"}, "embed": {"model": "m"}}


def config(**search: object) -> Config:
    return build_config({**LEAST, "search": search}, "test")


def identity(config: Config) -> str:
    return fingerprint(semantic_fields(config))


def test_dense_vectors_alone_are_the_default_and_fetch_just_the_top_k():
    assert config().search.retrievers == ("dense",)
    assert config(top_k=20, fetch=500).search.depth == 20
    assert config(retrievers="bm25").search.retrievers == ("bm25",)


def test_several_retrievers_fetch_as_deep_as_told():
    assert config(retrievers=["dense", "bm25"], top_k=20).search.depth == 20
    assert config(retrievers=["dense", "bm25"], top_k=20, fetch=500).search.depth == 500


def test_the_language_of_terms_matters_where_bm25_is_asked():
    assert config(bm25={"language": "german"}).search.language is None
    assert config(retrievers=["dense", "bm25"], bm25={"language": "german"}).search.language == "german"


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({"retrievers": ["bm25", "bm25"]}, "search: retrievers names bm25 twice: name each once"),
        ({"retrievers": []}, "search.retrievers: tuple should have at least 1 item"),
        ({"retrievers": ["dense", "bm25"], "fetch": 50}, "fetch is 50 but top_k is 100: raise fetch to at least top_k"),
        ({"retrievers": ["dense", "sparse"]}, "search.retrievers names sparse, but embed.store_sparse is off: set it to true"),
        ({"weights": {"bm25": 0}}, "search.weights.bm25: input should be greater than 0"),
        ({"bm25": {"language": "klingon"}}, "search.bm25.language: input should be 'english', 'danish'"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(search, sentence):
    with pytest.raises(UserError) as refusal:
        config(**search)
    assert sentence in str(refusal.value)
