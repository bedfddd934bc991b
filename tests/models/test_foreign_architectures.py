"""Small networks of the kinds that people bring: each is pruned and trained, and its ticket loads into its module."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tombola
from tombola.data.arrays import from_arrays
from tombola.data.dataset import Dataset
from tombola.errors import UserError


class Recurrent(nn.Module):
    """A GRU over the rows of an image; its matrices are opted in."""

    prune = ("gru.weight_*",)

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(x[:, 0])[0][:, -1])


class Attention(nn.Module):
    """Self-attention over the rows, with its projection opted in."""

    prune = ("attention.in_proj_weight",)

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0]
        return self.out(self.norm(rows + self.attention(rows, rows, rows, need_weights=False)[0]).mean(1))


class UNet(nn.Module):
    """Down, up again, and across; then the mean of each class's map."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(4, 4, 2, stride=2), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down(x).relu()
        low = self.low(F.max_pool2d(wide, 2)).relu()
        return self.out(torch.cat([wide, self.up(low)], 1)).mean((2, 3))


class Siamese(nn.Module):
    """One tower for both halves of an image, and a head on how they differ."""

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.out = nn.Linear(32, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        upper, lower = x.flatten(1).split(32, 1)
        return self.out((self.tower(upper).relu() - self.tower(lower).relu()).abs())


class Experts(nn.Module):
    """A gate over three experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 3)
        self.experts = nn.ModuleList(nn.Linear(64, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        answers = torch.stack([expert(x) for expert in self.experts], 2)
        return (answers * self.gate(x).softmax(1)[:, None]).sum(2)


class Depthwise(nn.Module):
    """A convolution for each channel, and one across them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
        self.point, self.norm, self.out = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.point(self.deep(self.stem(x).relu()))).relu().mean((2, 3)))


class Shared(nn.Module):
    """One block, three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.out = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.again = self.block

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        for block in (self.block, self.again, self.block):
            x = x + block(x).relu()
        return self.out(x)


class StochasticDepth(nn.Module):
    """A block that half of the training steps pass by (Huang et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.out = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1)).relu()
        if not self.training or torch.rand(()) < 0.5:
            x = x + self.block(x).relu()
        return self.out(x)


class Auxiliary(nn.Module):
    """A second head in training, of which the loss knows nothing: a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.side, self.out = nn.Linear(64, 6), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.first(x.flatten(1)).relu()
        return (self.out(x), self.side(x)) if self.training else self.out(x)


KINDS = (Recurrent, Attention, UNet, Siamese, Experts, Depthwise, Shared, StochasticDepth)


def images() -> Dataset:
    torch.manual_seed(0)
    x, y = torch.randn(60, 1, 8, 8), torch.arange(60) % 3
    return from_arrays((x[:42], y[:42]), (x[42:], y[42:]))


@pytest.mark.parametrize("kind", KINDS)
def test_its_ticket_is_drawn_and_loads_into_its_module(kind: Callable[[], nn.Module]) -> None:
    recipe = tombola.Recipe(iterations=6, batch=12, evaluate_every=3)
    patterns = getattr(kind, "prune", ())
    pruning = tombola.Pruning(rate=0.5)
    dense, ticket = tombola.draw(
        kind, images(), levels=1, recipe=recipe, pruning=pruning, prune=patterns, validation=6
    )
    assert dense.mask.density() == 1
    assert ticket.mask.density() == pytest.approx(0.5, abs=0.02)
    opted = [name for name in ticket.mask if patterns and re.match(patterns[0].replace("*", ".*"), name)]
    assert bool(opted) == bool(patterns)
    module = kind()
    module.load_state_dict(ticket.export("dense", "end"), strict=True)
    parameters = dict(module.named_parameters())
    assert dense.end is not None
    for name, living in ticket.mask.items():
        assert not parameters[name][~living].any(), "dead weights are zero"
        assert not torch.equal(parameters[name][living], dense.end[name][living]), "living ones were trained"
    assert module.eval()(images().test_x).isfinite().all()


def test_a_second_head_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"Auxiliary.*tuple"):
        next(iter(tombola.draw(Auxiliary, images(), levels=1, recipe=tombola.Recipe(iterations=6))))
