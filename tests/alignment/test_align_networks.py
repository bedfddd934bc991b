"""Alignment of convolutional and residual networks: functions stay, planted permutations are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from support.compare_parts import shuffled, trained_looking
from tombola.alignment.align import ALIGNMENTS, align, align_tensors
from tombola.alignment.matching import Gains
from tombola.alignment.network import Network
from tombola.alignment.outputs import unit_activations
from tombola.alignment.subject import Subject
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.state import load_state
from tombola.models.units import UnitGroup, permute


class ConvNet(nn.Module):
    """Two convolutions with batch norm, a flatten of 2 x 2 places per channel, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.fc, self.out = nn.Linear(5 * 4, 7), nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.adaptive_max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        return self.out(torch.relu(self.fc(x.flatten(1))))


class ResNet(nn.Module):
    """A stem and two residual blocks on one stream of six channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.a1, self.a2, self.na = (
            nn.Conv2d(6, 4, 3, padding=1),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6),
        )
        self.b1, self.b2, self.nb = (
            nn.Conv2d(6, 5, 3, padding=1),
            nn.Conv2d(5, 6, 3, padding=1),
            nn.BatchNorm2d(6),
        )
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = torch.relu(x + self.na(self.a2(torch.relu(self.a1(x)))))
        x = torch.relu(x + self.nb(self.b2(torch.relu(self.b1(x)))))
        return self.out(x.mean((2, 3)))


def norm(name: str) -> tuple[tuple[str, int, int], ...]:
    return tuple((f"{name}.{part}", 0, 1) for part in ("weight", "bias", "running_mean", "running_var"))


def layer(name: str) -> tuple[tuple[str, int, int], ...]:
    return ((f"{name}.weight", 0, 1), (f"{name}.bias", 0, 1))


def reads(name: str, repeat: int = 1) -> tuple[str, int, int]:
    return (f"{name}.weight", 1, repeat)


GROUPS = {
    ConvNet: (
        UnitGroup(6, (*layer("conv1"), *norm("bn1"), reads("conv2"))),
        UnitGroup(5, (*layer("conv2"), *norm("bn2"), reads("fc", 4))),
        UnitGroup(7, (*layer("fc"), reads("out"))),
    ),
    ResNet: (
        UnitGroup(
            6,
            (
                *(*layer("stem"), *norm("bn"), reads("a1"), *layer("a2"), *norm("na")),
                *(reads("b1"), *layer("b2"), *norm("nb"), reads("out")),
            ),
        ),
        UnitGroup(4, (*layer("a1"), reads("a2"))),
        UnitGroup(5, (*layer("b1"), reads("b2"))),
    ),
}


def conv_subject(kind: type[nn.Module], seed: int, density: float = 0.5) -> tuple[Network, Subject]:
    made = architecture(kind, (1, 8, 8), 3)
    dense = trained_looking(made.build(), seed)
    mask = Mask(
        {
            n: dense[n].abs() >= dense[n].abs().quantile(1 - density, interpolation="lower")
            for n in made.prunable
        }
    )
    examples = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    ticket = mask.apply(dense)
    return Network(GROUPS[kind], made, examples), Subject(f"s{seed}", mask, ticket, ticket, dense)


WHOLE, HELD_OUT = (
    [name for name, each in ALIGNMENTS.items() if each.held_out == held] for held in (False, True)
)


@pytest.mark.parametrize("kind", GROUPS)
def test_the_network_of_an_architecture_has_these_groups(kind):
    found = Network.of(architecture(kind, (1, 8, 8), 3)).groups
    assert {(g.size, frozenset(g.places)) for g in found} == {
        (g.size, frozenset(g.places)) for g in GROUPS[kind]
    }


@pytest.mark.parametrize("kind", GROUPS)
def test_a_relabelled_network_computes_the_same_function(kind):
    network, subject = conv_subject(kind, 1)
    order = shuffled(network, 3)
    other = network.relabelled(subject, order)
    module, x = network.architecture.build().eval(), network.examples
    answers = []
    for state in (subject.dense, other.dense):
        load_state(module, state)
        answers.append(module(x).detach())
    torch.testing.assert_close(*answers, rtol=1e-5, atol=1e-5)
    name = "conv1.weight" if kind is ConvNet else "stem.weight"
    assert not torch.equal(subject.dense[name], other.dense[name])
    assert other.mask.counts() == subject.mask.counts()
    assert other.mask.apply(other.dense)[name].equal(other.end[name])


@pytest.mark.parametrize("by", [name for name in WHOLE if name != "raw"])
@pytest.mark.parametrize("kind", GROUPS)
def test_planted_permutations_are_found_again_with_convolutions(kind, by):
    network, subject = conv_subject(kind, 1)
    order = shuffled(network, 3)
    planted = network.relabelled(subject, order)
    found = align(subject, planted, network, by)
    for mine, units in zip(order, found, strict=True):
        assert (mine[units] == np.arange(len(units))).all()
    back = network.relabelled(planted, found)
    assert back.mask == subject.mask
    assert all(torch.equal(back.dense[name], subject.dense[name]) for name in subject.dense)


@pytest.mark.parametrize("by", HELD_OUT)
@pytest.mark.parametrize("kind", GROUPS)
def test_each_tensor_finds_its_place_by_the_others(kind, by):
    """In a residual stream too: what is left out is the tensor, and the others that write to the stream stay."""
    network, subject = conv_subject(kind, 1)
    planted = network.relabelled(subject, shuffled(network, 3))
    back = network.collage(planted, align_tensors(subject, planted, network, by))
    right = [name for name in subject.mask if back.mask[name].equal(subject.mask[name])]
    assert len(right) >= len(subject.mask) - 1, right
    assert set(back.dense) == set(subject.mask)
    assert all(back.dense[name].equal(subject.dense[name]) for name in right)


def test_a_transposed_convolution_that_reads_units_does_not_count_as_one_that_writes_them() -> None:
    """Its weight lists inputs first, and outputs second."""

    def build() -> nn.Module:
        up, out = nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Linear(3, 2)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), up, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), out
        )

    made = architecture(build, (1, 6, 6), 2)
    network = Network.of(made, torch.randn(20, 1, 6, 6, generator=torch.Generator().manual_seed(0)))
    state = trained_looking(made.build(), 1)
    answers = unit_activations(network, state)
    assert [[len(each) for each in group] for group in answers] == [[4], [3]]
    order = shuffled(network, 2)
    mask = Mask.dense({name: tuple(state[name].shape) for name in made.prunable})
    a = Subject("a", mask, dense=state)
    b = Subject("b", mask, dense=permute(state, network.groups, order))
    for one, found in zip(order, align(a, b, network, "activations@dense"), strict=True):
        assert (one[found] == np.arange(len(one))).all()


TWICE = Network(
    (
        UnitGroup(8, (("w.weight", 0, 1), ("w.weight", 1, 1), ("v.weight", 1, 2))),
        UnitGroup(3, (("v.weight", 0, 1),)),
    )
)


def arrays_of(network: Network, seed: int) -> dict[str, np.ndarray]:
    if network is TWICE:
        rng = np.random.default_rng(seed)
        return {"w.weight": rng.standard_normal((8, 8)), "v.weight": rng.standard_normal((3, 16, 2))}
    _, subject = conv_subject(next(kind for kind in GROUPS if GROUPS[kind] == network.groups), seed)
    return {name: x.double().numpy() for name, x in subject.dense.items() if name in network.axes}


def gains_by_hand(
    a: dict[str, np.ndarray],
    b: dict[str, np.ndarray],
    network: Network,
    order: tuple[np.ndarray, ...],
    group: int,
) -> np.ndarray:
    """Entry by entry: what unit i of a and unit j of b hold at places that the order says are the same."""
    size = network.groups[group].size
    found = np.zeros((size, size))
    for name, axes in network.axes.items():
        for axis, (_, repeat) in ((k, v) for k, v in axes.items() if v[0] == group):
            for place in np.ndindex(a[name].shape):
                theirs = list(place)
                for other, (index, times) in axes.items():
                    if other != axis:
                        theirs[other] = order[index][place[other] // times] * times + place[other] % times
                for unit in range(size):
                    theirs[axis] = unit * repeat + place[axis] % repeat
                    found[place[axis] // repeat, unit] += a[name][place] * b[name][tuple(theirs)]
    return found


@pytest.mark.parametrize("network", [*(Network(groups) for groups in GROUPS.values()), TWICE])
def test_gains_of_one_order_after_another_are_those_computed_at_once_and_by_hand(network):
    """A residual stream, channels that are flattened, and a tensor that lists a group on both axes."""
    a, b = (arrays_of(network, seed) for seed in (1, 2))
    gains, rng, order = Gains(a, b, network), np.random.default_rng(0), network.identity()
    for step in range(9):
        group = step % len(order)
        order = (*order[:group], rng.permutation(network.groups[group].size), *order[group + 1 :])
        for index in range(len(order)):
            found = gains.of(order, index)
            assert np.array_equal(found, Gains(a, b, network).of(order, index))
            if step == 8:
                assert np.allclose(found, gains_by_hand(a, b, network, order, index))
