"""Tokenised candidates in, scores out: the operator that holds the reranker, on a GPU where Ray gave it one.

In: what `Pairer` makes. Out: table `passages` with `rerank_scores` (list<float32>, the first `depth` candidates of
each query) and, where a layerwise reranker has early exits, `rerank_layers` (list<int32>, the layer that gave each score);
the tokens are gone.
"""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.faults import crash_if_told
from actors.loading import RerankerSpec
from actors.models.checkpoint import ENCODER_KINDS
from actors.models.tokens import TokenBatch
from actors.opening import PassageSource
from actors.parcels import Parcel
from actors.reader import Workplace
from actors.receipts import Repeats
from actors.storage.commits import begin

if TYPE_CHECKING:  # torch loads where a model does, not in every process that names this class
    from actors.models.late_interaction import LateInteraction


class Reranker:
    """Scores the first `depth` candidates of every query of a unit with a reranker of any kind."""

    def __init__(self, spec: RerankerSpec, place: Workplace, source: PassageSource, depth: int) -> None:
        self._place, self._source, self._depth, self._repeats = place, source, depth, Repeats(place)
        self._model: Any = spec.reranker()  # by kind; all but late interaction over stored vectors score token ids
        self._exits = [(each.layer, each.keep) for each in spec.config.exits]
        self._stored, self._apart, self._normalize = spec.uses_stored_vectors, spec.kind in ENCODER_KINDS, spec.config.normalize

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Work on one parcel; the module says what comes in and what goes out."""
        if (done := self._repeats.receipt(batch)) is not None:
            return done
        parcel = Parcel.unpack(batch)
        header, started = parcel.header, time.perf_counter()
        begin(self._place.store, self._place.folder, header["unit"], self._place.run, header["attempt"], "Reranker")
        queries, unique = parcel.tables["passages"], parcel.tables["unique"]
        crash_if_told(queries["text"])
        pairs, offsets = _pairs(queries, self._depth)
        tokens = TokenBatch.from_arrow(queries["input_ids"], 0)
        passages = None if self._stored else TokenBatch.from_arrow(unique["input_ids"], 0)
        scores, layers = self._scores(tokens, passages, unique, pairs)
        column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(scores, pa.float32()))
        work = {"pairs": len(pairs), "rerank_seconds": time.perf_counter() - started}
        read, before = self._tokens_read(tokens, passages, pairs), header["counts"]
        work |= {name: before.get(name, 0) + read for name in ("tokens", "padded_tokens")}  # packed: none of ours is padding
        kept = queries.drop_columns(["input_ids"]).append_column("rerank_scores", column)
        if layers is not None:
            kept = kept.append_column("rerank_layers", pa.ListArray.from_arrays(pa.array(offsets), pa.array(layers, pa.int32())))
        out = Parcel({**header, "counts": {**before, **work}}, {"passages": kept, "unique": unique.select(["metadata"])})
        return out.pack()

    def _scores(
        self, queries: TokenBatch, passages: TokenBatch | None, unique: pa.Table, pairs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores of pairs, float32 [n], and with early exits the layer that gave each. Without tokens of passages, their stored vectors."""
        if passages is None:
            return self._late(self._model, queries, unique, pairs), None
        if not self._exits:
            return self._model.score_tokens(queries, passages, pairs, self._normalize), None
        from actors.models.exits import score_with_exits

        left = score_with_exits(self._model, queries, passages, pairs, self._exits, self._normalize)
        return left.scores, left.layers

    def _tokens_read(self, queries: TokenBatch, passages: TokenBatch | None, pairs: np.ndarray) -> int:
        """Tokens that go through the reranker: of whole pairs, or of each text once where it encodes them apart. Exits spare layers."""
        if self._apart:
            return int(queries.lengths.sum() + (0 if passages is None else passages.lengths.sum()))
        assert passages is not None
        tokenizer, asked = self._model.pair_tokenizer, queries.lengths[pairs[:, 0]]
        return int((asked + tokenizer.kept(asked, passages.lengths[pairs[:, 1]]) + tokenizer.special_tokens).sum())

    def _late(self, model: "LateInteraction", queries: TokenBatch, unique: pa.Table, pairs: np.ndarray) -> np.ndarray:
        query_vectors = model.token_vectors(queries)
        wanted, compact = np.unique(pairs[:, 1], return_inverse=True)
        chosen = unique.take(pa.array(wanted))
        vectors = self._source.token_vectors(chosen["segment"].to_pylist(), chosen["row"].to_pylist(), model.dimension)
        return model.score_vectors(
            query_vectors, vectors, np.stack([pairs[:, 0], compact.reshape(-1)], axis=1).astype(np.int32), self._normalize
        )


def _pairs(queries: pa.Table, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """(query row, distinct passage) of every pair to score, query by query, and the offsets of the queries in them."""
    lists = queries["candidate_unique"].to_pylist()
    counts = [min(depth, len(candidates)) for candidates in lists]
    pairs = np.empty((sum(counts), 2), np.int32)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    for i, (candidates, count) in enumerate(zip(lists, counts, strict=True)):
        pairs[offsets[i] : offsets[i + 1], 0] = i
        pairs[offsets[i] : offsets[i + 1], 1] = candidates[:count]
    return pairs, offsets
