"""Initial weights of the named networks: their distribution, and the stream they are drawn from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from support.model_parts import SMALL
from tombola.models.architecture import architecture
from tombola.models.catalog import MODELS
from tombola.models.initializers import glorot, kaiming
from tombola.models.spec import ModelSpec
from tombola.seeds import stream


def test_initial_state_is_gaussian_glorot_with_zero_biases() -> None:
    arch = architecture("conv-2", (3, 32, 32), 10)
    state = arch.initial(stream(0, "init"))
    fans = {"conv1": (3 * 9, 64 * 9), "conv2": (64 * 9, 64 * 9), "fc1": (16_384, 256), "out": (256, 10)}
    for layer, (fan_in, fan_out) in fans.items():
        weight = state[f"{layer}.weight"].double()
        deviation = math.sqrt(2 / (fan_in + fan_out))
        # Five standard errors of a mean and of a deviation of n Gaussian draws.
        n = weight.numel()
        assert abs(weight.mean()) < 5 * deviation / math.sqrt(n)
        assert abs(weight.std() / deviation - 1) < 5 / math.sqrt(2 * n)
        assert weight.dtype == torch.float64
        assert state[f"{layer}.weight"].dtype == torch.float32
        assert not state[f"{layer}.bias"].any()
    # Gaussian, not uniform: 4.55% lie beyond two deviations, of a uniform of this deviation none do.
    beyond = (state["fc1.weight"].abs() > 2 * math.sqrt(2 / (16_384 + 256))).double().mean()
    assert abs(beyond - 0.0455) < 0.001


def test_initial_draws_parameter_after_parameter_in_double_precision() -> None:
    state = architecture("lenet-2", (3,), 2).initial(stream("x"))
    rng = stream("x")
    first = (rng.standard_normal((2, 3)) * math.sqrt(2 / 5)).astype(np.float32)
    second = (rng.standard_normal((2, 2)) * math.sqrt(2 / 4)).astype(np.float32)
    assert np.array_equal(state["fc1.weight"].numpy(), first)
    assert np.array_equal(state["out.weight"].numpy(), second)


def test_glorot_leaves_norm_weights_and_buffers_alone() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.BatchNorm2d(4))
    state = glorot(module, stream(0))
    assert torch.equal(state["1.weight"], torch.ones(4))
    assert torch.equal(state["1.running_var"], torch.ones(4))
    assert not state["1.bias"].any()


def test_kaiming_is_an_option_of_every_network_of_ours() -> None:
    module = MODELS["conv-2"]((1, 4, 4), 3)
    rng = stream(7)
    first = (rng.standard_normal((64, 1, 3, 3)) * math.sqrt(2 / 9)).astype(np.float32)
    second = (rng.standard_normal((64, 64, 3, 3)) * math.sqrt(2 / 576)).astype(np.float32)
    state = kaiming(module, stream(7))
    assert np.array_equal(state["conv1.weight"].numpy(), first)
    assert np.array_equal(state["conv2.weight"].numpy(), second)
    chosen = architecture(ModelSpec(name="conv-2", options={"init": "kaiming-normal"}), (1, 4, 4), 3)
    assert all(torch.equal(value, state[name]) for name, value in chosen.initial(stream(7)).items())
    plain, named = (
        architecture(ModelSpec(name="conv-2", options=options), (1, 4, 4), 3).initial(stream(7))
        for options in ({}, {"init": "glorot-normal"})
    )
    assert all(torch.equal(plain[name], named[name]) for name in plain)
    assert not torch.equal(plain["conv1.weight"], state["conv1.weight"])


@pytest.mark.parametrize("name", SMALL)
def test_weights_follow_the_init_stream_alone(name: str) -> None:
    arch = architecture(name, (1, 16, 16), 3)
    first, same, other = (arch.initial(stream(seed, "init")) for seed in (0, 0, 1))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in arch.prunable)
    for key, value in first.items():
        if key.endswith(("bias", "running_mean")):
            assert not value.any(), key
        elif key not in arch.prunable and value.is_floating_point() and key != "places":
            assert torch.equal(value, torch.ones_like(value)), key  # weights and variances of norms


def test_the_same_stream_gives_the_same_bits_and_another_does_not() -> None:
    arch = architecture("lenet-6", (4,), 3)
    first, same, other = (arch.initial(stream(seed, "init")) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in arch.prunable)
