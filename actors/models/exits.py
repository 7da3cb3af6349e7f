"""Pairs in, scores out, most pairs leaving early: a layer-wise reranker that drops the worst candidates of each query on its way.

At each exit all pairs still in the race are scored by that layer's head; the worst of each query leave with this score, the others
go on from the states they have. No pair's passage is computed twice, and those that stay get the scores that they would get without
exits.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from actors.models.batching import Plan, by_prefix, run_with_budget
from actors.models.layerwise import LayerScorer, Progress
from actors.models.llm_reranker import JoinedPairs, LlmReranker
from actors.models.pairs import sigmoid
from actors.models.reranker_options import Exit, check_exits
from actors.models.tokens import TokenBatch
from configs.errors import UserError


@dataclass(frozen=True, slots=True)
class ExitScores:
    """Of n pairs: `scores` float32 [n], given by the head of layer `layers` int64 [n], where the pair left (kept ones: the last)."""

    scores: np.ndarray
    layers: np.ndarray

    def order(self, queries: np.ndarray) -> np.ndarray:
        """Pair numbers, int64 [n], query by query (`queries`: int [n], that of each pair), best first: who came further, then the score.

        Scores of different layers are not compared; equal ones keep the order given.
        """
        return np.lexsort((-self.scores, -self.layers, queries))


def score_with_exits(
    reranker: LlmReranker, queries: TokenBatch, passages: TokenBatch, pairs: np.ndarray, exits: Sequence[Exit], normalize: bool = False
) -> ExitScores:
    """Scores of pairs int [n, 2] (query row, passage row) over ids that the reranker's `pair_tokenizer` made; logits, or their sigmoid.

    `exits`: by ascending layer, all below the reranker's own cutoff layer. The states of one query's pairs, or of several queries'
    within batch_tokens, are in memory at a time. Raises UserError on exits or a reranker that this can not be done with.
    """
    scorer = _checked(reranker, exits)
    joined = reranker.join(queries, passages, pairs)
    out = ExitScores(np.empty(len(pairs), np.float32), np.empty(len(pairs), np.int64))
    with torch.inference_mode():
        for rows in _groups(pairs[:, 0], joined.plan(np.arange(len(pairs))).costs, reranker.batch_tokens):
            race = _Race(reranker, scorer, joined, rows)
            for layer, keep in exits:
                scores = race.run(layer)
                out.scores[race.rows], out.layers[race.rows] = scores, layer
                race.keep(_best(race.rows, pairs[race.rows, 0], scores, keep))
            scores = race.run(scorer.layers[0], last=True)
            out.scores[race.rows], out.layers[race.rows] = scores, scorer.layers[0]
    return ExitScores(sigmoid(out.scores), out.layers) if normalize else out


class _Race:
    """Pairs that advance together. `rows`: which of the joined pairs are still in it."""

    def __init__(self, reranker: LlmReranker, scorer: LayerScorer, joined: JoinedPairs, rows: np.ndarray) -> None:
        self._reranker, self._scorer, self._joined, self.rows = reranker, scorer, joined, rows
        self._progress: Progress | None = None
        self._chosen = np.arange(len(rows))  # where the states of `rows` lie in it

    def run(self, layer: int, last: bool = False) -> np.ndarray:
        """Take all to `layer`. Returns their scores there, float32, in the order of `rows`; `last` says that none goes further."""
        done: list[tuple[np.ndarray, Progress, torch.Tensor]] = []

        def step(rows: np.ndarray) -> None:
            progress = self._scorer.advance(self._at(rows), layer, last_only=last)
            done.append((rows, progress, self._scorer.read(progress)))

        run_with_budget(self._plan(), self._reranker.batch_tokens, step)
        self.rows = self.rows[np.concatenate([rows for rows, _, _ in done])]
        self._chosen = np.arange(len(self.rows))
        if not last:
            self._progress = Progress.concatenate([progress for _, progress, _ in done], self._joined.query_of[self.rows])
        return torch.cat([scores for _, _, scores in done]).cpu().numpy()

    def keep(self, chosen: np.ndarray) -> None:
        """Leave all others behind; `chosen`: int [k] into `rows`."""
        self.rows, self._chosen = self.rows[chosen], self._chosen[chosen]

    def _at(self, rows: np.ndarray) -> Progress:
        if self._progress is not None:
            return self._progress.take(self._chosen[rows])
        chosen = self.rows[rows]
        return self._scorer.begin(self._joined.pack(chosen, self._reranker.device))

    def _plan(self) -> Plan:
        """How `rows` go."""
        if self._progress is not None:
            spans, chosen = self._progress.spans, self._chosen
            return by_prefix(spans.prefix_lengths[chosen], spans.suffix_lengths[chosen], spans.prefix_of[chosen])
        return self._joined.plan(self.rows)


def _checked(reranker: LlmReranker, exits: Sequence[Exit]) -> LayerScorer:
    scorer = reranker.scorer
    if not isinstance(scorer, LayerScorer) or scorer.by_position:
        raise UserError(f"{reranker.folder} has no heads on several layers to leave at: exits are for layerwise and lightweight rerankers.")
    if len(scorer.layers) != 1:
        raise UserError(f"cutoff_layers is {list(scorer.layers)}, but with exits one layer gives the last scores: name one.")
    check_exits(exits, scorer.heads.layers, scorer.layers[0])
    return scorer


def _best(rows: np.ndarray, queries: np.ndarray, scores: np.ndarray, keep: int | float) -> np.ndarray:
    """Which places of `rows` stay, int64, ascending: the best of each query; of equal scores the lowest row."""
    order = np.lexsort((rows, -scores, queries))
    _, firsts, sizes = np.unique(queries[order], return_index=True, return_counts=True)
    ranks = np.arange(len(order)) - np.repeat(firsts, sizes)
    kept = np.full(len(sizes), keep) if isinstance(keep, int) else np.array([math.ceil(keep * size) for size in sizes])
    return np.sort(order[ranks < np.repeat(kept, sizes)])


def _groups(queries: np.ndarray, costs: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Rows of whole queries, as many as fit a budget of tokens, at least one query. `costs`: int [n], tokens."""
    order = np.argsort(queries, kind="stable")
    group: list[np.ndarray] = []
    tokens = 0
    for rows in np.split(order, np.flatnonzero(np.diff(queries[order])) + 1):
        size = int(costs[rows].sum())
        if group and tokens + size > budget:
            yield np.concatenate(group)
            group, tokens = [], 0
        group.append(rows)
        tokens += size
    if tokens:
        yield np.concatenate(group)
