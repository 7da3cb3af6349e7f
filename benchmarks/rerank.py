"""`python -m benchmarks rerank`: our cross-encoder beside other libraries', called once per query and once for all pairs.

Every query of SciFact meets as many passages, drawn at random: what counts is how long they are. Scores are logits.
"""

import argparse
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from actors.models import load_reranker
from actors.models.pairs import index_pairs
from actors.models.precision import pick_device
from actors.models.text_tokenizer import PairTokenizer
from benchmarks import peers
from benchmarks.checkpoints import Checkpoint, prepare
from benchmarks.machine import bare_matmuls, has_bf16, matmul_shares
from benchmarks.parity import NotTheSame, admit, check_order, check_scores
from benchmarks.peers import Score, missing
from benchmarks.results import Case, publish
from benchmarks.texts import scifact_passages, scifact_queries
from benchmarks.timing import OURS, Contestant, measure
from configs.errors import UserError

Pairs = list[tuple[str, str]]

_REFERENCE = "sentence-transformers CrossEncoder"
_PEERS: dict[str, tuple[str, Callable[[Checkpoint], Score]]] = {
    _REFERENCE: ("sentence_transformers", peers.open_cross_encoder),
    "FlagEmbedding FlagReranker": ("FlagEmbedding", peers.open_flag_reranker),
}
_BF16 = "sentence-transformers CrossEncoder bf16"
_INT8 = f"{OURS} int8"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this comparison."""
    parser.add_argument("--shapes", default="bge-reranker-base", help="shapes, or folders of checkpoints, by commas")
    parser.add_argument("--queries", type=int, default=50, help="queries, at most SciFact's 300")
    parser.add_argument("--candidates", type=int, default=100, help="passages of a query")


def run(options: argparse.Namespace) -> Path:
    """Compare and publish; returns the path of the JSON. Raises NotTheSame when our scores are not sentence-transformers'; in int8,
    which random weights may not bear, ours are left out."""
    left_out = {name: reason for name, (module, _) in _PEERS.items() if (reason := missing(module))}
    if _REFERENCE in left_out:
        raise NotTheSame(f"nothing to compare our scores with: {left_out[_REFERENCE]}")
    by_query, cases = _pairs(options.queries, options.candidates), []
    with tempfile.TemporaryDirectory() as temporary:
        for shape in options.shapes.split(","):
            checkpoint = prepare(shape, Path(temporary))
            scorers = _open(checkpoint, left_out)
            for title, calls in (("one call per query", by_query), ("one call for all", [[pair for pairs in by_query for pair in pairs]])):
                cases.append(_case(f"{checkpoint.name}, {title}", checkpoint, calls, scorers, options, left_out))
    return publish("rerank", cases, left_out, options.out)


def _pairs(queries: int, candidates: int) -> list[Pairs]:
    """By query, its pairs."""
    passages, chooser = scifact_passages(5183), random.Random(2)
    return [[(query, passage) for passage in chooser.sample(passages, candidates)] for query in scifact_queries(queries)]


def _open(checkpoint: Checkpoint, left_out: dict[str, str]) -> dict[str, tuple[str, Score]]:
    """Precision and scorer of every contestant, the reference first."""
    scorers = {name: ("fp32", opener(checkpoint)) for name, (_, opener) in _PEERS.items() if name not in left_out}
    if has_bf16(pick_device()):
        scorers[_BF16] = ("bf16", peers.open_cross_encoder_bf16(checkpoint))
    else:
        left_out[_BF16] = "bf16 is no faster than fp32 on this machine"
    precisions = ("fp32", "bf16") if _BF16 in scorers else ("fp32",)
    ours = {precision: load_reranker(checkpoint.folder, precision=precision).compute_score for precision in precisions}
    scorers |= {f"{OURS} {precision}": (precision, score) for precision, score in ours.items()}
    if pick_device().type == "cpu":
        try:
            scorers[_INT8] = ("int8", load_reranker(checkpoint.folder, precision="int8").compute_score)
        except UserError as error:
            left_out[f"{_INT8}, {checkpoint.name}"] = str(error)
    return scorers


def _case(
    title: str,
    checkpoint: Checkpoint,
    calls: Sequence[Pairs],
    scorers: dict[str, tuple[str, Score]],
    options: argparse.Namespace,
    left_out: dict[str, str],
) -> Case:
    ours = [name for name in scorers if name.startswith(OURS) and name != _INT8][-1]

    def check(name: str, scores: np.ndarray, reference: np.ndarray) -> str:
        if scorers[name][0] == "int8":
            return f"correlation {check_order(name, scores, reference, options.candidates):.4f}"
        return f"off by {check_scores(name, scores, reference, scorers[name][0])['max_error']:.0e} at most"

    lengths = _lengths(checkpoint, [pair for pairs in calls for pair in pairs])
    contestants = [Contestant(name, partial(_score_all, score, calls), len(lengths), "pairs") for name, (_, score) in scorers.items()]
    admitted, notes = admit(contestants, check, title, left_out, (_INT8,))
    timings = measure([*admitted, *bare_matmuls(checkpoint.width, checkpoint.inner)], options.repeats)
    teraflops = checkpoint.teraflops(lengths)
    facts = {"pairs": len(lengths), "tokens": int(lengths.sum()), "TFLOP": round(teraflops, 4)}
    return Case(title, timings, ours, facts | matmul_shares(timings, teraflops), notes)


def _score_all(score: Score, calls: Sequence[Pairs]) -> np.ndarray:
    return np.concatenate([score(pairs) for pairs in calls])


def _lengths(checkpoint: Checkpoint, pairs: Pairs) -> np.ndarray:
    """Tokens of every pair, int64 [n]."""
    tokenizer = PairTokenizer(checkpoint.folder)
    queries, passages, index = index_pairs(pairs)
    query, passage = tokenizer.queries(queries).lengths[index[:, 0]], tokenizer.passages(passages).lengths[index[:, 1]]
    return query + tokenizer.kept(query, passage) + tokenizer.special_tokens
