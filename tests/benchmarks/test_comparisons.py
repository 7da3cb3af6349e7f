"""The comparisons as commands, on tiny models, and the gate before every figure."""

import json
from collections.abc import Iterator

import faiss
import numpy as np
import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.parity import NotTheSame, admit, check_hits, check_scores, check_vectors
from benchmarks.timing import Contestant, measure
from tests.jobs import CHECKPOINTS


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """More of them only wait for each other on tiny work."""
    threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    yield
    torch.set_num_threads(threads[0])
    faiss.omp_set_num_threads(threads[1])


def unit_vectors(rows: int) -> np.ndarray:
    vectors = np.random.default_rng(rows).standard_normal((rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("precision", "noise", "refused"), [("fp32", 5e-6, False), ("fp32", 1e-4, True), ("bf16", 1e-3, False), ("bf16", 0.05, True)]
)
def test_vectors_that_differ_by_more_than_their_precision_are_refused(precision, noise, refused):
    reference = unit_vectors(30)
    vectors = reference.copy()
    vectors[7] += noise * np.where(np.arange(16) % 2, 1, -1)
    if not refused:
        check_vectors("raytrieve", vectors, reference, precision)
        return
    with pytest.raises(NotTheSame, match="raytrieve: a"):
        check_vectors("raytrieve", vectors, reference, precision)


@pytest.mark.parametrize("wrong", [np.nan, 1.0])
def test_vectors_and_scores_that_are_no_number_or_off_are_refused(wrong):
    reference = unit_vectors(3)
    with pytest.raises(NotTheSame):
        check_vectors("raytrieve", np.where(np.arange(16) == 4, wrong, reference), reference, "fp32")
    with pytest.raises(NotTheSame):
        check_scores("raytrieve", np.array([0.5, wrong]), np.array([0.5, 0.5]), "fp32")


@pytest.mark.parametrize(("precision", "off"), [("fp32", 1e-2), ("bf16", 4e-2)])
def test_a_score_that_is_off_by_more_than_its_precision_explains_is_refused(precision, off):
    reference = np.array([-2.0, 0.5, 1.0, 4.0])
    assert check_scores("raytrieve", reference + off / 20, reference, precision)["max_error"] == pytest.approx(off / 20)
    with pytest.raises(NotTheSame, match="raytrieve: a score is off by"):
        check_scores("raytrieve", reference + off, reference, precision)


def test_a_lost_row_is_refused_and_a_tied_one_is_not():
    vectors = np.array([[1, 0], [0.5, 0], [0.5, 0], [0.25, 0]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert check_hits(np.array([[0, 1]]), np.array([[0, 2]]), query, vectors) == {"recall": 1.0}
    with pytest.raises(NotTheSame, match=r"recall@2 is 0\.5"):
        check_hits(np.array([[0, 3]]), np.array([[0, 2]]), query, vectors)


def test_a_wrong_peer_is_left_out_with_its_reason_and_ours_stops_everything():
    def check(name, result, reference):
        check_scores(name, result, reference, "fp32")
        return "as it should be"

    right, wrong = (lambda: np.zeros(4)), (lambda: np.ones(4))
    contestants = [
        Contestant("peer", right, 4, "pairs"),
        Contestant("other", wrong, 4, "pairs"),
        Contestant("raytrieve fp32", right, 4, "pairs"),
    ]
    left_out: dict[str, str] = {}
    admitted, notes = admit(contestants, check, "a case", left_out)
    assert [contestant.name for contestant in admitted] == ["peer", "raytrieve fp32"] == list(notes)
    assert "off by 1.0e+00" in left_out["other (a case)"]
    with pytest.raises(NotTheSame, match="raytrieve bf16"):
        admit([*contestants, Contestant("raytrieve bf16", wrong, 4, "pairs")], check, "a case", {})


def test_contestants_take_turns_forth_and_back():
    turns: list[str] = []
    timings = measure([Contestant(name, lambda name=name: turns.append(name), 2, "texts") for name in "AB"], 3)
    assert "".join(turns) == "ABBAAB" and [len(timing.seconds) for timing in timings] == [3, 3]


def test_the_embedding_comparison_writes_its_figures_and_names_who_is_absent(tmp_path, capsys):
    arguments = ["--corpora", "fixed", "--tokens", "32", "--texts", "20", "--repeats", "1", "--out", str(tmp_path)]
    assert main(["embed", "--shapes", str(CHECKPOINTS / "tiny-bge-en"), *arguments]) == 0
    document, printed = json.loads((tmp_path / "embed.json").read_text()), capsys.readouterr().out
    (case,) = document["cases"]
    names = [row["name"] for row in case["contestants"]]
    assert {"sentence-transformers", "raytrieve fp32", "bare fp32 matmul"} <= set(names)
    assert case["facts"]["tokens"] == 20 * 32 and case["facts"]["longest"] == 32
    assert all(row["rate"]["min"] <= row["rate"]["median"] <= row["rate"]["max"] for row in case["contestants"])
    assert (tmp_path / "embed.png").stat().st_size > 5000
    assert document["machine"]["cpu"] in printed and "not figures to quote" in printed
    for peer in ("FlagEmbedding FlagModel", "sentence-transformers ONNX, tuned", "sentence-transformers OpenVINO, tuned"):
        assert peer in names or peer in printed


def test_the_search_comparison_finds_what_faiss_finds(tmp_path):
    arguments = ["--dimensions", "24", "--rows", "2000", "--queries", "40", "--repeats", "1", "--out", str(tmp_path)]
    assert main(["search", *arguments]) == 0
    (case,) = json.loads((tmp_path / "search.json").read_text())["cases"]
    assert set(case["ours_over"]) == {"faiss IndexFlatIP", "faiss IndexFlatIP, by BLAS"}
    assert all(row["note"] == "recall@100 1.000" for row in case["contestants"] if row["unit"] == "queries/s")


def test_an_unknown_shape_is_a_sentence_with_the_known_ones(tmp_path, capsys):
    assert main(["embed", "--shapes", "bge-huge", "--out", str(tmp_path)]) == 2
    assert "'bge-huge' is neither a checkpoint's folder nor a shape: use minilm, bge-small" in capsys.readouterr().err
