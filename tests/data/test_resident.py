"""Data on the device: the numbers that normalise it, by hand, and the gathering."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tombola.data.arrays import from_arrays
from tombola.data.catalog import load
from tombola.data.dataset import Dataset
from tombola.data.resident import Resident, statistics
from tombola.errors import UserError

CPU = torch.device("cpu")


def images() -> Dataset:
    """Two training images of two channels, 1x2 pixels: channel 0 has 0 2 4 6, channel 1 has 10 10 10 10."""
    train = np.array([[[[0, 2]], [[10, 10]]], [[[4, 6]], [[10, 10]]]], np.uint8)
    test = np.array([[[[255, 3]], [[10, 0]]], [[[1, 2]], [[3, 4]]]], np.uint8)
    return from_arrays((train, [0, 1]), (test, [1, 0]))


def test_standard_is_per_channel_from_the_training_set_with_a_population_deviation():
    shift, scale = statistics(images(), "standard")
    # channel 0: mean 12 / 4 = 3, variance (9 + 1 + 1 + 9) / 4 = 5; channel 1 never varies: divided by 1
    assert shift.tolist() == [3.0, 10.0]
    assert scale.tolist() == [math.sqrt(5), 1.0]


def test_unit_divides_bytes_by_their_peak():
    assert [s.tolist() for s in statistics(images(), "unit")] == [[0.0], [255.0]]
    assert statistics(load("digits"), "unit")[1].tolist() == [16.0]


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_flat_examples_have_one_mean_and_one_deviation(kind: type):
    x = np.array([[1, 5], [1, 9]], dtype=kind)  # mean 4, variance (9 + 1 + 9 + 25) / 4 = 11
    shift, scale = statistics(from_arrays((x, [0, 1]), (x, [0, 1])), "standard")
    assert shift.tolist() == [4.0]
    assert scale.tolist() == pytest.approx([math.sqrt(11)], rel=1e-12)


def test_unit_takes_the_range_of_the_training_floats():
    x = np.array([[-1.0, 0.0], [3.0, 1.0]])
    shift, scale = statistics(from_arrays((x, [0, 1]), (x * 10, [0, 1])), "unit")
    assert (shift.tolist(), scale.tolist()) == ([-1.0], [4.0])


@pytest.mark.parametrize("kind", [np.int64, np.int16, np.uint8])
def test_none_hands_on_whole_numbers_as_such(kind: type):
    x = np.array([[1, 5, 0], [7, 9, 2]], dtype=kind)
    data = Resident(from_arrays((x, [0, 1]), (x + 1, [0, 1])), "none", CPU)
    assert data.train(torch.tensor([[1], [0]])).dtype == torch.int64
    assert data.train(torch.tensor([[1], [0]])).tolist() == [[[7, 9, 2]], [[1, 5, 0]]]
    assert data.test(0, 1).tolist() == [[2, 6, 1]]
    assert data.shown(4).tolist() == [[1, 5, 0], [1, 5, 0], [7, 9, 2], [7, 9, 2]]


def test_none_hands_on_floats_as_they_are():
    x = np.array([[-1.5, 0.0], [3.25, 1e-3]], dtype=np.float32)
    data = Resident(from_arrays((x, [0, 1]), (x, [0, 1])), "none", CPU)
    assert torch.equal(data.train(torch.arange(2)), torch.from_numpy(x))
    whole = Resident(from_arrays((x.round(), [0, 1]), (x.round(), [0, 1])), "none", CPU)
    assert whole.train(torch.arange(2)).dtype == torch.float32, "the type that came decides, not the values"


def test_whole_numbers_that_are_normalised_are_floats_as_ever():
    x = np.array([[1, 5], [1, 9]])
    data = from_arrays((x, [0, 1]), (x, [0, 1]))
    assert data.integral
    assert data.digest == from_arrays((x.astype(float), [0, 1]), (x, [0, 1])).digest, "ids of old stay valid"
    assert Resident(data, "unit", CPU).train(torch.arange(2)).tolist() == [[0.0, 0.5], [0.0, 1.0]]


def test_none_refuses_bytes_of_images_and_numbers_that_float32_does_not_hold():
    with pytest.raises(UserError, match="normalisation 'none' would hand on the bytes of images"):
        Resident(images(), "none", CPU)
    for largest, fits in (1 << 24, True), ((1 << 24) + 2, False), (-(1 << 24) - 2, False):
        x = np.array([[0], [largest]])
        data = from_arrays((x, [0, 1]), (x, [0, 1]))
        if fits:
            assert Resident(data, "none", CPU).test(1, 2).item() == largest
        else:
            with pytest.raises(UserError, match="whole numbers up to 16777218; expected at most 16777216"):
                Resident(data, "none", CPU)


@pytest.mark.parametrize("normalisation", ["standard", "unit"])
def test_constant_floats_become_zero_and_not_noise(normalisation: str):
    x = np.full((1000, 3), 0.1)  # 0.1 has no exact mean in binary: a naive deviation is about 1e-17, not 0
    data = Resident(from_arrays((x, np.arange(1000) % 2), (x, np.arange(1000) % 2)), normalisation, CPU)
    assert data.train(torch.arange(1000)).abs().max() == 0


def test_large_sums_of_bytes_are_exact():
    # 3,000,000 values, half 254 and half 255: a float32 sum loses the mean 254.5 and the deviation 0.5
    x = np.full((3000, 1, 25, 40), 254, np.uint8)
    x[1500:] = 255
    shift, scale = statistics(from_arrays((x, np.arange(3000) % 2), (x[:1], [0])), "standard")
    assert (shift.tolist(), scale.tolist()) == ([254.5], [0.5])


def test_an_unknown_normalisation_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="unknown normalisation 'standart'; did you mean 'standard'"):
        Resident(images(), "standart", CPU)


def plain(raw: Tensor, data: Dataset) -> Tensor:
    """Standard normalisation as a textbook has it, in float64."""
    channels = data.train_x.double().transpose(0, 1).flatten(1)
    mean, deviation = channels.mean(1), channels.std(1, correction=0)
    return (raw.double() - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)


def test_gathered_batches_are_the_plainly_normalised_examples():
    data = load("digits")
    resident = Resident(data, "standard", CPU)
    index = torch.tensor([3, 0, 1436, 3])
    torch.testing.assert_close(
        resident.train(index).double(), plain(data.train_x[index], data), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(resident.test(5, 9).double(), plain(data.test_x[5:9], data), atol=1e-6, rtol=0)


def test_the_whole_training_set_has_mean_0_and_deviation_1():
    x = Resident(load("digits"), "standard", CPU).train(torch.arange(1437)).double()
    assert float(x.mean()) == pytest.approx(0, abs=1e-6)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_unit_runs_from_0_to_1():
    x = Resident(load("digits"), "unit", CPU).train(torch.arange(1437))
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)


def test_an_index_of_any_shape_gives_that_shape_of_examples():
    resident = Resident(images(), "standard", CPU)
    index = torch.tensor([[0, 1, 0], [1, 1, 0]])
    batch = resident.train(index)
    assert (batch.shape, batch.dtype) == ((2, 3, 2, 1, 2), torch.float32)
    for row in range(2):
        for column in range(3):
            assert torch.equal(batch[row, column], resident.train(index[row, column].view(1))[0])
    assert resident.train(torch.zeros(0, dtype=torch.int64)).shape == (0, 2, 1, 2)


def test_sizes_and_labels_are_those_of_the_data_set():
    data = images()
    resident = Resident(data, "standard", CPU)
    assert (resident.n_train, resident.n_test, resident.shape, resident.classes) == (2, 2, (2, 1, 2), 2)
    assert (resident.train_y.tolist(), resident.test_y.tolist()) == ([0, 1], [1, 0])
    assert resident.device == CPU


@pytest.mark.parametrize("x", [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1, 2], [3, 4]], np.uint8)])
def test_gathering_leaves_the_data_as_it_was(x: np.ndarray):
    data = from_arrays((x, [0, 1]), (x, [0, 1]))
    resident = Resident(data, "standard", CPU)
    first = resident.train(torch.tensor([0, 1])), resident.test(0, 2)
    first[0].zero_(), first[1].zero_()
    assert np.array_equal(data.train_x.numpy(), x)
    assert np.array_equal(data.test_x.numpy(), x)
    assert float(resident.test(0, 2).abs().max()) > 0


def test_images_stay_bytes_on_the_device():
    resident = Resident(images(), "standard", CPU)
    assert resident._train_x.dtype == resident._test_x.dtype == torch.uint8
