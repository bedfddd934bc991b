"""Tiny networks, data and lotteries, for the tests of drawing tickets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from support.rounding import made_once
from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.lottery.arms.catalog import ARMS, TICKET
from tombola.lottery.cell import Begin, Cell, Drawn, train_cells
from tombola.lottery.draw import draw
from tombola.lottery.lottery import Lottery
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.seeds import Seeds, stream
from tombola.training.start import Start
from tombola.training.trained import Trained

CPU = torch.device("cpu")
CLASSES = 3
SHAPE = (6,)


class Net(nn.Module):
    """A convolution, batch norm and two linear layers, for inputs [1, 4, 4]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        # No bias before the norm: its gradient is 0 but for rounding, which Adam would blow up to full steps.
        self.conv = nn.Conv2d(1, 3, 3, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(12, 8)
        self.out = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.fc(self.norm(self.conv(x)).relu().flatten(1)).relu())
        return out


@made_once
def lenet() -> Architecture:
    return architecture("lenet-20-10", SHAPE, CLASSES)


@made_once
def net() -> Architecture:
    return architecture(Net, (1, 4, 4), CLASSES)


def resident(shape: tuple[int, ...] = SHAPE) -> Resident:
    rng = np.random.default_rng(0)
    y = np.arange(60) % CLASSES
    x = rng.standard_normal((CLASSES, *shape))[y] + rng.standard_normal((60, *shape))
    return Resident(from_arrays((x[:45], y[:45]), (x[45:], y[45:])), "standard", CPU)


def sparse(arch: Architecture, density: float = 0.5, whole: Sequence[str] = (), seed: int = 0) -> Mask:
    """The given share of each tensor, but for those that stay whole."""
    rng = stream(seed, "mask")
    bits = {}
    for name in arch.prunable:
        flat = np.zeros(int(np.prod(arch.shapes[name])), dtype=bool)
        alive = flat.size if name in whole else max(1, round(density * flat.size))
        flat[rng.permutation(flat.size)[:alive]] = True
        bits[name] = torch.from_numpy(flat).view(arch.shapes[name])
    return Mask(bits)


def lottery(arch: Architecture, rule: PruneRule | None = None, levels: int = 3, **other: Any) -> Lottery:
    rule = rule or PruneRule(rate=0.3, rates={"output": 0.1})
    rates = rates_for(rule, arch.roles)
    sizes = {name: int(np.prod(arch.shapes[name])) for name in arch.prunable}
    options: dict[str, Any] = {
        "rewind": 0,
        "mode": "iterative",
        "arms": lambda level: [("ticket", 1)],
        "treatments": ARMS,
    }
    alive = ladder(sizes, rates, rule.allocation, levels)
    return Lottery(architecture=arch, rule=rule, rates=rates, alive=alive, **(options | other))


def trained(end: State, start: Start, *, diverged: bool = False, snapshot: State | None = None) -> Trained:
    """As if `start` had been trained to `end`."""
    return Trained(
        end=start.mask.apply(end),
        best=start.mask.apply(end),
        snapshot=snapshot,
        history={},
        early_stop_iteration=0,
        early_stop_val_loss=1.0,
        early_stop_test_accuracy=0.5,
        final_test_accuracy=0.5,
        final_train_accuracy=0.5,
        iterations=10,
        diverged=diverged,
    )


def shifted(state: Mapping[str, Tensor], *path: int) -> State:
    """Another state: everything moved by noise of its own."""
    rng = stream("shifted", *path)
    return {
        name: tensor + torch.from_numpy(rng.standard_normal(tuple(tensor.shape))).to(tensor.dtype)
        for name, tensor in state.items()
    }


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


GLOBAL = PruneRule(rate=0.3, allocation="global")
LAYERWISE = PruneRule(rate=0.3, rates={"output": 0.1})
SNAPSHOT = 7
CONTROLS = [("ticket", 1), ("reinit", 2), ("random-mask", 1), ("random-mask-global", 1)]


def seeds(*replicates: int) -> dict[int, Seeds]:
    return {r: Seeds.replicate(0, r) for r in replicates}


@dataclass
class Script:
    """Trains by script: an end is the start moved by noise of its replicate and level, unless it is told."""

    ends: Mapping[tuple[int, int], State] = field(default_factory=dict)
    diverged: Sequence[tuple[int, int]] = ()
    starts: dict[Cell, Start] = field(default_factory=dict)
    trained: dict[Cell, Trained] = field(default_factory=dict)
    asked: list[list[Cell]] = field(default_factory=list)

    def train(self, cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
        self.asked.append(list(cells))
        places = iter(cells)

        def one(starts: Sequence[Start]) -> list[Trained]:
            results = []
            for start in starts:
                cell = next(c for c in places if c in alive and alive[c] is start)
                self.starts[cell] = start
                own = self.ends.get((cell.replicate, cell.level))
                end = own or shifted(start.state, cell.replicate, cell.level, cell.draw)
                snapshot = shifted(start.state, SNAPSHOT, cell.replicate) if cell.level == 0 else None
                broken = (cell.replicate, cell.level) in self.diverged and cell.arm == TICKET
                results.append(trained(end, start, diverged=broken, snapshot=snapshot))
                self.trained[cell] = results[-1]
            return results

        alive: dict[Cell, Start] = {}

        def noted(cell: Cell) -> Start:
            alive[cell] = begin(cell)
            return alive[cell]

        return train_cells(cells, noted, one)


def tickets(script: Script, r: int) -> list[Start]:
    return [
        start for cell, start in sorted(script.starts.items()) if cell.replicate == r and cell.arm == TICKET
    ]


def play(
    what: Lottery, replicates: Iterable[int] = (0,), **script: Any
) -> tuple[Script, list[Mapping[Cell, Drawn]]]:
    played = Script(**script)
    return played, list(draw(what, seeds(*replicates), played.train))
