"""What must never reach FAISS."""

import numpy as np
import pytest

from actors.index.checking import check_vectors


def _unit(rows: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_by_row_and_place(dtype, bad):
    vectors = _unit(6).astype(dtype)
    vectors[4, 2] = bad
    with pytest.raises(ValueError, match="unit u7: row 4 holds NaN or infinity"):
        check_vectors(vectors, 8, False, "unit u7")


def test_a_length_that_is_off_is_refused_only_when_normalised():
    vectors = _unit(6)
    vectors[5] *= 1.02
    check_vectors(vectors, 8, False, "u")
    with pytest.raises(ValueError, match=r"row 5 has length 1\.0200"):
        check_vectors(vectors, 8, True, "u")


def test_rounding_to_fp16_is_let_through():
    check_vectors(_unit(500).astype(np.float16), 8, True, "u")


@pytest.mark.parametrize(
    "vectors", [np.zeros((3, 7), np.float32), np.zeros(8, np.float32), np.zeros((3, 8), np.float64), np.zeros((3, 8), np.int8)]
)
def test_a_wrong_shape_or_type_is_refused(vectors):
    with pytest.raises(ValueError, match="u: vectors"):
        check_vectors(vectors, 8, False, "u")
