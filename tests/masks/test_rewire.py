"""Random wiring with fixed degrees: sums kept, every matrix as likely, and little of the old wiring left."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from tombola.masks.rewire import ROUNDS, rewired
from tombola.seeds import stream

Bits = NDArray[np.bool_]


def skewed(rows: int, columns: int, density: float) -> Bits:
    """Columns of very different sums, as the inputs of a ticket have."""
    rng = stream("skewed", rows, columns)
    chances = rng.uniform(0, 2, columns) ** 2
    bits: Bits = rng.random((rows, columns)) < chances / chances.mean() * density
    return bits


def all_with_sums_of(matrix: Bits) -> set[bytes]:
    found = set()
    for values in product([False, True], repeat=matrix.size):
        other = np.array(values).reshape(matrix.shape)
        if all(np.array_equal(other.sum(axis), matrix.sum(axis)) for axis in (0, 1)):
            found.add(other.tobytes())
    return found


@pytest.mark.parametrize("density", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (7, 30), (2, 40), (1, 9), (9, 1)])
def test_row_and_column_sums_stay_and_the_matrix_too(shape: tuple[int, int], density: float) -> None:
    matrix = skewed(*shape, density)
    before = matrix.copy()
    new = rewired(matrix, stream("rewire"))
    assert np.array_equal(matrix, before)
    assert (new.dtype, new.shape) == (matrix.dtype, matrix.shape)
    for axis in (0, 1):
        assert np.array_equal(new.sum(axis), matrix.sum(axis))
    if min(shape) == 1:  # the sums leave no choice
        assert np.array_equal(new, matrix)


@pytest.mark.parametrize(
    "rows",
    [
        ["100", "010", "001"],  # the six permutation matrices
        ["110", "100", "001"],
        ["1100", "0011"],
        ["1110", "0100", "0010", "1001"],
    ],
)
def test_every_matrix_with_these_sums_is_as_likely_as_any_other(rows: list[str]) -> None:
    matrix = np.array([[digit == "1" for digit in row] for row in rows])
    possible = all_with_sums_of(matrix)
    rng, times = stream("uniform", *rows), 1500
    found = Counter(rewired(matrix, rng).tobytes() for _ in range(times))
    assert found.keys() == possible
    p = 1 / len(possible)
    bound = 5 * (times * p * (1 - p)) ** 0.5  # five deviations
    assert max(abs(count - times * p) for count in found.values()) < bound


@pytest.mark.parametrize("density", [0.05, 0.3])
def test_as_little_is_left_of_the_old_wiring_as_after_a_chain_ten_times_as_long(density: float) -> None:
    matrix = skewed(60, 150, density)

    def left(rounds: int, draws: int) -> NDArray[np.float64]:
        rng = stream("left", rounds)
        return np.array([(rewired(matrix, rng, rounds) & matrix).sum() / matrix.sum() for _ in range(draws)])

    short, long, hasty = left(ROUNDS, 20), left(10 * ROUNDS, 8), left(2, 8)
    error = (short.var() / len(short) + long.var() / len(long)) ** 0.5
    assert abs(short.mean() - long.mean()) < 5 * error
    assert hasty.mean() - long.mean() > 10 * error  # so that the test can tell


def test_a_stream_gives_one_wiring_and_another_stream_another() -> None:
    matrix = skewed(20, 50, 0.3)
    assert np.array_equal(rewired(matrix, stream("a")), rewired(matrix, stream("a")))
    assert not np.array_equal(rewired(matrix, stream("a")), rewired(matrix, stream("b")))
