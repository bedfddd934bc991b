"""Layers of foreign networks: which weights are prunable, and that a mask leaves all else as it is."""

from __future__ import annotations

from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state, state_of
from tombola.seeds import stream

SHAPE = (2, 8, 8)


class Medley(nn.Module):
    """Convolutions of every kind, norms of every kind, and parameters that no layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(2, 6, 3, groups=2, padding=1)
        self.batch = nn.BatchNorm2d(6)
        self.dilated = nn.Conv2d(6, 6, 3, dilation=2, padding=2, padding_mode="circular")
        self.groups = nn.GroupNorm(3, 6)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6, stride=2, padding=1, bias=False)
        self.instance = nn.InstanceNorm2d(6, affine=True, track_running_stats=True)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2)
        self.drop = nn.Dropout2d(0.5)
        self.embed = nn.Embedding(8, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.line = nn.Conv1d(4, 4, 3)
        self.shared = nn.Linear(4, 4)
        self.layer = nn.LayerNorm(4)
        self.cell = nn.GRU(4, 4, batch_first=True)
        self.head = nn.Linear(4, 3)
        self.register_buffer("shift", torch.full((4,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        x = self.batch(self.grouped(x)).relu()
        x = self.groups(self.dilated(x)).relu()
        x = self.drop(self.up(self.instance(self.depthwise(x)))).mean(3) * self.scale[:, None]
        x = self.line(x + self.embed.weight.T).transpose(1, 2)
        x = self.layer(self.shared(self.shared(x).relu()) + cast(Tensor, self.shift))
        out: Tensor = self.head(self.cell(x)[0].mean(1))
        return out


PRUNABLE = {
    "grouped.weight": (6, 1, 3, 3),
    "dilated.weight": (6, 6, 3, 3),
    "depthwise.weight": (6, 1, 3, 3),
    "up.weight": (6, 2, 2, 2),
    "line.weight": (4, 4, 3),
    "shared.weight": (4, 4),
    "head.weight": (3, 4),
}


@pytest.fixture
def arch() -> Architecture:
    return architecture(Medley, SHAPE, 3)


@pytest.fixture
def half(arch: Architecture) -> Mask:
    """A mask of about half the weights, drawn."""
    rng = stream("mask")
    return Mask({name: torch.from_numpy(rng.random(shape) < 0.5) for name, shape in PRUNABLE.items()})


def built(arch: Architecture, state: dict[str, Tensor]) -> nn.Module:
    module = arch.build().eval()
    load_state(module, state)
    return module


def images() -> Tensor:
    return torch.from_numpy(stream("x").standard_normal((3, *SHAPE))).float()


def test_weights_of_convolutions_and_linear_layers_are_prunable_and_nothing_else(arch: Architecture) -> None:
    assert {name: arch.shapes[name] for name in arch.prunable} == PRUNABLE
    assert [arch.roles[name] for name in PRUNABLE] == [*["conv"] * 5, "linear", "output"]
    assert {"embed.weight", "scale", "cell.weight_ih_l0"} <= set(arch.shapes)


def test_pruning_takes_its_share_of_every_kind_of_layer(arch: Architecture) -> None:
    state = arch.initial(stream(0))
    dense = Mask.dense(PRUNABLE)
    rule = PruneRule(rate=0.3)
    mask = Pruner(rule, rates_for(rule, arch.roles), stream("ties")).by_rate(dense, state, state)
    for name in PRUNABLE:
        size = dense.size(name)
        assert mask.count(name) == size - int(0.3 * size + 0.5), name
        dead, living = state[name].abs()[~mask[name]], state[name].abs()[mask[name]]
        assert dead.max() <= living.min(), name


def test_a_full_mask_changes_no_bit_of_the_function(arch: Architecture) -> None:
    state = arch.initial(stream(0))
    plain, masked = built(arch, state), built(arch, Mask.dense(PRUNABLE).apply(state))
    assert torch.equal(plain(images()), masked(images()))


def test_a_mask_leaves_layers_as_they_are_and_everything_else_dense(arch: Architecture, half: Mask) -> None:
    state = arch.initial(stream(0))
    module = built(arch, half.apply(state))
    assert [str(part) for part in module.modules()] == [str(part) for part in Medley().eval().modules()]
    after = state_of(module)
    for name, value in state.items():
        if name in PRUNABLE:
            assert torch.equal(after[name], torch.where(half[name], value, torch.zeros(())))
        else:
            assert torch.equal(after[name], value), name
    assert not torch.equal(module(images()), built(arch, state)(images()))


def test_a_masked_grouped_convolution_is_that_of_the_masked_kernel(arch: Architecture, half: Mask) -> None:
    module = built(arch, half.apply(arch.initial(stream(0))))
    kernel = arch.initial(stream(0))["grouped.weight"] * half["grouped.weight"]
    expected = torch.cat(
        [F.conv2d(images()[:, g : g + 1], kernel[3 * g : 3 * g + 3], padding=1) for g in (0, 1)], 1
    )
    bias = arch.initial(stream(0))["grouped.bias"].view(-1, 1, 1)
    torch.testing.assert_close(module.get_submodule("grouped")(images()), expected + bias)


class Twice(nn.Module):
    """One matrix in two layers, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.second(self.first(x)))
        return out


def test_a_shared_weight_has_one_mask_which_holds_in_both_places() -> None:
    arch = architecture(Twice, (3,), 2)
    assert arch.prunable == ("first.weight", "head.weight")
    state = arch.initial(stream(0))
    mask = Mask({"first.weight": torch.eye(3) > 0, "head.weight": torch.ones(2, 3) > 0})
    module = built(arch, mask.apply(state))
    x = torch.tensor([[1.0, -2.0, 0.5]])
    scale = state["first.weight"].diagonal()
    hidden = scale * (scale * x + state["first.bias"]) + state["second.bias"]
    torch.testing.assert_close(module(x), hidden @ state["head.weight"].T + state["head.bias"])
    assert torch.equal(module.get_parameter("second.weight"), module.get_parameter("first.weight"))


class Residual(nn.Module):
    """Shortcuts as torchvision names them, and layers that only look like one."""

    def __init__(self) -> None:
        super().__init__()
        self.downsample = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
        self.shortcut = nn.Conv2d(2, 3, 3, padding=1)  # not of 1x1
        self.pointwise = nn.Conv2d(3, 3, 1)  # in no module of that name
        self.shortcuts = nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential()
        self.head.shortcut = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shortcuts(self.pointwise(self.downsample(x) + self.shortcut(x)))
        out: Tensor = self.head.shortcut(x.mean((2, 3)))
        return out


def test_the_shortcuts_of_foreign_networks_are_known_by_their_name_and_kernel() -> None:
    assert dict(architecture(Residual, SHAPE, 4).roles) == {
        "downsample.0.weight": "shortcut",
        "shortcut.weight": "conv",
        "pointwise.weight": "conv",
        "shortcuts.weight": "conv",
        "head.shortcut.weight": "output",
    }


class Spectral(nn.Module):
    def __init__(self, tensor: Tensor, trained: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.extra = nn.Parameter(tensor, requires_grad=trained)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x * self.extra.real.sum())
        return out


class Whole(nn.Linear):
    """A Linear layer whose weights are whole numbers, as quantised ones are."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.weight = nn.Parameter(torch.ones(3, 4, dtype=torch.int8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T.to(x.dtype)


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (
            lambda: Spectral(torch.ones(4, dtype=torch.complex64), True),
            "parameter 'extra' is of type complex64, expected real numbers",
        ),
        (Whole, "parameter 'weight' is of type int8, expected real numbers"),
        (lambda: nn.Linear(4, 3, device="meta"), "its factory failed .NotImplementedError"),
        (lambda: nn.GRU(4, 3), "no Linear or Conv weights, so there is nothing to prune"),
        (lambda: nn.Sequential(nn.LazyConv2d(3, 1), nn.Flatten(), nn.Linear(4, 3)), "it has lazy layers"),
        (lambda: nn.Linear(4, 3, dtype=torch.float64), r"fails on inputs of shape \(4, 4\)"),
    ],
)
def test_weights_that_cannot_be_pruned_are_told_in_a_sentence(factory, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        architecture(factory, (4,), 3)
    assert "\n" not in str(caught.value)


def test_whole_numbers_beside_the_weights_are_welcome() -> None:
    arch = architecture(lambda: Spectral(torch.ones(4, dtype=torch.int64)), (4,), 3)
    assert arch.prunable == ("head.weight",)
