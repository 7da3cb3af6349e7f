"""The scan of plain vectors, by FAISS and by blocks of products, against a plain sort."""

import faiss
import numpy as np
import pytest

from actors.index import scanning
from actors.index.products import Bf16Products, Float32Products, Int8Products
from actors.index.scanning import FlatScan, scan_blocks


def scan(queries, vectors, count, gone):
    return FlatScan(vectors).propose(queries, count, gone)


def by_blocks(queries, vectors, count, gone):
    return scan_blocks(Float32Products(queries, vectors), len(queries), len(vectors), count, gone)


@pytest.mark.parametrize("way", [Bf16Products, Int8Products])
@pytest.mark.parametrize("deleted", [0, 300, 2900])
def test_a_rough_way_proposes_the_best_rows_among_twice_as_many_with_scores_nearly_right(monkeypatch, way, deleted):
    monkeypatch.setattr(scanning, "fastest_products", lambda: way)
    monkeypatch.setattr(scanning, "_WORTH", 0)
    rng = np.random.default_rng(deleted)
    vectors, queries = rng.standard_normal((3000, 64), dtype=np.float32) / 8, rng.standard_normal((40, 64), dtype=np.float32) / 8
    gone = np.sort(rng.choice(3000, deleted, replace=False))
    products = queries @ vectors.T
    products[:, gone] = -np.inf
    scores, rows = scan(queries, vectors, 60, gone)
    assert rows.shape == (40, min(120, 3000 - deleted))
    assert scores == pytest.approx(np.take_along_axis(products, rows, axis=1), abs=0.02)
    best = np.argsort(-products, axis=1)[:, :60]
    assert all(set(wanted) <= set(found) for wanted, found in zip(best.tolist(), rows.tolist(), strict=True))


@pytest.mark.parametrize("rows", [5, 512, 5000, 20_000])
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("deleted", [0, 3, 0.4])
@pytest.mark.parametrize("search", [scan, by_blocks])
def test_the_scan_finds_the_best_of_all_blocks_without_the_deleted_ones(rows, ascending, deleted, search):
    rng = np.random.default_rng(rows)
    vectors, queries = rng.standard_normal((rows, 8), dtype=np.float32), rng.standard_normal((9, 8), dtype=np.float32)
    if ascending:
        vectors = vectors[np.argsort(vectors @ queries[0])]
    gone = np.sort(rng.choice(rows, int(deleted if deleted >= 1 else deleted * rows), replace=False))
    products = queries @ vectors.T
    products[:, gone] = -np.inf
    count = min(120, rows - len(gone))
    expected = np.argsort(-products, axis=1, kind="stable")[:, :count]
    scores, found = search(queries, vectors, count, gone)
    assert (found == expected).all()
    assert scores == pytest.approx(np.take_along_axis(products, expected, axis=1), abs=1e-5)


@pytest.mark.parametrize("search", [scan, by_blocks])
def test_fewer_live_rows_than_asked_are_padded(search):
    scores, rows = search(np.ones((1, 2), np.float32), np.ones((4, 2), np.float32), 6, np.array([1, 2]))
    assert sorted(rows[0][:2]) == [0, 3] and (rows[0][2:] == -1).all() and np.isneginf(scores[0][2:]).all()


@pytest.mark.parametrize("search", [scan, by_blocks])
def test_threads_and_equal_rows_do_not_change_what_is_found(search):
    rng = np.random.default_rng(1)
    vectors = np.repeat(rng.standard_normal((40, 8), dtype=np.float32), 200, axis=0)
    queries, none = rng.standard_normal((70, 8), dtype=np.float32), np.zeros(0, np.int64)
    alone, _ = search(queries, vectors, 300, none)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        shared, rows = search(queries, vectors, 300, none)
    finally:
        faiss.omp_set_num_threads(threads)
    assert (shared == alone).all() and all(len(set(row)) == 300 for row in rows.tolist())
    assert alone == pytest.approx(-np.sort(-(queries @ vectors.T), axis=1)[:, :300], abs=1e-5)
