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

import numpy as np

from actors.models import load_encoder
from actors.models.precision import pick_device
from actors.models.text_tokenizer import TextTokenizer
from benchmarks import peers, runtimes
from benchmarks.checkpoints import EMBEDDERS, Checkpoint, prepare
from benchmarks.machine import bare_matmuls, matmul_shares, precisions
from benchmarks.parity import NotTheSame, admit, check_vectors
from benchmarks.peers import Encode, Peer
from benchmarks.results import Case, publish
from benchmarks.texts import CORPORA, read_corpus
from benchmarks.timing import OURS, Contestant, measure
from configs.errors import UserError

_ST, _ONNX, _OPENVINO = (
    ("sentence_transformers",),
    ("sentence_transformers", "onnx", "onnxruntime"),
    ("sentence_transformers", "onnx", "openvino"),
)
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
    parser.add_argument("--without", default="", help="leave out peers with one of these in their name, by commas, such as int8,ONNX")
    parser.add_argument("--tokens", type=int, default=256, help="tokens of a text of the corpus `fixed`")


def run(options: argparse.Namespace) -> Path:
    """Compare and publish; returns the path of the JSON. Raises NotTheSame when our vectors are not sentence-transformers'."""
    unwanted = [part for part in options.without.split(",") if part]
    left_out = {peer.name: reason for peer in PEERS if (reason := peer.obstacle())}
    left_out |= {peer.name: "not asked for" for peer in PEERS[1:] if any(part in peer.name for part in unwanted)}
    if REFERENCE.name in left_out:
        raise NotTheSame(f"nothing to compare our vectors with: {left_out[REFERENCE.name]}")
    cases = []
    with tempfile.TemporaryDirectory() as temporary:
        for shape in options.shapes.split(","):
            checkpoint = prepare(shape, Path(temporary))
            entrants = [_Entrant(peer, peer.open(checkpoint)) for peer in PEERS if peer.name not in left_out]
            entrants += [_ours(checkpoint, precision) for precision in precisions()]
            entrants += _ours_in_int8(checkpoint, left_out)
            for corpus in options.corpora.split(","):
                texts = read_corpus(corpus, options.texts, checkpoint.info, options.tokens)
                cases.append(_case(f"{checkpoint.name}, {corpus}", checkpoint, texts, entrants, options.repeats, left_out))
    return publish("embed", cases, left_out, options.out)


@dataclass(frozen=True, slots=True)
class _Entrant:
    peer: Peer
    encode: Encode


def _ours(checkpoint: Checkpoint, precision: str) -> _Entrant:
    encoder = load_encoder(checkpoint.folder, precision=precision)
    peer = Peer(f"{OURS} {precision}", lambda _: encode, precision, (), tuned=False)

    def encode(texts: Sequence[str], _: int) -> np.ndarray:
        return encoder.encode_corpus(texts).dense

    return _Entrant(peer, encode)


def _ours_in_int8(checkpoint: Checkpoint, left_out: dict[str, str]) -> list[_Entrant]:
    """None on a GPU, nor where the quality gate refuses the checkpoint."""
    if pick_device().type != "cpu":
        return []
    try:
        return [_ours(checkpoint, "int8")]
    except UserError as error:
        left_out[f"{OURS} int8, {checkpoint.name}"] = str(error)
        return []


def _case(
    title: str, checkpoint: Checkpoint, texts: Sequence[str], entrants: Sequence[_Entrant], repeats: int, left_out: dict[str, str]
) -> Case:
    lengths = TextTokenizer(checkpoint.folder).passages(texts).lengths
    batches = {entrant.peer.name: _fastest_batch(entrant, texts) for entrant in entrants}
    exactness = {entrant.peer.name: entrant.peer.precision for entrant in entrants}

    def check(name: str, vectors: np.ndarray, reference: np.ndarray) -> str:
        cosine = check_vectors(name, vectors, reference, exactness[name])["min_cosine"]
        parts = [f"batch {batches[name]}"] if batches[name] else []
        return ", ".join(parts + ([f"cosine {cosine:.4f}"] if exactness[name] != "fp32" else []))

    works = {entrant.peer.name: partial(entrant.encode, texts, batches[entrant.peer.name]) for entrant in entrants}
    contestants = [Contestant(name, work, float(lengths.sum()), "tokens") for name, work in works.items()]
    admitted, notes = admit(contestants, check, title, left_out)
    timings = measure([*admitted, *bare_matmuls(checkpoint.width, checkpoint.inner)], repeats)
    teraflops = checkpoint.teraflops(lengths)
    facts = {"texts": len(lengths), "tokens": int(lengths.sum()), "longest": int(lengths.max()), "TFLOP": round(teraflops, 4)}
    return Case(title, timings, f"{OURS} {precisions()[-1]}", facts | matmul_shares(timings, teraflops), notes)


def _fastest_batch(entrant: _Entrant, texts: Sequence[str]) -> int:
    """The batch size with which a tuned peer is fastest on some of the texts; 0, its own, for others."""
    if not entrant.peer.tuned:
        return 0

    def seconds(batch: int) -> float:
        started = time.perf_counter()
        entrant.encode(texts[:_TRIAL], batch)
        return time.perf_counter() - started

    return min(peers.BATCHES, key=seconds)
