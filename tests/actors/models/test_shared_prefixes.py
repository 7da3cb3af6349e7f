"""Texts that begin alike: their common tokens go through a decoder once, and nothing that comes out changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from actors.models import load_encoder, load_reranker
from actors.models.backbones import Decoder, SharedPrefixes, Tensors, common_prefix, pack, pack_alike, pack_prefixes
from actors.models.backbones.packing import Spans
from actors.models.description import read_description
from actors.models.tokens import TokenBatch
from tests.networks import NETWORKS, random_network

CKPT = Path(__file__).parents[2] / "data" / "parity" / "ckpt"
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", NETWORKS)
def test_no_state_changes_where_a_beginning_is_shared(name, tmp_path):
    """Windows shorter than a prefix, grouped heads, capped scores; prefixes of several lengths, and one with a single suffix."""
    random_network(name, tmp_path)
    decoder = Decoder(read_description(tmp_path).config, Tensors(tmp_path, CPU, torch.float32))
    rng = np.random.default_rng(0)
    prefixes = [rng.integers(1, 97, length) for length in (11, 1, 7)]
    prefix_of = np.array([0, 0, 1, 0, 2, 1, 0])
    suffixes = [rng.integers(1, 97, length) for length in (9, 9, 4, 1, 17, 4, 1)]
    whole = [np.concatenate([prefixes[prefix], suffix]) for prefix, suffix in zip(prefix_of, suffixes, strict=True)]
    with torch.inference_mode():
        apart = pack(TokenBatch.from_rows(whole), np.arange(len(whole)), CPU)
        shared = pack_prefixes(prefixes, suffixes, prefix_of, CPU)
        states, one_by_one = decoder(shared), decoder(apart).split([len(row) for row in whole])
        torch.testing.assert_close(decoder(shared, "last"), decoder(apart, "last"), atol=1e-5, rtol=1e-5)
        pieces = states.split(shared.spans.pieces.lengths.tolist())
        for text, (prefix, states_alone) in enumerate(zip(prefix_of, one_by_one, strict=True)):
            torch.testing.assert_close(torch.cat([pieces[prefix], pieces[3 + text]]), states_alone, atol=1e-5, rtol=1e-5)
    assert len(shared.ids) == 19 + 45 < len(apart.ids)


@st.composite
def layouts(draw) -> SharedPrefixes:
    count = draw(st.integers(1, 3))
    prefix_of = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=6))
    lengths = draw(st.lists(st.integers(1, 4), min_size=count + len(prefix_of), max_size=count + len(prefix_of)))
    return SharedPrefixes(Spans(np.array(lengths), CPU), np.array(prefix_of))


def texts_in(flat: torch.Tensor, layout: SharedPrefixes) -> list[list[int]]:
    """What each text reads in a flat tensor, its prefix first."""
    keys = layout.keys(last_only=True)
    return [part.tolist() for part in keys.take(flat).split(keys.spans.lengths.tolist())]


@given(st.lists(layouts(), min_size=1, max_size=3), st.data())
def test_texts_taken_out_and_joined_again_read_as_before(parts, data):
    flats = [torch.arange(int(part.pieces.lengths.sum())) + 100 * number for number, part in enumerate(parts)]
    before = [text for flat, part in zip(flats, parts, strict=True) for text in texts_in(flat, part)]
    owners = np.arange(len(before))[::-1]
    places, joined = SharedPrefixes.concatenate(parts, owners)
    flat = torch.cat(flats)[places]
    assert texts_in(flat, joined) == before
    rows = np.array(data.draw(st.lists(st.integers(0, len(joined) - 1), min_size=1, unique=True)))
    places, some = joined.take(rows)
    assert texts_in(flat[places], some) == [before[row] for row in rows]
    assert len(some.pieces.lengths) - len(rows) == len(set(joined.prefix_of[rows].tolist()))  # no prefix that nobody needs


@given(layouts(), st.data())
def test_parts_of_one_layout_find_their_prefixes_again(layout, data):
    """As when the pairs of a query were cut into several batches."""
    flat = torch.arange(int(layout.pieces.lengths.sum()))
    rows = data.draw(st.permutations(range(len(layout))))
    cut = data.draw(st.integers(1, len(rows)))
    chosen = [np.array(part) for part in (rows[:cut], rows[cut:]) if part]
    parts = [layout.take(part) for part in chosen]
    places, joined = SharedPrefixes.concatenate([part for _, part in parts], layout.prefix_of[rows])
    there = torch.cat([flat[places] for places, _ in parts])[places]
    assert texts_in(there, joined) == [texts_in(flat, layout)[row] for row in rows]
    assert len(joined.pieces.lengths) - len(rows) == len(set(layout.prefix_of.tolist()))


def operations(work) -> int:
    """Multiplications and additions of all matrix products."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def test_queries_behind_the_same_examples_cost_little_more_than_one():
    examples = [{"query": "what is panda", "response": "a bear " * 30}]
    encoder = load_encoder(CKPT / "tiny-bge-en-icl", device="cpu", precision="fp32", query_instruction="Find.", examples=examples)
    queries = [f"capital of {country}" for country in ("France", "Chile", "Nepal", "Kenya")]
    assert operations(lambda: encoder.encode_queries(queries)) < 2 * operations(lambda: encoder.encode_queries(queries[:1]))


@pytest.mark.parametrize("name", ["tiny-bge-reranker-v2-gemma", "tiny-bge-reranker-v2-minicpm-layerwise"])
def test_a_querys_candidates_share_what_it_costs(name):
    reranker = load_reranker(CKPT / name, device="cpu", precision="fp32", prompt="Yes?")
    one, others = ([(f"{query} {'what is a panda ' * 20}", f"bear {i}") for i in range(4)] for query in ("one", "two"))
    alone = sum(operations(lambda pair=pair: reranker.compute_score([pair])) for pair in (*one, *others))
    assert operations(lambda: reranker.compute_score([*one, *others])) < alone / 2


@pytest.mark.parametrize(
    ("texts", "shared"),
    [
        ([[1, 2, 3, 4], [1, 2, 3, 5, 6]], 3),
        ([[1, 2, 3, 4], [1, 2, 3, 4]], 3),  # each keeps a token of its own
        ([[1, 2, 3, 4], [9, 2, 3, 4]], 0),
        ([[1, *range(2, 40)], [1, *range(50, 90)]], 0),  # one token of forty is not worth it
        ([[1, 2, 3]], 0),
        ([], 0),
    ],
)
def test_the_common_beginning_of_all_texts(texts, shared):
    tokens = TokenBatch.from_rows([np.array(ids, np.int32) for ids in texts])
    assert common_prefix(tokens) == shared
    if shared:
        packed = pack_alike(tokens, np.arange(len(texts)), shared, CPU)
        assert texts_in(packed.ids, packed.spans) == texts
