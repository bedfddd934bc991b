"""After a full small training the compiled engine leaves networks as accurate as autograd does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from support.training_parts import CPU, sparse
from tombola.data.catalog import load
from tombola.data.resident import Resident
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import Seeds
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.start import Start

REPLICATES = 8


class SmallResidual(nn.Module):
    """Two residual blocks with batch norms, one with the identity and one with a projection."""

    def __init__(self) -> None:
        super().__init__()

        def layer(entering: int, leaving: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
            wide = nn.Conv2d(entering, leaving, kernel, stride=stride, padding=kernel // 2, bias=False)
            return nn.Sequential(wide, nn.BatchNorm2d(leaving))

        self.stem, self.one, self.two = layer(1, 8), layer(8, 8), layer(8, 8)
        self.three, self.four, self.short = layer(8, 16, 2), layer(16, 16), layer(8, 16, 2, 1)
        self.pool, self.out = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.two(self.one(x).relu()) + x).relu()
        x = (self.four(self.three(x).relu()) + self.short(x)).relu()
        out: Tensor = self.out(self.pool(x).flatten(1))
        return out


def accuracies(arch: Architecture, data: Resident, rule: Recipe, engine: str, density: float) -> Any:
    """Final test accuracy of each replicate, [REPLICATES]."""
    seeds = [Seeds.replicate(0, r) for r in range(REPLICATES)]
    starts = [
        Start(arch.initial(each.stream("init")), sparse(arch, r, density), each)
        for r, each in enumerate(seeds)
    ]
    return np.array(
        [t.final_test_accuracy for t in train_stack(arch, starts, data, rule, 200, engine=engine)]
    )


CASES: dict[str, tuple[str | Callable[[], nn.Module], str, tuple[int, int, int], Recipe]] = {
    "lenet-5": ("lenet-5", "digits-28", (1, 28, 28), Recipe(iterations=400, evaluate_every=100, lr=1.2e-3)),
    "batch norms": (
        SmallResidual,
        "digits",
        (1, 8, 8),
        Recipe(iterations=400, evaluate_every=100, optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=1e-4),
    ),
}


@pytest.mark.deep
@pytest.mark.parametrize("density", [1.0, 0.2])
@pytest.mark.parametrize("name", CASES)
def test_accuracies_are_distributed_as_those_of_autograd(name: str, density: float) -> None:
    """The same seeds; rounding alone differs, which a training may blow up, but not in one direction.

    The mean difference over replicates is within three standard errors and a percentage point of 0, and replicates are
    as far apart as with autograd, to a factor of two.
    """
    model, dataset, shape, rule = CASES[name]
    arch, data = architecture(model, shape, 10), Resident(load(dataset), "standard", CPU)
    ours, theirs = (accuracies(arch, data, rule, engine, density) for engine in ("sparse-conv", "modules"))
    print(f"{name} at {density:.0%}: {ours.mean():.4f} and {theirs.mean():.4f} by autograd, n = {REPLICATES}")
    print(f"  standard deviations {ours.std(ddof=1):.4f} and {theirs.std(ddof=1):.4f}")
    assert theirs.mean() > 0.9, "it was trained in full"
    apart = ours - theirs
    assert abs(apart.mean()) <= min(0.01, 3 * max(apart.std(ddof=1), 1e-3) / REPLICATES**0.5)
    assert 1 / 2 < (ours.std(ddof=1) + 1e-3) / (theirs.std(ddof=1) + 1e-3) < 2
