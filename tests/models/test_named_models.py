"""The named networks: published sizes, initial distribution, and names that are wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from support.model_parts import SMALL, by_role, parameters, sizes
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.catalog import MODELS
from tombola.models.spec import ModelSpec
from tombola.seeds import stream

IMAGE = (3, 32, 32)


def test_lenet_300_100_has_the_published_size() -> None:
    arch = architecture("lenet-300-100", (1, 28, 28), 10)
    assert sizes(arch) == {"fc1.weight": 784 * 300, "fc2.weight": 300 * 100, "out.weight": 100 * 10}
    assert sum(sizes(arch).values()) == 266_200
    assert parameters(arch) == 266_610
    assert list(arch.roles.values()) == ["linear", "linear", "output"]


@pytest.mark.parametrize(
    ("name", "weights", "convolutions", "total"),
    [
        ("conv-2", 4_300_992, 38_592, 4_301_642),
        # Biases by hand: 64+64+128+128 + 256+256+10 = 906, and 512 more in Conv-6.
        ("conv-4", 2_425_024, 259_776, 2_425_024 + 906),
        ("conv-6", 2_261_184, 1_144_512, 2_261_184 + 906 + 512),
    ],
)
def test_conv_nets_have_the_published_sizes(name, weights, convolutions, total) -> None:
    arch = architecture(name, IMAGE, 10)
    assert sum(sizes(arch).values()) == weights
    assert by_role(arch)["conv"] == convolutions
    assert by_role(arch)["output"] == 256 * 10
    assert parameters(arch) == total


def test_conv_names_and_order() -> None:
    arch = architecture("conv-4", IMAGE, 10)
    layers = ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2", "out")
    assert arch.prunable == tuple(f"{layer}.weight" for layer in layers)


@pytest.mark.parametrize(
    ("shape", "first", "padding"), [((1, 28, 28), 150, 2), (IMAGE, 450, 0), ((1, 32, 32), 150, 0)]
)
def test_lenet_5_has_the_published_size(shape, first, padding) -> None:
    arch = architecture("lenet-5", shape, 10)
    # 61,706 parameters for one channel; 5x5 places of 16 channels reach fc1 from 28 as from 32 pixels.
    inner = {"conv2": 16 * 6 * 25, "fc1": 400 * 120, "fc2": 120 * 84, "out": 840}
    assert sizes(arch) == {"conv1.weight": first} | {f"{name}.weight": size for name, size in inner.items()}
    assert parameters(arch) == first + 61_320 + 6 + 16 + 120 + 84 + 10
    assert first != 150 or parameters(arch) == 61_706
    assert arch.build().conv1.padding == (padding, padding)
    assert list(arch.roles.values()) == ["conv", "conv", "linear", "linear", "output"]


def test_lenet_5_has_3x3_kernels_as_well() -> None:
    """Paganini & Forde 2020, section 3: 6 and 16 channels, 400 -> 120 -> 84 -> 10, and 28x28 images reach the 400."""
    arch = architecture("lenet-5-3x3", (1, 28, 28), 10)
    # 28 -> 26, pooled 13, 11, pooled 5: 25 places of 16 channels.
    assert sizes(arch) == {
        "conv1.weight": 54,
        "conv2.weight": 864,
        "fc1.weight": 48_000,
        "fc2.weight": 10_080,
        "out.weight": 840,
    }
    assert arch.build().conv1.padding == arch.build().conv2.padding == (0, 0)
    # 10 -> 8, 4, 2, 1.
    assert architecture("lenet-5-3x3", (1, 10, 10), 10).shapes["fc1.weight"] == (120, 16)


def test_lenet_5_takes_images_that_are_not_square() -> None:
    # 12 + 4 - 4 = 12, pooled 6, 2, pooled 1; and 40 + 4 - 4 = 40, 20, 16, 8.
    assert architecture("lenet-5", (1, 12, 40), 10).shapes["fc1.weight"] == (120, 16 * 1 * 8)


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


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_finite_at_init_and_training_differs_by_batch_norm_alone(name: str) -> None:
    arch = architecture(name, (3, 32, 32), 3)
    module = arch.build()
    module.load_state_dict(arch.initial(stream(0, "init")))
    x = torch.from_numpy(stream("x").standard_normal((4, 3, 32, 32)).astype(np.float32))
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    with torch.no_grad():
        evaluated = module.eval()(x)
        module.train()
        for part in norms:
            part.eval()
        frozen = module(x)
        trained = module.train()(x)
    assert evaluated.isfinite().all()
    assert evaluated.std() > 1e-3
    assert torch.equal(frozen, evaluated)
    assert torch.equal(trained, evaluated) == (not norms)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 32, 64])
def test_networks_take_images_of_the_usual_sizes(name: str, channels: int, side: int) -> None:
    arch = architecture(name, (channels, side, side), 7)
    assert arch.build()(torch.zeros(3, channels, side, side)).shape == (3, 7)


@pytest.mark.parametrize("name", MODELS.examples)
def test_every_registered_model_builds(name: str) -> None:
    arch = architecture(name, (1, 16, 16), 4)
    assert arch.can_reinit
    assert arch.build()(torch.zeros(3, 1, 16, 16)).shape == (3, 4)


def test_families_are_those_registered_and_their_examples_are_of_them() -> None:
    examples = dict(zip(MODELS, MODELS.examples, strict=True))
    families = {name for name in MODELS if name != name.lower()}
    assert families == {name for name, example in examples.items() if name != example}
    assert len(families) == 5
    for family in families:
        match = MODELS.match(examples[family])
        assert match is not None
        assert match[0] is MODELS[family]
        with pytest.raises(UserError):  # the pattern itself is no name
            architecture(family, IMAGE, 10)


def test_every_registered_model_has_a_line() -> None:
    assert all(map(MODELS.describe, MODELS))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lenet-300_100", "unknown model 'lenet-300_100'; did you mean 'lenet-300-100'"),
        ("LeNet-5-4", "did you mean 'lenet-5-4'"),
        ("conv2", "did you mean 'conv-2'"),
        ("conv-8", "did you mean 'conv-"),
        ("lenet", "did you mean 'lenet-5'"),
        ("lenet-300x100", "did you mean 'lenet-300-100'"),
        ("conv-5", "did you mean 'conv-4'|did you mean 'conv-6'"),
        ("lenet-A-B-...", "did you mean 'lenet-"),
        ("", "unknown model ''.*expected one of: conv-2"),
        ("zzz", "package.module:factory.*expected one of: conv-2, conv-4"),
        ("lenet-0-10", "'lenet-0-10': its numbers must be positive"),
        ("lenet-010", "numbers must be positive, without leading zeros"),
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
        ("lenet-6", {"dropout": 0.5}, IMAGE, "model 'lenet-6' has no option 'dropout'"),
        ("lenet-6", {"classes": 5}, IMAGE, "'classes' comes from the data"),
        ("lenet-6", {"inti": "glorot-normal"}, IMAGE, "no option 'inti'; did you mean 'init'"),
        ("resnet-20", {"init": "kaiming"}, IMAGE, "'init' is 'kaiming'; did you mean 'kaiming-normal'"),
        ("resnet-20", {"init": 3}, IMAGE, "'init' is '3'; expected one of: glorot-normal, kaiming-normal"),
        ("lenet-5", {}, (1, 11, 28), "too small, expected a height and width of at least 12"),
        ("lenet-5-3x3", {}, (1, 9, 28), "too small, expected a height and width of at least 10"),
        ("lenet-5", {}, (64,), r"'lenet-5': input of shape \(64,\), expected \(channels, height, width\)"),
    ],
)
def test_a_wrong_option_or_input_is_told(name, options, shape, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture(ModelSpec(name=name, options=options), shape, 10)
