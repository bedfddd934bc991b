"""The named networks: published sizes, initial distribution, and names that are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from tombola.errors import UserError
from tombola.models import MODELS, ModelSpec, architecture
from tombola.models.architecture import Architecture
from tombola.models.named import glorot
from tombola.seeds import stream

IMAGE = (3, 32, 32)


def sizes(arch: Architecture) -> dict[str, int]:
    return {name: math.prod(arch.shapes[name]) for name in arch.prunable}


def of_role(arch: Architecture, role: str) -> int:
    return sum(size for name, size in sizes(arch).items() if arch.roles[name] == role)


def test_lenet_300_100_has_the_published_size() -> None:
    arch = architecture("lenet-300-100", (1, 28, 28), 10)
    assert sizes(arch) == {"fc1.weight": 784 * 300, "fc2.weight": 300 * 100, "out.weight": 100 * 10}
    assert sum(sizes(arch).values()) == 266_200
    assert sum(map(math.prod, arch.shapes.values())) == 266_610
    assert list(arch.roles.values()) == ["linear", "linear", "output"]


@pytest.mark.parametrize(
    ("name", "weights", "convolutions", "parameters"),
    [
        ("conv-2", 4_300_992, 38_592, 4_301_642),
        # Biases by hand: 64+64+128+128 + 256+256+10 = 906, and 512 more in Conv-6.
        ("conv-4", 2_425_024, 259_776, 2_425_024 + 906),
        ("conv-6", 2_261_184, 1_144_512, 2_261_184 + 906 + 512),
    ],
)
def test_conv_nets_have_the_published_sizes(name, weights, convolutions, parameters) -> None:
    arch = architecture(name, IMAGE, 10)
    assert sum(sizes(arch).values()) == weights
    assert of_role(arch, "conv") == convolutions
    assert of_role(arch, "output") == 256 * 10
    assert sum(map(math.prod, arch.shapes.values())) == parameters


def test_conv_names_and_order() -> None:
    arch = architecture("conv-4", IMAGE, 10)
    layers = ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "out")
    assert arch.prunable == tuple(f"{layer}.weight" for layer in layers)


def test_lenet_widths_come_from_the_name_and_sizes_from_the_data() -> None:
    arch = architecture("lenet-7-5-3", (4, 2), 6)
    assert [arch.shapes[name] for name in arch.prunable] == [(7, 8), (5, 7), (3, 5), (6, 3)]
    assert list(dict(arch.build().named_children())) == [
        "flatten", "fc1", "relu1", "fc2", "relu2", "fc3", "relu3", "out",
    ]  # fmt: skip


def test_odd_image_sides_are_pooled_down() -> None:
    # 7 -> 3 -> 1 -> pooled sides of two modules: 7 // 2 // 2 = 1, so 128 inputs to fc1.
    assert architecture("conv-4", (1, 7, 7), 10).shapes["fc1.weight"] == (256, 128)


def test_dropout_sits_behind_each_hidden_linear_layer_and_adds_no_parameter() -> None:
    plain = architecture("conv-2", (1, 8, 8), 10)
    dropped = architecture(ModelSpec(name="conv-2", options={"dropout": 0.5}), (1, 8, 8), 10)
    assert dropped.shapes == plain.shapes
    assert not any(isinstance(layer, nn.Dropout) for layer in plain.build().modules())
    layers = list(dropped.build())
    places = [place for place, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    assert [layers[place].p for place in places] == [0.5, 0.5]
    assert [[type(layer) for layer in layers[place - 2 : place]] for place in places] == [
        [nn.Linear, nn.ReLU],
        [nn.Linear, nn.ReLU],
    ]


def test_initial_state_is_gaussian_glorot_with_zero_biases() -> None:
    arch = architecture("conv-2", IMAGE, 10)
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


def test_the_same_stream_gives_the_same_bits_and_another_does_not() -> None:
    arch = architecture("lenet-5", (4,), 3)
    first, same, other = (arch.initial(stream(seed, "init")) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in arch.prunable)


def test_every_registered_model_has_a_line_and_builds() -> None:
    for name in MODELS:
        assert MODELS.describe(name)
        arch = architecture(name.replace("A-B-...", "6-5"), (1, 8, 8), 4)
        assert arch.can_reinit
        assert arch.build()(torch.zeros(3, 1, 8, 8)).shape == (3, 4)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lenet-300_100", "unknown model 'lenet-300_100'; did you mean 'lenet-300-100'"),
        ("LeNet-5-4", "did you mean 'lenet-5-4'"),
        ("conv2", "did you mean 'conv-2'"),
        ("conv-8", "did you mean 'conv-"),
        ("lenet", "did you mean 'lenet-300-100'"),
        ("lenet-A-B-...", "did you mean 'lenet-"),
        ("", "unknown model ''.*expected one of: conv-2"),
        ("zzz", "package.module:factory.*expected one of: conv-2, conv-4"),
        ("lenet-0-10", "'lenet-0-10': its widths must be positive"),
        ("lenet-010", "widths must be positive, without leading zeros"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(name, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture(name, (1, 28, 28), 10)


@pytest.mark.parametrize(
    ("name", "options", "shape", "sentence"),
    [
        ("conv-6", {}, (1, 7, 28), "at least 8"),
        ("conv-2", {}, (64,), r"expected \(channels, height, width\)"),
        ("conv-2", {"dropout": 1.0}, IMAGE, "'dropout' is 1.0, expected a number from 0 to below 1"),
        ("conv-2", {"dropout": "half"}, IMAGE, "'dropout' is 'half'"),
        ("conv-2", {"dropout": True}, IMAGE, "'dropout' is True"),
        ("conv-2", {"droput": 0.5}, IMAGE, "no option 'droput'; did you mean 'dropout'"),
        ("lenet-5", {"dropout": 0.5}, IMAGE, "model 'lenet-5' has no option 'dropout'"),
        ("lenet-5", {"classes": 5}, IMAGE, "'classes' comes from the data"),
    ],
)
def test_a_wrong_option_or_input_is_told(name, options, shape, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture(ModelSpec(name=name, options=options), shape, 10)
