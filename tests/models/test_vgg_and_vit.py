"""VGG and the vision transformer: sizes by hand, functions against formulas written out, what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import erf
from torch import nn

from support.model_parts import by_role, odd_state, parameters, sizes
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.state import load_state
from tombola.models.vit import places
from tombola.seeds import stream

IMAGE = (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "convolutions", "channels"),
    [
        # Sums of 9 * inputs * outputs; the channels are those of the norms.
        ("vgg-11", 9_217_728, 64 + 128 + 2 * 256 + 4 * 512),
        ("vgg-13", 9_217_728 + 9 * (64**2 + 128**2), 2 * (64 + 128 + 256 + 512 + 512)),
        ("vgg-16", 14_710_464, 2 * (64 + 128) + 3 * (256 + 512 + 512)),
        ("vgg-19", 20_018_880, 2 * (64 + 128) + 4 * (256 + 512 + 512)),
    ],
)
def test_vgg_has_the_published_sizes(name: str, convolutions: int, channels: int) -> None:
    arch = architecture(name, IMAGE, 10)
    assert by_role(arch) == {"conv": convolutions, "output": 5_120}
    assert parameters(arch) == convolutions + 5_120 + 10 + 2 * channels
    if name == "vgg-19":
        assert convolutions + 5_120 == 20_024_000
        assert len(arch.prunable) == 17
    for group, (first, last) in enumerate([(1, 2), (3, 4)] if name != "vgg-11" else []):
        assert arch.shapes[f"conv{first}.weight"][0] == arch.shapes[f"conv{last}.weight"][0] == 64 * 2**group


def test_vgg_pools_after_every_group_but_the_last() -> None:
    module = architecture("vgg-16", IMAGE, 10).build()
    kinds = [type(layer) for layer in module]
    conv = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    expected = []
    for count in (2, 2, 3, 3, 3):
        expected += conv * count + [nn.MaxPool2d]
    assert kinds == [*expected[:-1], nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]


def test_a_wider_vgg_has_wider_layers() -> None:
    arch = architecture("vgg-11-w2", (1, 16, 16), 3)
    widths = [arch.shapes[name][0] for name in arch.prunable]
    assert widths == [128, 256, 512, 512, 1024, 1024, 1024, 1024, 3]
    assert arch.shapes["out.weight"] == (3, 1024)


@pytest.mark.usefixtures("float64")
def test_vgg_is_the_function_of_the_paper() -> None:
    arch = architecture("vgg-13", (1, 33, 32), 4)
    module, state = arch.build().eval(), odd_state(arch)
    load_state(module, state)
    x = torch.from_numpy(stream("x").standard_normal((2, 1, 33, 32)))
    with torch.no_grad():
        found = module(x)
    for place in range(1, 11):
        x = F.conv2d(x, state[f"conv{place}.weight"], padding=1)
        mean, var = state[f"norm{place}.running_mean"], state[f"norm{place}.running_var"]
        scale = state[f"norm{place}.weight"] / (var + 1e-5).sqrt()
        x = (
            (x - mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + state[f"norm{place}.bias"].view(-1, 1, 1)
        ).relu()
        if place in (2, 4, 6, 8):
            x = F.max_pool2d(x, 2)
    assert x.shape[2:] == (2, 2)
    expected = x.mean((2, 3)) @ state["out.weight"].T + state["out.bias"]
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() > 0.05


def test_vit_has_the_size_of_its_formula() -> None:
    arch = architecture("vit", IMAGE, 10)
    width, blocks = 192, 6
    inside = blocks * (4 * width**2 + 2 * width * 4 * width)
    assert by_role(arch) == {"conv": 3 * 16 * width, "linear": inside, "output": 10 * width}
    assert sum(by_role(arch).values()) == 2_665_344
    # Every other parameter is a bias (of patches, five layers a block, output) or of a layer norm.
    biases = width + blocks * (3 * width + 4 * width + width) + 10
    assert parameters(arch) == 2_665_344 + biases + 2 * width * (2 * blocks + 1)
    assert dict(architecture("vit-4-6-192", IMAGE, 10).shapes) == dict(arch.shapes)


def test_vit_numbers_are_patch_depth_and_width() -> None:
    arch = architecture("vit-7-2-128", (1, 28, 28), 3)
    assert arch.shapes["patches.weight"] == (128, 1, 7, 7)
    assert arch.initial(stream(0))["places"].shape == (16, 128)
    block = {"attention.query": 128**2, "attention.key": 128**2, "attention.value": 128**2}
    block |= {"attention.out": 128**2, "fc1": 4 * 128**2, "fc2": 4 * 128**2}
    inside = {f"blocks.{b}.{name}.weight": size for b in range(2) for name, size in block.items()}
    assert sizes(arch) == {"patches.weight": 128 * 49, **inside, "out.weight": 3 * 128}


def vit_by_hand(
    x: np.ndarray, state: dict[str, np.ndarray], patch: int, depth: int, heads: int
) -> np.ndarray:
    """One image [channels, h, w] -> logits, token by token and head by head."""

    def linear(v: np.ndarray, at: str) -> np.ndarray:
        return v @ state[f"{at}.weight"].T + state.get(f"{at}.bias", 0)

    def norm(v: np.ndarray, at: str) -> np.ndarray:
        scaled = (v - v.mean(1, keepdims=True)) / np.sqrt(v.var(1, keepdims=True) + 1e-6)
        return scaled * state[f"{at}.weight"] + state[f"{at}.bias"]

    kernel = state["patches.weight"].reshape(len(state["patches.weight"]), -1)
    tokens = []
    for row in range(x.shape[1] // patch):
        for column in range(x.shape[2] // patch):
            piece = x[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            tokens.append(kernel @ piece.ravel() + state["patches.bias"])
    t = np.array(tokens) + state["places"]
    for block in (f"blocks.{b}" for b in range(depth)):
        v = norm(t, f"{block}.norm1")
        q, k, u = (linear(v, f"{block}.attention.{part}") for part in ("query", "key", "value"))
        mixed = np.zeros_like(t)
        size = t.shape[1] // heads
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            weights = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
            mixed[:, part] = weights / weights.sum(1, keepdims=True) @ u[:, part]
        t = t + linear(mixed, f"{block}.attention.out")
        v = linear(norm(t, f"{block}.norm2"), f"{block}.fc1")
        t = t + linear(v * (1 + erf(v / math.sqrt(2))) / 2, f"{block}.fc2")
    return norm(t, "norm").mean(0) @ state["out.weight"].T + state["out.bias"]


def test_vit_is_the_function_of_the_paper() -> None:
    arch = architecture("vit-3-2-128", (2, 6, 9), 5)
    module, state = arch.build().double(), odd_state(arch)
    load_state(module, state)
    x = stream("x").standard_normal((2, 2, 6, 9))
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    numbers = {name: value.double().numpy() for name, value in state.items()}
    expected = np.array([vit_by_hand(each, numbers, patch=3, depth=2, heads=2) for each in x])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_code_of_a_place_is_sines_and_cosines_of_its_row_and_column() -> None:
    code = places(3, 5, 64)
    assert code.shape == (15, 64)
    row, column = 2, 3
    expected = []
    for place, wave in ((row, math.sin), (row, math.cos), (column, math.sin), (column, math.cos)):
        expected += [wave(place / 10_000 ** (i / 16)) for i in range(16)]
    np.testing.assert_allclose(code[row * 5 + column], expected, rtol=1e-6, atol=1e-7)
    assert len(np.unique(code, axis=0)) == 15


def test_attention_is_of_linear_layers_without_dropout() -> None:
    module = architecture("vit-4-1-64", (1, 8, 8), 4).build()
    assert not any(isinstance(part, nn.MultiheadAttention | nn.Dropout) for part in module.modules())
    two_dimensional = {name for name, parameter in module.named_parameters() if parameter.dim() > 1}
    assert two_dimensional == set(architecture("vit-4-1-64", (1, 8, 8), 4).prunable)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("vgg-12", IMAGE, "did you mean 'vgg-11'|did you mean 'vgg-13'"),
        ("vgg-24", IMAGE, "did you mean 'vgg-19'"),
        ("vgg-15-w2", IMAGE, "'vgg-15-w2': no depth 15, expected one of: 11, 13, 16, 19; the nearest is 16"),
        ("vgg-16", (3, 15, 32), "'vgg-16'.*too small, expected a height and width of at least 16"),
        ("vgg-16", (256,), r"expected \(channels, height, width\)"),
        ("vit-4-6-100", IMAGE, "'vit-4-6-100': width 100, expected a multiple of 64; the nearest is 128"),
        ("vit-4-6-10", IMAGE, "the nearest is 64"),
        ("vit-5-6-64", IMAGE, r"shape \(3, 32, 32\), expected sides that are multiples of the patch, 5"),
        ("vit", (3, 32, 30), "multiples of the patch, 4"),
        ("vit", (3, 2, 32), "at least 4"),
        ("vit-4-6", IMAGE, "did you mean 'vit"),
    ],
)
def test_what_cannot_be_built_is_told(name, shape, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture(name, shape, 10)
