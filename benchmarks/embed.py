"""`python -m benchmarks embed`: our encoder beside the encode of other libraries, texts in memory to vectors in memory.

First every contestant embeds all texts once and is compared with sentence-transformers in fp32; then the times are taken in turn, with
bare matrix products of the network's own shape among them, so that the fraction of the machine that is used comes from the same minutes.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actors.models import load_encoder
from actors.models.precision import pick_device
from benchmarks import peers, runtimes
from benchmarks.checkpoints import EMBEDDERS, Checkpoint, prepare
from benchmarks.machine import bare_matmul, has_bf16
from benchmarks.parity import NotTheSame, check_vectors
from benchmarks.peers import Encode, Peer
from benchmarks.results import Case, publish
from benchmarks.texts import CORPORA, read_corpus
from benchmarks.timing import Contestant, Timing, measure

_ST, _ONNX, _OPENVINO = ("sentence_transformers",), ("sentence_transformers", "onnx", "onnxruntime"), ("sentence_transformers", "onnx", "openvino")
REFERENCE = Peer("sentence-transformers", peers.open_sentence_transformer, "fp32", _ST, tuned=False)
PEERS = (
    REFERENCE,
    Peer("FlagEmbedding FlagModel", peers.open_flag_model, "fp32", ("FlagEmbedding",), tuned=False),
    Peer("sentence-transformers, tuned", peers.open_sentence_transformer, "fp32", _ST),
    Peer("sentence-transformers bf16, tuned", peers.open_sentence_transformer_bf16, "bf16", _ST),
    Peer("sentence-transformers ONNX, tuned", runtimes.open_onnx, "fp32", _ONNX),
    Peer("sentence-transformers ONNX int8, tuned", runtimes.open_onnx_int8, "int8", _ONNX),
    Peer("sentence-transformers OpenVINO, tuned", runtimes.open_openvino, "fp32", _OPENVINO),
    Peer("sentence-transformers OpenVINO bf16, tuned", runtimes.open_openvino_bf16, "bf16", _OPENVINO),
    Peer("sentence-transformers OpenVINO int8, tuned", runtimes.open_openvino_int8, "int8", (*_OPENVINO, "nncf")),
)
_TRIAL = 48
"""Texts on which batch sizes are tried."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this comparison."""
    parser.add_argument("--shapes", default=",".join(EMBEDDERS), help="shapes, or folders of checkpoints, by commas (default: all)")
    parser.add_argument("--corpora", default=",".join(CORPORA), help="scifact, fixed or both, by commas")
    parser.add_argument("--texts", type=int, default=400, help="texts of a corpus")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a text of the corpus `fixed`")


def run(options: argparse.Namespace) -> Path:
    """Compare and publish; returns the path of the JSON. Raises NotTheSame when our vectors are not sentence-transformers'."""
    left_out = {peer.name: reason for peer in PEERS if (reason := peer.obstacle())}
    if REFERENCE.name in left_out:
        raise NotTheSame(f"nothing to compare our vectors with: {left_out[REFERENCE.name]}")
    cases = []
    with tempfile.TemporaryDirectory() as temporary:
        for shape in options.shapes.split(","):
            checkpoint = prepare(shape, Path(temporary))
            entrants = [_Entrant(peer, peer.open(checkpoint)) for peer in PEERS if peer.name not in left_out]
            entrants += [_ours(checkpoint, precision) for precision in _precisions()]
            for corpus in options.corpora.split(","):
                texts = read_corpus(corpus, options.texts, checkpoint.folder, options.tokens)
                cases.append(_case(f"{checkpoint.name}, {corpus}", checkpoint, texts, entrants, options.repeats, left_out))
    return publish("embed", cases, left_out, options.out)


@dataclass(frozen=True, slots=True)
class _Entrant:
    peer: Peer
    encode: Encode


def _ours(checkpoint: Checkpoint, precision: str) -> _Entrant:
    encoder = load_encoder(checkpoint.folder, precision=precision)
    peer = Peer(f"raytrieve {precision}", lambda _: encode, precision, (), tuned=False)

    def encode(texts: Sequence[str], _: int) -> np.ndarray:
        return encoder.encode_corpus(texts).dense

    return _Entrant(peer, encode)


def _precisions() -> list[str]:
    """fp32, and bf16 where it is what `auto` takes; the last is the one that others are compared with."""
    return ["fp32", "bf16"] if has_bf16(pick_device()) else ["fp32"]


def _case(
    title: str, checkpoint: Checkpoint, texts: Sequence[str], entrants: Sequence[_Entrant], repeats: int, left_out: dict[str, str]
) -> Case:
    lengths = load_encoder(checkpoint.folder, batch_tokens=1).tokenizer.passages(texts).lengths
    reference = entrants[0].encode(texts, 0)
    contestants, notes = [], {}
    for entrant in entrants:
        name = entrant.peer.name
        try:
            agreement = check_vectors(name, entrant.encode(texts, 0), reference, entrant.peer.precision)
        except NotTheSame as difference:
            if name.startswith("raytrieve"):
                raise
            left_out[f"{name} ({title})"] = str(difference)
            continue
        batch = _fastest_batch(entrant, texts)
        notes[name] = _note(entrant.peer, agreement, batch)
        contestants.append(Contestant(name, partial(entrant.encode, texts, batch), float(lengths.sum()), "tokens"))
    bare = [bare_matmul(precision, checkpoint.width, checkpoint.inner) for precision in ("fp32", "bf16")]
    timings = measure([*contestants, *bare], repeats)
    ours = f"raytrieve {_precisions()[-1]}"
    return Case(title, timings, ours, _facts(checkpoint, lengths, timings), notes)


def _fastest_batch(entrant: _Entrant, texts: Sequence[str]) -> int:
    """The batch size with which a tuned peer is fastest on some of the texts; 0, its own, for others."""
    if not entrant.peer.tuned:
        return 0

    def seconds(batch: int) -> float:
        started = time.perf_counter()
        entrant.encode(texts[:_TRIAL], batch)
        return time.perf_counter() - started

    return min(peers.BATCHES, key=seconds)


def _note(peer: Peer, agreement: dict[str, float], batch: int) -> str:
    parts = [f"batch {batch}"] if batch else []
    parts += [f"cosine {agreement['min_cosine']:.4f}"] if peer.precision != "fp32" else []
    return ", ".join(parts)


def _facts(checkpoint: Checkpoint, lengths: np.ndarray, timings: Sequence[Timing]) -> dict[str, Any]:
    """Sizes, and for each of our precisions the share of the bare matrix products' rate that the network's own work makes."""
    rates = {timing.name: timing.rate for timing in timings}
    teraflops = checkpoint.teraflops(lengths)
    per_token = teraflops / float(lengths.sum())
    shares = {
        f"share of the bare {precision} matmul rate": round(rates[f"raytrieve {precision}"] * per_token / rates[f"bare {precision} matmul"], 3)
        for precision in _precisions()
    }
    return {
        "texts": len(lengths),
        "tokens": int(lengths.sum()),
        "longest": int(lengths.max()),
        "TFLOP": round(teraflops, 4),
        **shares,
    }
