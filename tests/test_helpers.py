"""What other tests rest on: cases in one test, and trainings that rounding does not decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from support.cases import each
from support.rounding import assert_same_in_double, doubled, nudged
from tombola.models.architecture import architecture
from tombola.seeds import Seeds
from tombola.training.start import Start


def test_each_value_is_tried_until_one_fails_and_that_one_is_named() -> None:
    seen: list[Any] = []

    @each("value", [1, 2, 3])
    def small(value: int, limit: int) -> None:
        seen.append(value)
        assert value < limit

    small(limit=4)
    assert seen == [1, 2, 3]
    with pytest.raises(AssertionError) as caught:
        small(limit=2)
    assert seen == [1, 2, 3, 1, 2]
    assert caught.value.__notes__ == ["with value: 2"]


@each("value", [1, 2])
def test_pytest_fills_in_the_other_arguments(value: int, tmp_path: Path) -> None:
    assert tmp_path.is_dir()
    assert value in (1, 2)


def test_a_nudge_is_one_place_and_leaves_zeros_and_whole_numbers() -> None:
    arch = architecture("lenet-4", (6,), 3)
    state = arch.initial(Seeds.single(0).stream("init")) | {"count": torch.tensor(3)}
    moved = nudged(Start(state, {}, Seeds.single(0)), 0).state  # type: ignore[arg-type]
    weight, other = state["fc1.weight"], moved["fc1.weight"]
    assert (
        (other == weight.nextafter(torch.tensor(torch.inf)))
        != (other == weight.nextafter(-torch.tensor(torch.inf)))
    ).all()
    assert (other > weight).any()
    assert (other < weight).any()
    assert torch.equal(moved["fc1.bias"], state["fc1.bias"])
    assert (state["fc1.bias"] == 0).all()
    assert moved["count"] == 3


def test_float64_is_for_a_while_and_who_is_not_in_it_has_to_say_so() -> None:
    arch = architecture("lenet-4", (6,), 3)
    with doubled():
        wide = arch.initial(Seeds.single(0).stream("init"))
        assert {value.dtype for value in (*wide.values(), *arch.build().parameters())} == {torch.float64}
    narrow = arch.initial(Seeds.single(0).stream("init"))
    assert {value.dtype for value in (*narrow.values(), *arch.build().parameters())} == {torch.float32}
    assert_same_in_double(wide, {name: value.double() for name, value in narrow.items()})
    with pytest.raises(AssertionError, match=r"fc1\.weight is of torch\.float32"):
        assert_same_in_double(narrow, narrow)
    with pytest.raises(AssertionError, match=r"fc1\.bias"):
        assert_same_in_double(wide, wide | {"fc1.bias": wide["fc1.bias"] + 1e-8})
