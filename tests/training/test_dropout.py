"""Dropout whose noise is a function of network, layer, call, iteration and place, and of nothing else."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from support.training_parts import (
    CPU,
)
from tombola.errors import UserError
from tombola.training.noise import CounterDropout, Noise, hash64

ONES = torch.ones(50, 200)


def noise(key: int = 1, iteration: int = 0) -> Noise:
    made = Noise(key, CPU)
    made.begin(iteration)
    return made


def drop(p: float = 0.5, key: int = 1, layer: int = 0, iteration: int = 0, x: Tensor = ONES) -> Tensor:
    return CounterDropout(p, False, layer, noise(key, iteration))(x)


def unsigned(value: int) -> int:
    return value % (1 << 64)


def splitmix_finaliser(z: int) -> int:
    """SplitMix64 in Python's own integers, from its definition."""
    z = unsigned(z * 0x9E3779B97F4A7C15)
    z = unsigned((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9)
    z = unsigned((z ^ (z >> 27)) * 0x94D049BB133111EB)
    return z ^ (z >> 31)


@pytest.mark.parametrize("counter", [0, 1, 2, 12345, -1, -987654321, 2**62, -(2**63), 2**63 - 1])
def test_the_hash_is_splitmix(counter: int) -> None:
    found = int(hash64(torch.tensor([counter]))[0])
    assert unsigned(found) == splitmix_finaliser(unsigned(counter))


def test_the_hash_gives_the_published_sequence() -> None:
    """SplitMix64 seeded with 0 draws these first; its n-th draw is the finaliser of n times the golden gamma."""
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [unsigned(int(v)) for v in hash64(torch.arange(1, 4))] == first


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_share_that_is_kept_and_its_scale(p: float) -> None:
    out = drop(p)
    kept = out != 0
    # Five deviations of a binomial with 10,000 draws.
    assert abs(float(kept.double().mean()) - (1 - p)) < 5 * (p * (1 - p) / ONES.numel()) ** 0.5
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / (1 - p)))


def test_no_dropout_and_nothing_but_dropout() -> None:
    x = torch.randn(4, 5)
    assert drop(0.0, x=x) is x
    assert torch.equal(drop(1.0, x=x), torch.zeros(4, 5))


def test_evaluation_is_the_identity() -> None:
    layer = CounterDropout(0.5, False, 0, noise()).eval()
    x = torch.randn(4, 5)
    assert layer(x) is x


@pytest.mark.parametrize(
    "other", [{"key": 2}, {"layer": 1}, {"iteration": 1}, {"key": 2**63 - 1}, {"iteration": 10**6}], ids=str
)
def test_noise_differs_by_network_layer_and_iteration(other: dict[str, int]) -> None:
    here, there = drop() != 0, drop(**other) != 0
    # Independent halves agree half of the time, give or take five deviations.
    assert abs(float((here == there).double().mean()) - 0.5) < 5 * 0.5 / 100
    assert torch.equal(here, drop() != 0)


def test_the_noise_of_a_layer_does_not_come_back_in_the_next_one_a_step_earlier() -> None:
    """Nor under a key one further: the parts of the counter must not simply be added up."""
    here = drop(key=5, layer=0, iteration=1) != 0
    for there in (drop(key=5, layer=1, iteration=0), drop(key=6, layer=0, iteration=0)):
        assert abs(float((here == (there != 0)).double().mean()) - 0.5) < 5 * 0.5 / 100


def test_noise_is_independent_between_places_rows_and_columns() -> None:
    kept = (drop() != 0).double()
    for a, b in ((kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1])):
        assert abs(float((a == b).double().mean()) - 0.5) < 5 * 0.5 / a.numel() ** 0.5
    assert abs(kept.mean(0) - 0.5).max() < 5 * 0.5 / 50**0.5
    assert abs(kept.mean(1) - 0.5).max() < 5 * 0.5 / 200**0.5


def test_a_layer_called_twice_in_a_step_draws_twice_and_alike_in_every_repetition() -> None:
    made = noise()
    layer = CounterDropout(0.5, False, 0, made)
    first, second = layer(ONES), layer(ONES)
    assert abs(float(((first != 0) == (second != 0)).double().mean()) - 0.5) < 5 * 0.5 / 100
    made.begin(0)
    assert torch.equal(layer(ONES), first)
    assert torch.equal(layer(ONES), second)


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Dropout1d, (60, 40)), (nn.Dropout3d, (60, 4, 3, 2)), (nn.Dropout2d, (60, 40, 3))]
)
def test_what_torch_takes_for_one_example_is_one_here(layer: type[nn.Module], shape: tuple[int, ...]) -> None:
    """Then what goes as a whole lies along the first axis, in torch's layers and in ours."""
    module = layer(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about such inputs
        theirs = module(torch.ones(shape)) != 0
    CounterDropout.take(module, 0, noise())
    ours = module(torch.ones(shape)) != 0
    for axis in range(1, len(shape)):
        flat = [found.flatten(axis) for found in (theirs, ours)]
        whole = [bool((found == found[..., :1]).all()) for found in flat]
        assert whole[0] == whole[1]
    assert 0.3 < float(ours.double().mean()) < 0.7


def test_a_process_whose_part_is_not_the_first_axis_says_so() -> None:
    layer = CounterDropout(0.5, False, 0, Noise(3, torch.device("cpu"), 4, part=5))
    assert layer(torch.ones(5, 3)).shape == (5, 3)
    with pytest.raises(
        UserError, match=r"dropout is given an input of shape \(15, 2\), whose first axis is not the 5"
    ):
        layer(torch.ones(15, 2))


@pytest.mark.parametrize("shape", [(6, 40, 5), (6, 40, 3, 4), (6, 40, 2, 3, 4)])
def test_whole_channels_go(shape: tuple[int, ...]) -> None:
    out = CounterDropout(0.5, True, 0, noise())(torch.ones(shape))
    flat = out.flatten(2)
    assert torch.equal(flat, flat[..., :1].expand_as(flat))
    kept = flat[..., 0] != 0
    assert abs(float(kept.double().mean()) - 0.5) < 5 * 0.5 / 240**0.5
    assert set(flat.unique().tolist()) == {0.0, 2.0}


def test_gradients_pass_where_values_do() -> None:
    x = torch.randn(20, 30, requires_grad=True)
    out = drop(0.25, x=x)
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (out != 0) / 0.75)
