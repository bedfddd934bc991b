"""Several inputs an example: handed in as a tuple, kept as a row, normalised one by one, and taken apart again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tombola.data.arrays import from_arrays
from tombola.data.given import dataset_of
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.several import Several, side_by_side

CPU = torch.device("cpu")
LEFT = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
RIGHT = np.array([[1, 5], [2, 6], [3, 7], [6, 2]])
Y = np.array([0, 1, 0, 1])


def both() -> Any:
    return from_arrays(((LEFT, RIGHT), Y), ((LEFT[:2], RIGHT[:2]), Y[:2]))


def test_rows_are_taken_apart_as_they_were_put_together() -> None:
    inputs = torch.from_numpy(LEFT), torch.from_numpy(RIGHT)
    apart = Several(((1, 2, 3), (2,)), (False, True)).apart(side_by_side(inputs))
    assert all(torch.equal(one, other) for one, other in zip(apart, inputs, strict=True))
    assert apart[1].dtype == torch.int64


def test_a_tuple_of_arrays_is_several_inputs() -> None:
    data = both()
    assert data.several == Several(((1, 2, 3), (2,)), (False, True))
    assert data.shape == (8,)
    assert data.train_x[0].tolist() == [0, 1, 2, 3, 4, 5, 1, 5]
    wide = LEFT.reshape(4, 1, 3, 2)
    other = from_arrays(((wide, RIGHT), Y), ((wide[:2], RIGHT[:2]), Y[:2]))
    assert torch.equal(other.train_x, data.train_x)
    assert other.digest != data.digest, "the same numbers in other shapes are other data"


def test_a_tuple_of_examples_stays_one_input() -> None:
    assert from_arrays((tuple(RIGHT), Y), (RIGHT, Y)).several is None


def test_each_input_is_normalised_by_itself() -> None:
    data = Resident(both(), "standard", CPU)
    assert data.several is not None
    left, right = data.several.apart(data.train(torch.arange(4)))
    for part in (left, right):
        assert part.mean().item() == pytest.approx(0, abs=1e-6)
        assert part.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert right.dtype == torch.float32, "normalised, they are whole numbers no more"
    assert data.input["mean"] == [[11.5], [4.0]]
    assert Several.read(data.input["several"]) == data.several


def test_whole_numbers_stay_whole_where_nothing_is_normalised() -> None:
    data = Resident(both(), "none", CPU)
    assert data.several is not None
    left, right = data.several.apart(data.train(torch.arange(4)))
    assert (left.dtype, right.dtype) == (torch.float32, torch.int64)
    assert right.tolist() == RIGHT.tolist()


def test_bytes_of_images_among_them_need_a_normalisation() -> None:
    images = np.zeros((4, 1, 2, 3), np.uint8)
    data = from_arrays(((images, RIGHT), Y), ((images, RIGHT), Y))
    with pytest.raises(UserError, match="normalisation 'none' would hand on the bytes of images"):
        Resident(data, "none", CPU)


class Pairs(Dataset[Any]):
    """A map-style data set of pairs."""

    def __init__(self, flat: bool = False) -> None:
        self.flat = flat

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        pair: tuple[Tensor, Tensor] = torch.from_numpy(LEFT[i]), torch.from_numpy(RIGHT[i])
        return (*pair, Y[i]) if self.flat else (pair, Y[i])


def test_a_data_set_of_torch_may_have_several() -> None:
    test = (LEFT[:2], RIGHT[:2]), Y[:2]
    assert dataset_of((Pairs(), test)).digest == both().digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((Pairs(flat=True), Pairs()), r"example 0 is 3 things; expected \(example, label\), or \(\(input, input"),
        ((((LEFT, RIGHT), Y), (LEFT, Y)), "test part: one array of examples found; expected a tuple of inputs"),
        ((((LEFT, RIGHT), Y), ((LEFT, LEFT), Y)), r"and \[2\] and test examples of \[1, 2, 3\] and"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(given: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        dataset_of(given)
