"""`threads` means the same in train, draw and evaluate as in run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import tombola
from tombola.errors import UserError

RECIPE = {"iterations": 10, "evaluate_every": 5, "curve_every": 0}


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_number_is_taken() -> None:
    recipe = tombola.Recipe(**RECIPE)
    ticket, _ = tombola.train("lenet-12-8", "digits", recipe=recipe, threads=2)
    assert torch.get_num_threads() == 2
    tombola.evaluate(ticket, "digits", threads=1)
    assert torch.get_num_threads() == 1
    next(tombola.draw("lenet-12-8", "digits", levels=1, recipe=recipe, threads=2))
    assert torch.get_num_threads() == 2
    tombola.train("lenet-12-8", "digits", recipe=recipe)
    assert torch.get_num_threads() == 2  # as it was


def test_less_than_one_is_refused() -> None:
    with pytest.raises(UserError, match="threads is 0, expected 1 or more"):
        tombola.train("lenet-12-8", "digits", threads=0)
    with pytest.raises(UserError, match="threads is 0, expected 1 or more"):
        next(tombola.draw("lenet-12-8", "digits", threads=0))
