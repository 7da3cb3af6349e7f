"""Pairs of texts in, distinct texts and index pairs out, so that each text is tokenised once; and the sigmoid both rerankers share."""

from collections.abc import Sequence

import numpy as np
import torch


def index_pairs(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str], np.ndarray]:
    """Distinct queries, distinct passages (both in order of appearance), and int32 [n, 2] of (query, passage) numbers.

    Raises TypeError on a lone pair, whose texts would pass for pairs of letters.
    """
    if len(pairs) and isinstance(pairs[0], str):
        raise TypeError("give a list of (query, passage), not one pair")
    queries: dict[str, int] = {}
    passages: dict[str, int] = {}
    index = [(queries.setdefault(query, len(queries)), passages.setdefault(passage, len(passages))) for query, passage in pairs]
    return list(queries), list(passages), np.array(index, np.int32).reshape(-1, 2)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) of float32 [n], without overflow; the order of the scores stays."""
    return torch.sigmoid(torch.from_numpy(scores)).numpy()
