"""What int8 costs a cross-encoder in quality: `python -m benchmarks.reranker_precision [STEPS]` (400).

No trained reranker can be had without a model hub, so one is trained here: MiniLM with a new head learns on two cores in six minutes
to tell the abstract of a title of SciFact from those that MiniLM finds nearest to it. It then ranks the passages that MiniLM
retrieves for the judged queries, which it has not seen, in fp32 and in int8. It ranks them worse than they were retrieved: what
counts is the difference that rounding makes. Prints one JSON object: nDCG@10 of both and of retrieval, and the mean and the least
correlation of a query's scores.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from actors.models import load_encoder, load_reranker
from actors.models.checkpoint import resolve_checkpoint
from benchmarks.machine import describe
from benchmarks.precision import MODEL, embed, measures
from benchmarks.texts import SCIFACT

_STEPS, _TITLES, _NEAREST = 400, 4, 3
_DEPTH = 20
_TOKENS = 160
Batch = tuple[list[str], list[str], list[float]]


def main(arguments: Sequence[str]) -> None:
    """Train, measure and print one JSON object."""
    passages, queries = pq.read_table(SCIFACT / "corpus.parquet"), pq.read_table(SCIFACT / "queries.parquet")
    titles, abstracts = passages["title"].to_pylist(), passages["text"].to_pylist()
    encoder = load_encoder(MODEL, device="cpu", precision="fp32", max_length=_TOKENS)
    vectors = embed(encoder, abstracts, "abstracts")
    asked = encoder.encode_queries(queries["text"].to_pylist()).dense @ vectors.T
    found = np.argsort(-asked, axis=1, kind="stable")[:, :_DEPTH]
    nearest = np.argsort(-(encoder.encode_queries(titles).dense @ vectors.T), axis=1, kind="stable")[:, : _NEAREST + 1]
    names = queries["_id"].to_pylist(), passages["_id"].to_pylist()
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), examples(titles, abstracts, nearest, int(arguments[0]) if arguments else _STEPS))
        for precision in ("fp32", "int8"):
            reranker = load_reranker(folder, device="cpu", precision=precision, max_length=_TOKENS)
            pairs = [(text, abstracts[row]) for text, rows in zip(queries["text"].to_pylist(), found, strict=True) for row in rows]
            scores[precision] = reranker.compute_score(pairs).reshape(found.shape)
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in zip(scores["fp32"], scores["int8"], strict=True)]
    told = {"retrieved": asked} | {name: placed(found, given, asked.shape) for name, given in scores.items()}
    print(
        json.dumps(
            {
                "machine": describe(),
                "candidates of a query": _DEPTH,
                "mean and least correlation of a query's scores": [round(float(np.mean(correlations)), 5), round(min(correlations), 5)],
                "mean spread of a query's scores": round(float(scores["fp32"].std(1).mean()), 3),
                "mean difference of a score": round(float(np.abs(scores["int8"] - scores["fp32"]).mean()), 4),
                **{name: {"ndcg_at_10": measures(given, *names)["ndcg_at_10"]} for name, given in told.items()},
            },
            indent=1,
        )
    )


def placed(found: np.ndarray, scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Scores [queries, passages] of the found rows [queries, k] alone; the others come after them."""
    everywhere = np.full(shape, -1e9, np.float32)
    np.put_along_axis(everywhere, found, scores, 1)
    return everywhere


def examples(titles: list[str], abstracts: list[str], nearest: np.ndarray, steps: int) -> Iterator[Batch]:
    """Batches: titles, abstracts, and 1 where they belong together; of each title its own and the nearest others."""
    chooser = np.random.default_rng(0)
    for _ in range(steps):
        rows = chooser.choice(len(titles), _TITLES, replace=False)
        pairs = [(row, row) for row in rows] + [(row, near) for row in rows for near in nearest[row] if near != row][: _TITLES * _NEAREST]
        yield [titles[q] for q, _ in pairs], [abstracts[p] for _, p in pairs], [float(q == p) for q, p in pairs]


def train(folder: Path, batches: Iterator[Batch]) -> None:
    """MiniLM with a head of one label, trained on the batches and saved."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    start = resolve_checkpoint(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(start, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, trust_remote_code=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    for step, (titles, abstracts, wanted) in enumerate(batches):
        logits = model(**tokenizer(titles, abstracts, padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt")).logits[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {float(loss):.3f}", file=sys.stderr)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
