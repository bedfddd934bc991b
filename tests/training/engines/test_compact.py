"""Compaction: what is cut out of a network is what graph theory says, where it is worth it and is known how."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import pytest
import torch
from torch import Tensor, nn

from support.compact_parts import NETWORKS, engine_of, net, ones, random_mask
from support.training_parts import CLASSES, IMAGES, Odd, start
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.training.engines import compact


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Compact whenever something can be cut, or never."""
    return lambda yes: monkeypatch.setattr(compact, "WORTHWHILE", 1.0 if yes else -1.0)


def reaching(arch: Architecture, mask: Mask) -> list[set[int]]:
    """For each weight, the units it leads to from which the output can be reached, by networkx on single units."""
    graph, names = nx.DiGraph(), list(arch.prunable)
    for depth, name in enumerate(names):
        alive = mask[name]
        above = len(mask[names[depth - 1]]) if depth else arch.input_shape[0]
        alive = alive.reshape(len(alive), above, -1).any(2)
        graph.add_nodes_from((depth + 1, unit) for unit in range(len(alive)))
        graph.add_edges_from(((depth, int(i)), (depth + 1, int(o))) for o, i in alive.nonzero())
    outputs = [(len(names), unit) for unit in range(len(mask[names[-1]]))]
    useful = set(outputs).union(*(nx.ancestors(graph, unit) for unit in outputs))
    return [{unit for depth, unit in useful if depth == d + 1} for d in range(len(names))]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stays_is_what_leads_to_the_output(name: str, always: Callable[[bool], None]) -> None:
    always(True)
    arch, cut = net(name), 0
    for seed in range(12):
        mask = random_mask(arch, seed)
        engine, _ = engine_of(arch, [start(arch, mask=mask)])
        expected = reaching(arch, mask)
        layers = [
            part for part in engine.members[0].module.modules() if isinstance(part, nn.Linear | nn.Conv2d)
        ]
        sizes = [len(layer.weight) for layer in layers]
        if all(expected):
            assert sizes == [len(units) for units in expected]
            for weight, units in zip(arch.prunable, expected, strict=True):
                place = engine.members[0].places.get(weight)
                if isinstance(place, tuple):
                    assert set(place[0].view(-1).tolist()) == units
            cut += sizes != [arch.shapes[weight][0] for weight in arch.prunable]
        else:
            assert not engine.members[0].places, "a network without a path is left alone"
    assert cut >= 2


def test_a_channel_without_living_inputs_feeds_its_bias_on_and_is_not_cut(
    always: Callable[[bool], None],
) -> None:
    always(True)
    arch = net("conv")
    bits = ones(arch)
    bits["2.weight"][1] = False  # channel 1 has no inputs
    bits["6.weight"][:, 8:12] = False  # channel 2, four pixels each, leads nowhere
    engine, _ = engine_of(arch, [start(arch, mask=Mask(bits))])
    rows = engine.members[0].places["2.bias"]
    assert isinstance(rows, tuple)
    assert rows[0].tolist() == [0, 1, 3, 4]
    columns = engine.members[0].places["6.weight"]
    assert isinstance(columns, tuple)
    assert columns[1].tolist() == [*range(8), *range(12, 20)]


def test_little_is_not_worth_the_trouble() -> None:
    """12-9 hidden units on 72 inputs: 72 * 12 + 12 * 9 + 9 * 3 = 999 products; without n units of the second layer
    999 - 15 n, without n of the first one 999 - 81 n. Three quarters are 749.25."""
    arch = net("mlp")
    for gone, expected in ((3, False), (4, True)):
        bits = ones(arch)
        bits["fc2.weight"][:, :gone] = False
        engine, _ = engine_of(arch, [start(arch, mask=Mask(bits))])
        assert bool(engine.members[0].places) == expected


def test_products_of_a_convolution_count_once_for_each_of_its_places() -> None:
    """2*6*9 weights at 36 places, 6*5*9 at 16, 20*8 and 8*3 at one: 3888 + 4320 + 160 + 24 = 8392 products, three
    quarters of which are 6294. A channel of the second convolution has 864, and 32 behind it."""
    arch = net("conv")
    bits = ones(arch)
    bits["6.weight"][:, :8] = False  # two of the five channels: 8392 - 2 * 864 - 64 = 6600
    engine, _ = engine_of(arch, [start(arch, mask=Mask(bits))])
    assert not engine.members[0].places
    bits["6.weight"][:, 8:12] = False  # three: 8392 - 3 * 864 - 96 = 5704
    engine, _ = engine_of(arch, [start(arch, mask=Mask(bits))])
    assert engine.members[0].places


class Own(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        return 2 * out


def twice(make: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    """A network with one layer in two places."""

    def factory(shape: tuple[int, ...], classes: int) -> nn.Module:
        part = make()
        convolutions = [nn.Conv2d(shape[0], 4, 3), part, nn.Conv2d(4, 4, 3), part]
        return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

    return factory


OTHERS: dict[str, Callable[..., nn.Module]] = {
    "a forward of its own": Odd,
    "a sequence with a forward of its own": lambda shape, classes: Own(nn.Flatten(), nn.Linear(72, classes)),
    "groups": lambda shape, classes: nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    ),
    "an unknown layer": lambda shape, classes: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    ),
    "a norm in two places": twice(lambda: nn.BatchNorm2d(4, affine=False)),
    "dropout in two places": twice(lambda: nn.Dropout(0.5)),
    "a linear layer on pixels": lambda shape, classes: nn.Sequential(
        nn.Linear(6, 4), nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes)
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_left_whole(name: str, always: Callable[[bool], None]) -> None:
    always(True)
    arch = architecture(OTHERS[name], IMAGES, CLASSES)
    bits = {weight: torch.zeros(arch.shapes[weight], dtype=torch.bool) for weight in arch.prunable}
    for mask in bits.values():
        mask[:, :1] = True
    engine, _ = engine_of(arch, [start(arch, mask=Mask(bits))])
    assert not engine.members[0].places
