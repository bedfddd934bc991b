"""The validation split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tombola.data.split import split, validation_count
from tombola.errors import UserError
from tombola.seeds import Seeds


@given(st.integers(2, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), st.integers(0, 9))
def test_the_parts_are_disjoint_complete_ascending_and_of_the_asked_size(sizes: tuple[int, int], seed: int):
    n, count = sizes
    parts = split(n, count, Seeds.single(seed).stream("split"))
    assert parts.train.dtype == parts.validation.dtype == np.int64
    assert (len(parts.validation), len(parts.train)) == (count, n - count)
    assert sorted([*parts.train, *parts.validation]) == list(range(n))
    assert np.all(np.diff(parts.train) > 0)
    assert np.all(np.diff(parts.validation) > 0)


def test_the_same_stream_gives_the_same_split_and_another_one_another():
    def drawn(r: int) -> list[int]:
        return split(1000, 100, Seeds.replicate(0, r).stream("split")).validation.tolist()

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_every_example_validates_about_equally_often():
    # 400 draws of 5 of 10: each example is in 200 of them, give or take 10 (one standard deviation)
    rng = np.random.default_rng(0)
    often = np.bincount(np.concatenate([split(10, 5, rng).validation for _ in range(400)]), minlength=10)
    assert np.all(np.abs(often - 200) < 50)


@pytest.mark.parametrize(
    ("n", "validation", "count"),
    [
        (60_000, 5_000, 5_000),  # the paper's MNIST split
        (60_000, 0.1, 6_000),
        (1_437, 0.1, 144),  # 143.7
        (5, 0.1, 1),  # 0.5 is rounded up
        (15, 0.1, 2),  # 1.5 and
        (25, 0.1, 3),  # 2.5: half goes up, not to even
        (100, 0.145, 15),  # 14.5 as written, although 0.145 * 100 is below that in binary
        (100, 0.144, 14),
        (10, np.int64(3), 3),
        (10, np.float32(0.5), 5),
        (2, 1, 1),
    ],
)
def test_a_fraction_is_rounded_half_up(n: int, validation: Any, count: int):
    assert validation_count(n, validation) == count


@pytest.mark.parametrize(
    ("n", "validation", "sentence"),
    [
        (10, 10, "validation is 10, which takes 10 of 10 training examples; expected 1 to 9"),
        (10, 11, "takes 11 of 10"),
        (10, 0, "takes 0 of 10"),
        (10, -1, "takes -1 of 10"),
        (4, 0.1, "takes 0 of 4"),
        (10, 0.95, "takes 10 of 10"),
        (10, 1.0, "validation is 1.0; expected a count or a fraction"),
        (10, 0.0, "validation is 0.0; expected"),
        (10, float("nan"), "validation is nan; expected"),
        (10, True, "validation is True; expected"),
        (10, "3", "validation is '3'; expected"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(n: int, validation: Any, sentence: str):
    with pytest.raises(UserError, match=sentence):
        split(n, validation, np.random.default_rng(0))
