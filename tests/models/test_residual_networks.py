"""Residual networks: published sizes, and their functions against the papers' formulas written out."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.model_parts import by_role, odd_state, parameters
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.models.catalog import MODELS
from tombola.models.state import State, load_state
from tombola.seeds import stream

IMAGE = (3, 32, 32)


def test_resnet_20_is_the_resnet_18_of_frankle_and_carbin() -> None:
    arch = architecture("resnet-20", IMAGE, 10)
    assert by_role(arch) == {"conv": 267_696, "shortcut": 2_560, "output": 640}
    assert sum(by_role(arch).values()) == 270_896
    # The biases of ten logits; a weight and a bias for each channel of the norms: the one of the stem, two in
    # each of the three blocks of a stage, the two of the shortcuts.
    norms = 16 + 6 * 16 + 6 * 32 + 6 * 64 + 32 + 64
    assert parameters(arch) == 270_896 + 10 + 2 * norms == 272_474
    assert "Resnet-18" in MODELS.describe("resnet-20")


@pytest.mark.parametrize("depth", [14, 20, 32, 44, 56, 110])
@pytest.mark.parametrize("factor", [1, 4])
def test_the_cifar_family_has_the_sizes_of_its_formula(depth: int, factor: int) -> None:
    if depth > 56 and factor > 1:
        return  # only large
    n = (depth - 2) // 6
    a, b, c = (width * factor for width in (16, 32, 64))
    inner = 9 * (2 * n * a * a + (a * b + (2 * n - 1) * b * b) + (b * c + (2 * n - 1) * c * c))
    arch = architecture(f"resnet-{depth}" if factor == 1 else f"resnet-{depth}-w{factor}", (1, 8, 8), 7)
    assert by_role(arch) == {"conv": 9 * a + inner, "shortcut": a * b + b * c, "output": 7 * c}
    # 6n + 2 layers: every convolution that is no shortcut, and the linear layer.
    assert sum(role != "shortcut" for role in arch.roles.values()) == depth


def test_a_width_of_one_is_the_plain_network() -> None:
    plain, named = (architecture(name, (1, 8, 8), 4) for name in ("resnet-14", "resnet-14-w1"))
    assert dict(plain.shapes) == dict(named.shapes)


@pytest.mark.parametrize(
    ("shape", "classes", "total"),
    [
        (IMAGE, 10, 11_173_962),
        (IMAGE, 100, 11_220_132),  # Chen et al. 2022, Table 1: 11.22 M
        ((3, 224, 224), 1000, 11_689_512),  # the network of the ImageNet papers
    ],
)
def test_resnet_18_has_the_published_sizes(shape, classes, total) -> None:
    module = MODELS["resnet-18"](shape, classes)
    assert sum(parameter.numel() for parameter in module.parameters()) == total


def test_resnet_50_has_the_published_size() -> None:
    arch = architecture("resnet-50", (3, 224, 224), 1000)
    assert parameters(arch) == 25_557_032  # the network of the ImageNet papers; Chen et al. 2022: 25.56 M
    # A projection for each stage: to 256 from 64, and to twice as many from the 256, 512 and 1,024 before it.
    assert by_role(arch)["shortcut"] == 64 * 256 + 2 * (256**2 + 512**2 + 1024**2)
    assert sum(role != "shortcut" for role in arch.roles.values()) == 50
    assert sides(arch.build(), 224) == [224, 112, 56, 28, 14, 7, 1]


def test_resnet_18_takes_imagenets_stem_from_128_pixels_up() -> None:
    def stem(*shape: int) -> tuple[int, ...]:
        return tuple(MODELS["resnet-18"](shape, 10).conv.weight.shape)

    assert stem(3, 32, 32) == stem(3, 64, 64) == stem(3, 127, 200) == (64, 3, 3, 3)
    assert stem(3, 128, 128) == (64, 3, 7, 7)
    assert tuple(MODELS["resnet-44"]((3, 256, 256), 10).conv.weight.shape) == (16, 3, 3, 3)


def sides(module: nn.Module, side: int) -> list[int]:
    """The side of the image after every layer that changes it."""
    found, x = [side], torch.zeros(1, 3, side, side)
    with torch.no_grad():
        for layer in module.eval().children():
            x = layer(x)
            if x.dim() == 4 and x.shape[-1] != found[-1]:
                found.append(x.shape[-1])
    return found


def test_images_shrink_as_in_the_papers() -> None:
    assert sides(MODELS["resnet-18"]((3, 128, 128), 10), 128) == [128, 64, 32, 16, 8, 4, 1]
    assert sides(MODELS["resnet-18"]((3, 32, 32), 10), 32) == [32, 16, 8, 4, 1]
    assert sides(MODELS["resnet-14"]((3, 28, 28), 10), 28) == [28, 14, 7, 1]
    assert sides(MODELS["wrn-D-K"]((8, 1), (3, 64, 64), 10), 64) == [64, 32, 16, 1]


@pytest.mark.parametrize(
    ("name", "total"),
    [("wrn-32-2", 1_855_578), ("wrn-40-2", 2_243_546), ("wrn-16-4", 2_748_890)],
)
def test_wide_networks_have_the_published_sizes(name: str, total: int) -> None:
    # 1.86 M in Chen et al. 2022, Table 1; 2.2 M and 2.7 M in Zagoruyko & Komodakis 2016, Table 4.
    depth, factor = (int(number) for number in name.split("-")[1:])
    n, widths = (depth - 2) // 6, [16] + [width * factor for width in (16, 32, 64)]
    pairs = list(itertools.pairwise(widths))
    convolutions = 27 * 16 + sum(9 * (a * b + (2 * n - 1) * b * b) for a, b in pairs)
    shortcuts = sum(a * b for a, b in pairs)
    norms = sum(a + (2 * n - 1) * b for a, b in pairs) + widths[-1]
    arch = architecture(name, IMAGE, 10)
    assert by_role(arch) == {"conv": convolutions, "shortcut": shortcuts, "output": 10 * widths[-1]}
    assert parameters(arch) == convolutions + shortcuts + 10 * widths[-1] + 10 + 2 * norms == total


def test_a_wide_network_counts_its_depth_either_way() -> None:
    ours, theirs = (architecture(name, (1, 8, 8), 4) for name in ("wrn-8-2", "wrn-10-2"))
    assert dict(ours.shapes) == dict(theirs.shapes)
    deeper = architecture("wrn-14-2", (1, 8, 8), 4)
    assert len(deeper.prunable) == len(ours.prunable) + 6


def norm(x: Tensor, state: State, at: str) -> Tensor:
    mean, var = state[f"{at}.running_mean"], state[f"{at}.running_var"]
    weight, bias = state[f"{at}.weight"], state[f"{at}.bias"]
    return (x - mean.view(-1, 1, 1)) / (var + 1e-5).sqrt().view(-1, 1, 1) * weight.view(-1, 1, 1) + bias.view(
        -1, 1, 1
    )


def head(x: Tensor, state: State) -> Tensor:
    return x.mean((2, 3)) @ state["out.weight"].T + state["out.bias"]


def bottlenecks_by_hand(x: Tensor, state: State, blocks: list[int]) -> Tensor:
    x = norm(F.conv2d(x, state["conv.weight"], padding=1), state, "norm").relu()
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            at, stride = f"stage{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = norm(F.conv2d(x, state[f"{at}.conv1.weight"]), state, f"{at}.norm1").relu()
            inner = F.conv2d(inner, state[f"{at}.conv2.weight"], stride=stride, padding=1)
            inner = F.conv2d(norm(inner, state, f"{at}.norm2").relu(), state[f"{at}.conv3.weight"])
            if block == 0:
                x = F.conv2d(x, state[f"{at}.shortcut.conv.weight"], stride=stride)
                x = norm(x, state, f"{at}.shortcut.norm")
            x = (norm(inner, state, f"{at}.norm3") + x).relu()
    return head(x, state)


def resnet_by_hand(x: Tensor, state: State, blocks: list[int]) -> Tensor:
    x = norm(F.conv2d(x, state["conv.weight"], padding=1), state, "norm").relu()
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            at, stride = f"stage{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = F.conv2d(x, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            inner = norm(inner, state, f"{at}.norm1").relu()
            inner = norm(F.conv2d(inner, state[f"{at}.conv2.weight"], padding=1), state, f"{at}.norm2")
            if stride == 2:
                x = norm(
                    F.conv2d(x, state[f"{at}.shortcut.conv.weight"], stride=2), state, f"{at}.shortcut.norm"
                )
            x = (inner + x).relu()
    return head(x, state)


def wrn_by_hand(x: Tensor, state: State, blocks: list[int]) -> Tensor:
    x = F.conv2d(x, state["conv.weight"], padding=1)
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            at, stride = f"stage{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            active = norm(x, state, f"{at}.norm1").relu()
            inner = F.conv2d(active, state[f"{at}.conv1.weight"], stride=stride, padding=1)
            inner = norm(inner, state, f"{at}.norm2").relu()
            if block == 0:
                x = F.conv2d(active, state[f"{at}.shortcut.weight"], stride=stride)
            x = F.conv2d(inner, state[f"{at}.conv2.weight"], padding=1) + x
    return head(norm(x, state, "norm").relu(), state)


@pytest.mark.parametrize(
    ("name", "by_hand", "blocks", "shape"),
    [
        ("resnet-14", resnet_by_hand, [2, 2, 2], (3, 9, 9)),
        ("resnet-20-w2", resnet_by_hand, [3, 3, 3], (1, 8, 8)),
        ("resnet-18", resnet_by_hand, [2, 2, 2, 2], (3, 8, 8)),
        ("resnet-50", bottlenecks_by_hand, [3, 4, 6, 3], (3, 8, 8)),
        ("wrn-14-2", wrn_by_hand, [2, 2, 2], (3, 9, 9)),
    ],
)
def test_the_network_is_the_function_of_the_paper(name, by_hand, blocks, shape) -> None:
    arch = architecture(name, shape, 5)
    module, state = arch.build().eval(), odd_state(arch)
    load_state(module, state)
    x = torch.from_numpy(stream("x").standard_normal((2, *shape)))
    with torch.no_grad():
        found = module.double()(x)
    expected = by_hand(x, {key: value.double() for key, value in state.items()}, blocks)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["resnet-14", "wrn-8-1", "vgg-11"])
def test_without_convolutions_only_the_bias_of_the_output_is_left(name: str) -> None:
    arch = architecture(name, (3, 16, 16), 4)
    state = arch.initial(stream(0))
    for key, role in arch.roles.items():
        if role in ("conv", "shortcut"):
            state[key].zero_()
    state["out.bias"] = torch.tensor([1.0, -2.0, 3.0, 0.5])
    module = arch.build()
    load_state(module, state)
    for train in (True, False):  # a batch of zeros has mean 0 and variance 0, and stays zero
        logits = module.train(train)(torch.ones(3, 3, 16, 16))
        assert torch.equal(logits, state["out.bias"].expand(3, 4))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet-21", "unknown model 'resnet-21'.*did you mean 'resnet-20'"),
        ("resnet-101", "did you mean 'resnet-110'"),
        ("resnet-1", "did you mean 'resnet-8'"),
        ("ResNet-20", "did you mean 'resnet-20'"),
        ("resnet20", "did you mean 'resnet-20'"),
        ("resnet-21-w2", "'resnet-21-w2': no depth 21, expected one of: 8, 14, 18, 20.*the nearest is 20"),
        ("resnet-60-w4", "'resnet-60-w4': no depth 60.*the nearest is 56"),
        ("resnet-20-w0", "'resnet-20-w0': its numbers must be positive"),
        ("resnet-20-4", "did you mean 'resnet-20"),
        ("wrn-31-2", r"'wrn-31-2': no depth 31, expected 6n \+ 2 or 6n \+ 4; the nearest is 32"),
        ("wrn-30-2", "the nearest is (28|32)"),
        ("wrn-4-2", "the nearest is 8"),
        ("wrn-32", "did you mean 'wrn-32-2'"),
    ],
)
def test_a_depth_that_is_not_there_is_told_with_the_nearest(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        architecture(name, IMAGE, 10)


@pytest.mark.parametrize("name", ["resnet-20", "resnet-18", "wrn-8-1"])
def test_an_input_that_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"'{name}': input of shape \(64,\), expected \(channels"):
        architecture(name, (64,), 10)
