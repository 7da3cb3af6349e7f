"""Texts that begin alike: their common tokens go through a decoder once, and nothing that comes out changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.models.backbones import Decoder, SharedPrefixes, Tensors, by_prefix, pack, pack_prefixes
from actors.models.backbones.packing import Spans
from actors.models.backbones.shared_prefixes import common_prefix, pack_alike
from actors.models.batching import run_with_budget
from actors.models.description import read_description
from actors.models.tokens import TokenBatch
from tests.networks import NETWORKS, random_network

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
    places, joined = SharedPrefixes.concatenate(parts)
    flat = torch.cat(flats)[places]
    assert texts_in(flat, joined) == before
    rows = np.array(data.draw(st.lists(st.integers(0, len(joined) - 1), min_size=1, unique=True)))
    places, some = joined.take(rows)
    assert texts_in(flat[places], some) == [before[row] for row in rows]
    assert len(some.pieces.lengths) - len(rows) == len(set(joined.prefix_of[rows].tolist()))  # no prefix that nobody needs


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60)), max_size=30), st.integers(20, 300))
def test_batches_keep_texts_of_a_prefix_together_and_to_the_budget(texts, budget):
    prefix_of, suffixes = np.array(texts, np.int64).reshape(-1, 2).T
    prefix_lengths = np.array([5, 9, 30, 1])[prefix_of]
    order, costs = by_prefix(prefix_lengths, suffixes, prefix_of)
    batches: list[np.ndarray] = []
    run_with_budget(costs, budget, batches.append, order)
    rows = np.concatenate([*batches, np.zeros(0, np.int64)]).astype(int)
    assert sorted(rows.tolist()) == list(range(len(texts)))
    seen = prefix_of[rows]
    assert len(np.flatnonzero(np.diff(seen))) + bool(len(seen)) == len(set(seen.tolist()))
    for batch in batches:
        computed = suffixes[batch].sum() + sum(int(prefix_lengths[prefix_of == prefix][0]) for prefix in set(prefix_of[batch].tolist()))
        again = prefix_lengths[batch[0]]
        assert len(batch) == 1 or computed <= budget + again


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
