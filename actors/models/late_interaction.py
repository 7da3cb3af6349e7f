"""Token vectors of queries and passages in, MaxSim scores out: an encoder as a late-interaction reranker (ColBERT's rule).

The score of a pair is the mean over the query's tokens of the best dot product with any token of the passage, special tokens
included. Vectors have length 1, so it lies in [-1, 1]. On CUDA the products run there (not exercised by the CPU tests).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from actors.models.encoder import Encoder
from actors.models.pairs import index_pairs, sigmoid
from actors.models.tokens import TokenBatch

_CHUNK_TOKENS = {"cpu": 2_048, "cuda": 16_384}
"""Passage tokens of one product. On a CPU their float32 copy then stays in its caches, which is 3 times faster; with 512 query tokens on
a GPU the similarities take 32 MiB."""


class LateInteraction:
    """MaxSim over the token vectors of an encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.tokenizer = encoder, encoder.tokenizer
        self.dimension, self.device, self.dtype = encoder.token_dimension, encoder.device, encoder.dtype

    @property
    def digest(self) -> str:
        """The encoder's checkpoint_digest."""
        return self.encoder.digest

    def compute_score(self, pairs: Sequence[tuple[str, str]], normalize: bool = False) -> np.ndarray:
        """Scores of a list of (query, passage), float32 [n]; with `normalize` their sigmoid."""
        queries, passages, index = index_pairs(pairs)
        return self.score_tokens(self.tokenizer.queries(queries), self.tokenizer.passages(passages), index, normalize)

    def score_tokens(self, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray, normalize: bool = False) -> np.ndarray:
        """Scores, float32 [n], of pairs int [n, 2] (query row, passage row) over ids that `tokenizer` made."""
        return self.score_vectors(self.token_vectors(queries), self.token_vectors(passages), pairs, normalize)

    def token_vectors(self, tokens: TokenBatch) -> list[np.ndarray]:
        """Each text's token vectors, float32 [its tokens, d], of length 1."""
        return list(self.encoder.encode_tokens(tokens, ("multi_vector",)).multi_vector or ())

    def score_vectors(
        self, query_vectors: Sequence[np.ndarray], passage_vectors: Sequence[np.ndarray], pairs: np.ndarray, normalize: bool = False
    ) -> np.ndarray:
        """Scores, float32 [n], of pairs int [n, 2] (query, passage) over vectors [tokens, d] (float32; passages also float16).

        Memory stays bounded: a query meets its passages a few thousand tokens at a time. Raises ValueError on a text without tokens.
        """
        scores = np.empty(len(pairs), np.float32)
        lengths = np.array([len(passage) for passage in passage_vectors])
        size, space = _CHUNK_TOKENS[self.device.type], (_Space(self.device), _Space(self.device))
        for query, rows in _by_query(pairs):
            against = torch.from_numpy(_float32(query_vectors[query], query)).to(self.device)
            for chunk in _chunks(rows, lengths[pairs[rows, 1]], size):
                scores[chunk] = _max_sim(against, [passage_vectors[p] for p in pairs[chunk, 1]], space)
        return sigmoid(scores) if normalize else scores


class _Space:
    """Float32 memory used again for every product: fresh pages for each would cost more than the products."""

    def __init__(self, device: torch.device) -> None:
        self._held = torch.empty(0, device=device)

    def take(self, rows: int, columns: int) -> torch.Tensor:
        """[rows, columns], with whatever was there."""
        if self._held.numel() < rows * columns:
            self._held = torch.empty(rows * columns, device=self._held.device)
        return self._held[: rows * columns].view(rows, columns)


def _by_query(pairs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each query with the rows of `pairs` that hold it."""
    order = np.argsort(pairs[:, 0], kind="stable")
    queries, starts = np.unique(pairs[order, 0], return_index=True)
    yield from zip(queries.tolist(), np.split(order, starts[1:]), strict=False)  # no pair: no query, yet np.split gives one empty part


def _chunks(rows: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """Runs of rows of about `size` passage tokens."""
    group = np.cumsum(lengths) // size
    return np.split(rows, np.flatnonzero(np.diff(group)) + 1)


def _float32(vectors: np.ndarray, number: int) -> np.ndarray:
    if not len(vectors):
        raise ValueError(f"text {number} has no token vectors")
    return np.ascontiguousarray(vectors, np.float32)


def _max_sim(query: torch.Tensor, passages: list[np.ndarray], space: tuple[_Space, _Space]) -> np.ndarray:
    """Mean over query tokens [tq, d] of the maximum over each passage's tokens [tp, d], float32 [passages].

    `space`: for the passages' tokens and for the similarities.
    """
    lengths = np.array([len(passage) for passage in passages])
    if not lengths.all():
        raise ValueError("a passage has no token vectors")
    stored = torch.from_numpy(np.concatenate(passages))
    flat = space[0].take(len(stored), stored.shape[1]).copy_(stored)
    similarities = space[1].take(len(flat), len(query))
    torch.mm(flat, query.T, out=similarities)  # passages' tokens in rows: the maximum then runs over whole rows
    if query.device.type == "cuda":
        best = torch.segment_reduce(similarities, "max", lengths=torch.from_numpy(lengths).to(query.device), axis=0)
        return best.mean(1).cpu().numpy()
    return np.maximum.reduceat(similarities.numpy(), np.concatenate([[0], np.cumsum(lengths)[:-1]]), axis=0).mean(1)
