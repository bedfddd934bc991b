"""How fast this machine trains tickets: its two floors, and each engine's time for one step of one network.

The floors are what no program can beat: the arithmetic on living weights at this machine's measured matrix rate,
and the weights and moments through memory at its measured bandwidth. All times are wall time of the whole machine
per network-iteration: a stack of R networks that takes k steps in t seconds has t / (R k).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from tombola.data import Dataset, Resident, split
from tombola.masks import Mask
from tombola.models import Architecture, architecture
from tombola.seeds import Seeds, stream
from tombola.training import ENGINES, Recipe, Stack, Start
from tombola.training.batches import Batches, Group

DENSITIES = (1.0, 0.5, 0.2107, 0.1083, 0.0557, 0.0231)
"""Dense, half, and levels 7, 10, 13 and 17 of the paper's LeNet ladder."""

NETWORKS = 6
"""Networks in the stacks that are timed: an even share for two, three or six cores."""


@dataclass(frozen=True)
class Floors:
    """What this machine can do: single-precision matrix products (flop/s) and copying (bytes/s)."""

    flops: float
    bandwidth: float

    def microseconds(self, sizes: Mapping[str, int], first: str, density: float, batch: int) -> float:
        """The least time of one step of one network: the larger of its arithmetic and its memory traffic.

        Three products a weight and example (output, gradient of weight and of input), two in the first layer;
        weight, gradient and two moments of Adam are read once, and all but the gradient written once.
        """
        alive = density * sum(sizes.values())
        products = 3 * alive - density * sizes[first]
        return 1e6 * max(2 * batch * products / self.flops, 4 * 7 * alive / self.bandwidth)


def measure_floors(seconds: float = 1.0) -> Floors:
    """Time large matrix products and large copies for about `seconds` each, and take the best."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    out = torch.empty(1024, 1024)
    source, target = torch.randn(1 << 25), torch.empty(1 << 25)
    product = _best(lambda: torch.mm(a, b, out=out), seconds)
    copy = _best(lambda: target.copy_(source), seconds)
    return Floors(2 * 1024**3 / product, 2 * source.numel() * 4 / copy)


def _best(work: Callable[[], object], seconds: float) -> float:
    work()
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def images(classes: int = 10, n: int = 12_000) -> Dataset:
    """MNIST-shaped random images: timing does not depend on what they show."""
    rng = stream("bench", "images")
    x = torch.from_numpy(rng.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8))
    y = torch.from_numpy(rng.integers(0, classes, n))
    return Dataset("random images", x[2000:], y[2000:], x[:2000], y[:2000], classes)


def random_mask(net: Architecture, density: float, seed: int) -> Mask:
    """Each prunable weight lives with probability `density`."""
    rng = stream("bench", "mask", seed)
    return Mask({name: torch.from_numpy(rng.random(net.shapes[name]) < density) for name in net.prunable})


class Timed:
    """A stack of one engine in mid-training, whose next steps can be timed."""

    def __init__(
        self, engine: str, net: Architecture, data: Resident, density: float, recipe: Recipe
    ) -> None:
        seeds = [Seeds.replicate(0, r) for r in range(NETWORKS)]
        starts = [
            Start(net.initial(s.stream("init")), random_mask(net, density, r), s) for r, s in enumerate(seeds)
        ]
        groups = [Group(s, 0, split(data.n_train, 1000, s.stream("split"))) for s in seeds]
        stack = Stack(net, starts, data.device)
        computing = ENGINES[engine](net, stack, range(NETWORKS), [0] * NETWORKS)
        self._trainer = computing.trainer(recipe, Batches(groups, recipe.batch, data.device), data)
        self._at = 0
        self.seconds(3)  # compile, allocate, start threads

    def seconds(self, steps: int) -> float:
        """Wall seconds of the next `steps` steps per network-iteration."""
        begin = time.perf_counter()
        self._trainer.advance(self._at, self._at + steps)
        self._at += steps
        return (time.perf_counter() - begin) / steps / NETWORKS


def lenet() -> tuple[Architecture, Resident, Recipe]:
    """The paper's LeNet and recipe on MNIST-shaped data."""
    data = Resident(images(), "standard", torch.device("cpu"))
    return architecture("lenet-300-100", (1, 28, 28), 10), data, Recipe()


def sizes_of(net: Architecture) -> dict[str, int]:
    """Prunable name -> number of weights."""
    return {name: prod(net.shapes[name]) for name in net.prunable}
