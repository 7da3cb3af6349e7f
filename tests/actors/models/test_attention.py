"""Attention of packed rows: each attends to itself alone, whatever its length and whoever stands beside it."""

import numpy as np
import pytest
import torch

from actors.models.backbones.attention import AttentionRule, attend
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
