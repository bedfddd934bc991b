"""Wider tickets: the function at the start is kept, whatever the network; masks go with their units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from support.rounding import doubled
from support.transfer_parts import CLASSES, IMAGE, made, net, pair, small
from tombola.errors import UserError
from tombola.lottery.ticket import Ticket
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State, load_state


def outputs(arch: Architecture, state: State | None) -> torch.Tensor:
    module = arch.build().eval()
    assert state is not None
    load_state(module, state)
    x = torch.rand(5, *arch.input_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        y: torch.Tensor = module(x)
    return y


def flattened(channels: int, units: int) -> Callable[..., nn.Module]:
    """A network whose linear layer reads each channel at several places."""

    def build(shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(shape[0], channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(7), nn.Flatten(),
            nn.Linear(4 * channels, units), nn.ReLU(), nn.Linear(units, classes),
        )  # fmt: skip

    return build


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("lenet-6-4", "lenet-15-9"),
        ("lenet-6-4", "lenet-6-8"),
        ("resnet-14", "resnet-14-w2"),
        ("wrn-8-2", "wrn-8-4"),
        (flattened(3, 4), flattened(5, 9)),
        (flattened(3, 4), flattened(6, 4)),
    ],
)
def test_the_function_is_kept(narrow: Any, wide: Any) -> None:
    with doubled():
        one, other = (architecture(name, IMAGE, CLASSES) for name in (narrow, wide))
        ticket = pair(one)[0]
        wider = made("widen", [ticket], other)
        assert wider.mask.count() > ticket.mask.count()
        torch.testing.assert_close(
            outputs(other, wider.start), outputs(one, ticket.start), rtol=1e-9, atol=1e-9
        )


def test_by_hand() -> None:
    """Two hidden units made three: the first is there twice, and what reads it is halved."""
    arch = architecture("lenet-2", (2,), 2)
    start = {
        "fc1.weight": torch.tensor([[1.0, 2.0], [3.0, 0.0]]),
        "fc1.bias": torch.tensor([5.0, 6.0]),
        "out.weight": torch.tensor([[2.0, 7.0], [0.0, 8.0]]),
        "out.bias": torch.tensor([9.0, 1.0]),
    }
    mask = small([[1, 1], [1, 0]], [[1, 1], [0, 1]])
    wide = made("widen", [Ticket(mask, start, keys=arch.keys)], architecture("lenet-3", (2,), 2))
    assert wide.start is not None
    assert {name: value.tolist() for name, value in wide.start.items()} == {
        "fc1.weight": [[1, 2], [3, 0], [1, 2]],
        "fc1.bias": [5, 6, 5],
        "out.weight": [[1, 7, 1], [0, 8, 0]],
        "out.bias": [9, 1],
    }
    assert wide.mask == small([[1, 1], [1, 0], [1, 1]], [[1, 1, 1], [0, 1, 0]])
    assert wide.provenance["report"] == {"widths": [[3, 2]], "source_weights": 6, "weights": 9}


def test_noise_parts_copies_and_leaves_the_first_units() -> None:
    ticket = pair(net("lenet-6-4"))[0]
    plain = made("widen", [ticket], net("lenet-12-4")).start
    noisy = made("widen", [ticket], net("lenet-12-4"), noise=0.1)
    assert plain is not None
    assert noisy.start is not None
    moved = {name: noisy.start[name] != plain[name] for name in plain}
    living = noisy.mask
    for name, second in {
        "fc1.weight": (torch.arange(12) >= 6).view(-1, 1),
        "fc2.weight": (torch.arange(12) >= 6).view(1, -1),
    }.items():
        assert torch.equal(moved[name], living[name] & second)
    assert not any(moved[name].any() for name in moved if name not in ("fc1.weight", "fc2.weight"))
    apart = (noisy.start["fc1.weight"] - plain["fc1.weight"])[6:][living["fc1.weight"][6:]]
    scale = plain["fc1.weight"][living["fc1.weight"]].std()
    assert 0.08 < apart.std() / scale < 0.12


def test_controls() -> None:
    tickets = pair(net("lenet-6-4"))
    plain, random, reinit = (
        made("widen", tickets, net("lenet-12-8"), **options)
        for options in ({}, {"mask": "random"}, {"weights": "reinit"})
    )
    assert plain.mask.counts() == random.mask.counts()
    assert plain.mask != random.mask
    assert plain.mask == reinit.mask
    dense = made("widen", tickets[1:], net("lenet-12-8")).start
    assert dense is not None
    assert random.start is not None
    assert reinit.start is not None
    assert torch.equal(random.start["fc2.weight"], random.mask.apply(dense)["fc2.weight"])
    assert (reinit.start["fc1.bias"] == 0).all()


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (
            "lenet-6-4",
            "lenet-4-4",
            "lists 4 hidden units, and the source has 6 there, expected as many or fewer",
        ),
        ("lenet-6-4", "lenet-6", "does not fit|lists 6 hidden units"),
        ("lenet-6", "lenet-6-4", "'lenet-6-4' has 'fc2.weight', and the source has none such"),
    ],
)
def test_other_networks_are_refused(source: str, target: str, said: str) -> None:
    with pytest.raises(UserError, match=f"route 'widen': .*({said})"):
        made("widen", pair(net(source))[:1], net(target))
