"""Hidden units: which axes list them, and that their order does not matter to the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.model_parts import odd_state
from tombola.errors import UserError
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import load_state
from tombola.models.units import UnitGroup, permute, unit_axes
from tombola.seeds import stream

pytestmark = pytest.mark.usefixtures("float64")

NAMED = {
    "lenet-8-6": ((1, 4, 4), [8, 6]),
    "conv-2": ((3, 6, 6), [64, 64, 256, 256]),
    "lenet-5": ((1, 12, 12), [6, 16, 120, 84]),
    "vgg-11": ((3, 16, 16), [64, 128, 256, 256, 512, 512, 512, 512]),
    # The stream of each stage, and the inner units of each of its two blocks.
    "resnet-14": ((3, 8, 8), [16, 16, 16, 32, 32, 32, 64, 64, 64]),
    "wrn-14-1": ((3, 8, 8), [16, 16, 16, 32, 32, 32, 64, 64, 64]),
}


def outputs(arch: Architecture, state: dict[str, Tensor], train: bool = False) -> Tensor:
    module = arch.build().train(train)
    load_state(module, state)
    x = torch.from_numpy(stream("x").standard_normal((5, *arch.input_shape))).to(torch.get_default_dtype())
    out: Tensor = module(x)
    return out.detach()


def reordered(arch: Architecture, state: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    groups, rng = unit_axes(arch), stream(seed, "order")
    return permute(state, groups, [rng.permutation(group.size) for group in groups])


def require_same_function(arch: Architecture) -> None:
    state = odd_state(arch)
    other = reordered(arch, state)
    for name in arch.prunable:
        assert not torch.equal(other[name], state[name]), name
    for train in (False, True):  # with the statistics of the batch as well
        before, after = outputs(arch, state, train), outputs(arch, other, train)
        assert after.dtype == torch.float64
        torch.testing.assert_close(after, before)


@pytest.mark.parametrize("name", NAMED)
def test_the_order_of_hidden_units_does_not_matter(name: str) -> None:
    shape, sizes = NAMED[name]
    arch = architecture(name, shape, 5)
    assert sorted(group.size for group in unit_axes(arch)) == sorted(sizes)
    require_same_function(arch)


def test_places_by_hand() -> None:
    assert unit_axes(architecture("lenet-8-6", (1, 4, 4), 5)) == [
        UnitGroup(8, (("fc1.weight", 0, 1), ("fc1.bias", 0, 1), ("fc2.weight", 1, 1))),
        UnitGroup(6, (("fc2.weight", 0, 1), ("fc2.bias", 0, 1), ("out.weight", 1, 1))),
    ]


def norm(name: str) -> list[tuple[str, int, int]]:
    return [(f"{name}.{part}", 0, 1) for part in ("weight", "bias", "running_mean", "running_var")]


def test_one_group_for_a_residual_stream_with_its_projection() -> None:
    groups = unit_axes(architecture("resnet-14", (3, 8, 8), 5))
    (stream_of_16,) = [set(group.places) for group in groups if ("conv.weight", 0, 1) in group.places]
    assert stream_of_16 == {
        *[("conv.weight", 0, 1), *norm("norm")],
        *[("stage1.0.conv1.weight", 1, 1), ("stage1.0.conv2.weight", 0, 1), *norm("stage1.0.norm2")],
        *[("stage1.1.conv1.weight", 1, 1), ("stage1.1.conv2.weight", 0, 1), *norm("stage1.1.norm2")],
        *[("stage2.0.conv1.weight", 1, 1), ("stage2.0.shortcut.conv.weight", 1, 1)],
    }


def test_a_flattened_image_has_its_positions_unit_by_unit() -> None:
    arch = architecture("conv-2", (3, 6, 6), 5)
    (group,) = [each for each in unit_axes(arch) if ("conv2.weight", 0, 1) in each.places]
    assert group == UnitGroup(64, (("conv2.weight", 0, 1), ("conv2.bias", 0, 1), ("fc1.weight", 1, 9)))
    state = {"fc1.weight": torch.arange(64 * 9)[None]}
    new = permute(state, [group], [np.roll(np.arange(64), -1)])["fc1.weight"]  # unit i is what i + 1 was
    assert new[0, :10].tolist() == [9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert new[0, -9:].tolist() == list(range(9))


class Foreign(nn.Module):
    """All that is followed, in one network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ConvTranspose2d(2, 6, 2, stride=2)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.plain = nn.BatchNorm2d(6, affine=False, track_running_stats=False)
        self.again = nn.Conv2d(6, 6, 3, padding=1)  # used twice: what it reads and writes is one group
        self.gate = nn.Conv2d(6, 6, 1)
        self.late = nn.BatchNorm1d(24)
        self.skipped = nn.Linear(24, 7)
        self.head = nn.Sequential(nn.Linear(7, 7), nn.Dropout(0.0), nn.Tanh())
        self.out = nn.Linear(7, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain(self.depthwise(self.stem(x))).relu()
        x = F.relu(self.again(self.again(x))) * torch.sigmoid(self.gate(x)) * 2
        x = F.adaptive_avg_pool2d(x, 2)
        x = self.late(x.view(x.size(0), -1))
        x = self.skipped(x)
        x = x + self.head(x)
        return self.out(x)


class Means(nn.Module):
    def __init__(self, dim: Any, left: int = 6) -> None:
        super().__init__()
        self.conv, self.out, self.dim = nn.Conv2d(2, 6, 3), nn.Linear(left, 5), dim

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv(x).mean(self.dim))


@pytest.mark.parametrize("make", [Foreign, lambda: Means((2, 3)), lambda: Means(dim=[-1, -2])])
def test_foreign_networks_are_followed_as_well(make: Callable[[], nn.Module]) -> None:
    require_same_function(architecture(make, (2, 4, 4), 5))


def test_depthwise_and_shared_layers_by_hand() -> None:
    groups = {group.size: set(group.places) for group in unit_axes(architecture(Foreign, (2, 4, 4), 5))}
    assert groups == {
        6: {
            *[("stem.weight", 1, 1), ("stem.bias", 0, 1), ("depthwise.weight", 0, 1)],
            *[("depthwise.bias", 0, 1), ("again.weight", 0, 1), ("again.weight", 1, 1), ("again.bias", 0, 1)],
            *[("gate.weight", 0, 1), ("gate.weight", 1, 1), ("gate.bias", 0, 1), ("skipped.weight", 1, 4)],
            *[("late.weight", 0, 4), ("late.bias", 0, 4)],
            *[("late.running_mean", 0, 4), ("late.running_var", 0, 4)],
        },
        7: {
            *[("skipped.weight", 0, 1), ("skipped.bias", 0, 1), ("head.0.weight", 0, 1)],
            *[("head.0.weight", 1, 1), ("head.0.bias", 0, 1), ("out.weight", 1, 1)],
        },
    }


class Skip(nn.Module):
    """The input is added to hidden units, which thereby have places of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(x + self.a(x)).relu())


def test_inputs_and_outputs_and_what_is_added_to_them_stay() -> None:
    assert unit_axes(architecture(Skip, (4,), 5)) == [
        UnitGroup(6, (("b.weight", 0, 1), ("b.bias", 0, 1), ("out.weight", 1, 1)))
    ]
    assert unit_axes(architecture(lambda: nn.Sequential(nn.Linear(4, 5)), (4,), 5)) == []


class Grouped(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(16, 5))


class Softened(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(32, 4), nn.Softmax(1), nn.Linear(4, 5))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line, self.scale, self.out = nn.Linear(4, 4), nn.Parameter(torch.ones(4)), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.line(x.flatten(1)[:, :4]) * self.scale)


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(2, 2, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.conv(x).transpose(1, 2).flatten(1))


class Pooled(nn.Module):
    """Takes the larger of two neighbouring units."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.out = nn.Linear(32, 8), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.max_pool1d(self.line(x.flatten(1)), 2))


class Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x.flatten(1)) if x.sum() > 0 else self.line(-x.flatten(1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Grouped, r"'.*Grouped': its hidden units cannot be followed through layer '1', expected linear"),
        (Softened, "cannot be followed through layer '2'"),
        (Scaled, "cannot be followed through step 'getitem"),
        (Turned, "cannot be followed through step 'transpose'"),
        (lambda: Means((1, 3), left=2), "cannot be followed through step 'mean'"),
        (Pooled, "cannot be followed through step 'max_pool1d'"),
        (Forked, "cannot be followed, since its forward pass cannot be traced .TraceError"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_place(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(UserError, match=words) as refusal:
        unit_axes(architecture(make, (2, 4, 4), 5))
    assert len(str(refusal.value)) < 400


def test_a_vision_transformer_is_refused() -> None:
    with pytest.raises(UserError, match="model 'vit': its hidden units cannot be followed"):
        unit_axes(architecture("vit", (3, 8, 8), 5))


def test_a_permutation_copies_and_can_be_taken_back() -> None:
    arch = architecture("vgg-11", (3, 16, 16), 5)
    state, groups = odd_state(arch), unit_axes(arch)
    before = {name: tensor.clone() for name, tensor in state.items()}
    orders = [stream(index).permutation(group.size) for index, group in enumerate(groups)]
    there = permute(state, groups, orders)
    back = permute(there, groups, [np.argsort(order) for order in orders])
    assert all(torch.equal(back[name], before[name]) for name in before)
    for tensor in there.values():
        tensor.fill_(0)
    assert all(torch.equal(state[name], before[name]) for name in before)
    part = permute({"conv1.weight": state["conv1.weight"]}, groups, orders)
    assert list(part) == ["conv1.weight"]


def test_following_draws_no_random_number_and_leaves_the_network_alone() -> None:
    arch = architecture("conv-2", (3, 6, 6), 5)
    before = torch.random.get_rng_state()
    first, again = unit_axes(arch), unit_axes(arch)
    assert first == again
    assert torch.equal(torch.random.get_rng_state(), before)
