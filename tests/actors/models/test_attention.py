"""Attention of packed rows: each attends to itself alone, whatever its length and whoever stands beside it."""

import numpy as np
import pytest
import torch

from actors.models.backbones.attention import AttentionRule, attend
from actors.models.backbones.bf16_attention import attend_in_bf16
from actors.models.backbones.packing import Spans

HEADS, WIDTH = 3, 8
LENGTHS = [[5, 5, 5, 16, 16, 17, 17, 40], [33], [1, 2, 3], [70, 1], [16, 31, 31]]


def packed(lengths, seed=0):
    parts = torch.randn(sum(lengths), 3, HEADS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return parts.unbind(1)


def by_hand(query, key, value, scale):
    """In float64, one row: softmax(q k^T) v, head by head."""
    q, k, v = (part.double().transpose(0, 1) for part in (query, key, value))
    return ((q @ k.transpose(1, 2) * scale).softmax(-1) @ v).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_every_row_attends_to_all_of_itself_and_to_nothing_else(lengths):
    parts, spans = packed(lengths), Spans(np.array(lengths), torch.device("cpu"))
    found = attend(*parts, spans, spans, AttentionRule(scale=0.4))
    rows = zip(*(part.split(lengths) for part in parts), strict=True)
    torch.testing.assert_close(found.double(), torch.cat([by_hand(*row, 0.4) for row in rows]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_what_stands_beside_a_row_does_not_change_one_bit_of_it(lengths):
    spans, rule = Spans(np.array(lengths), torch.device("cpu")), AttentionRule(scale=0.4)
    parts = packed(lengths)
    before = attend(*parts, spans, spans, rule).split(lengths)
    for row in range(len(lengths)):
        others = packed(lengths)
        for part, own in zip(others, parts, strict=True):
            part.mul_(1e4)
            part.split(lengths)[row].copy_(own.split(lengths)[row])
        assert torch.equal(attend(*others, spans, spans, rule).split(lengths)[row], before[row])


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("last_only", [False, True])
def test_half_precision_attends_alike_on_machines_that_are_fast_at_it_and_on_others(lengths, last_only, monkeypatch):
    parts, spans = [part.bfloat16() for part in packed(lengths)], Spans(np.array(lengths), torch.device("cpu"))
    parts[0] = parts[0][spans.lasts] if last_only else parts[0]
    rows = zip(parts[0].split(1 if last_only else lengths), *(part.split(lengths) for part in parts[1:]), strict=True)
    exact = torch.cat([by_hand(*row, 0.4) for row in rows])
    for fast in (True, False):
        monkeypatch.setattr("actors.models.backbones.attention._BF16", fast)
        found = attend(*parts, spans.queries(last_only), spans, AttentionRule(scale=0.4))
        assert found.dtype is torch.bfloat16
        torch.testing.assert_close(found.double(), exact, atol=0.03, rtol=0.01)


@pytest.mark.parametrize("asked", [1, 37])
def test_scores_are_written_out_a_few_at_a_time_however_many_there_are(asked, monkeypatch):
    query, key, value = (part.bfloat16().unflatten(0, (2, 37)).transpose(1, 2) for part in packed([37, 37]))
    query = query[:, :, :asked]
    exact = (query.double() @ key.double().transpose(2, 3) * 0.4).softmax(-1) @ value.double()
    for scores in (1, 37 * 5, 37 * 37 * 4, 1 << 20):
        monkeypatch.setattr("actors.models.backbones.bf16_attention._SCORES", scores)
        torch.testing.assert_close(attend_in_bf16(query, key, value, 0.4).double(), exact, atol=0.03, rtol=0.01)
