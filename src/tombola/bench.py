"""How fast this machine trains tickets: its two floors, and each engine's time for one step of one network.

The floors are what no program can beat: the arithmetic on living weights at the best rate of matrix products that
was measured on this machine, and the weights and moments through memory at its measured bandwidth. All times are wall
time of the whole machine per network-iteration: a stack of R networks that takes k steps in t seconds has t / (R k).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import Seeds, stream
from tombola.study.bind import bind
from tombola.study.plan import make_plan
from tombola.study.spec import Study
from tombola.training.batches import Batches, Group
from tombola.training.engines.base import ENGINES, Course, Demand, Job
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start

CPU = torch.device("cpu")

DENSITIES = (1.0, 0.5, 0.2107, 0.1, 0.05, 0.02)
"""Dense, half, level 7 of the paper's LeNet ladder, and on down."""


Density = float | Mapping[str, float]
"""One for all layers, or one for each prunable name."""


LADDER: Mapping[float, Density] = {density: density for density in DENSITIES}


@dataclass(frozen=True)
class Workload:
    """What is timed: a network, its recipe, random data of its shape, and how many networks are trained side by side.

    Arms share the batches of their replicate, as in a study.
    """

    net: Architecture
    dataset: Dataset
    recipe: Recipe
    replicates: int = 2
    arms: int = 5

    @property
    def networks(self) -> int:
        """Networks of the stack."""
        return self.replicates * self.arms

    def multiplications(self, density: Density) -> float:
        """Products of one step at a density, for the whole batch: three a weight, use and example (output, gradient of
        weight and of input), but two in the first layer."""
        uses, sizes, shares = uses_of(self.net), sizes_of(self.net), shares_of(self.net, density)
        forward = {name: shares[name] * sizes[name] * uses[name] for name in sizes}
        return self.recipe.batch * (3 * sum(forward.values()) - forward[self.net.prunable[0]])


def lenet() -> Workload:
    """The paper's LeNet and recipe on MNIST-shaped data."""
    return Workload(architecture("lenet-300-100", (1, 28, 28), 10), images((1, 28, 28)), Recipe())


def conv2(precision: str = "float32") -> Workload:
    """The paper's Conv-2 and recipe on CIFAR-shaped data, one network at a time."""
    recipe = Recipe.model_validate({"lr": 2e-4, "precision": precision})
    return Workload(architecture("conv-2", (3, 32, 32), 10), images((3, 32, 32), 3_000), recipe, 1, 1)


def workload_of(study: Study) -> tuple[Workload, dict[float, Density]]:
    """What a study trains, one network a core, on random images in the shape of its data; and of three levels, the
    first, the middle and the last one, the density of each layer by that of all. The data set must be here."""
    bound, dataset, net = bind(study)
    plan, sizes = make_plan(bound, net), sizes_of(net)
    levels = sorted({0, (study.levels + 1) // 2, study.levels})
    ladder: dict[float, Density] = {
        plan.densities[level]: {name: plan.lottery.alive[level][name] / sizes[name] for name in sizes}
        for level in levels
    }
    pictures = images(tuple(dataset.train_x.shape[1:]), 6_000, dataset.classes)
    return Workload(net, pictures, bound.recipe, torch.get_num_threads(), 1), ladder


@dataclass(frozen=True)
class Floors:
    """What this machine can do: matrix products by precision (flop/s), and copying what fits a cache (bytes/s)."""

    flops: Mapping[str, float]
    bandwidth: float

    def microseconds(self, case: Workload, density: Density) -> float:
        """The least time of one step of one network: the larger of its arithmetic and its memory traffic.

        Weight, gradient and two moments of Adam are read once, and all but the gradient written once.
        """
        shares = shares_of(case.net, density)
        alive = sum(shares[name] * size for name, size in sizes_of(case.net).items())
        arithmetic = 2 * case.multiplications(density) / self.flops[case.recipe.precision]
        return 1e6 * max(arithmetic, 4 * 7 * alive / self.bandwidth)


def measure_floors(seconds: float = 1.0) -> Floors:
    """Time matrix products and copies for about `seconds` each, and take the best of all ways that are at hand."""
    a, b, out = torch.randn(1024, 1024), torch.randn(1024, 1024), torch.empty(1024, 1024)
    low, high = a.bfloat16(), b.bfloat16()
    rates = [2 * 1024**3 / _best(lambda: torch.mm(a, b, out=out), seconds)]
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        linear = torch.ops.mkldnn._linear_pointwise
        rates.append(2 * 1024**3 / _best(lambda: linear(a, b, None, "none", [], ""), seconds))
    if "sparse" in ENGINES:
        rates.append(_tiles(seconds))
    halves = 2 * 1024**3 / _best(lambda: torch.mm(low, high), seconds)
    source, target = torch.randn(1 << 20), torch.empty(1 << 20)
    copy = _best(lambda: target.copy_(source), seconds)
    flops = {"float32": max(rates), "bfloat16": max(*rates, halves)}
    return Floors(flops, 2 * source.numel() * 4 / copy)


def _tiles(seconds: float) -> float:
    """The rate of the sparse engine's own matrix products, on every core at once."""
    from tombola.training.engines.compiled import sparse_kernels
    from tombola.training.engines.compiled.sparse_layout import aligned
    from tombola.training.engines.sparse import in_parallel

    units, inputs, lanes, cores = 300, 784, sparse_kernels.LANES, torch.get_num_threads()
    room = [[aligned(n) for n in (units * inputs, inputs * lanes, units * lanes)] for _ in range(cores)]

    def one(core: int) -> None:
        w, x, out = room[core]
        for _ in range(10):
            sparse_kernels.multiply(w, 0, inputs, 1, x, 0, lanes, inputs, out, 0, lanes, units, lanes)

    return 2 * 10 * cores * units * inputs * lanes / _best(lambda: in_parallel(one, cores), seconds)


def _best(work: Callable[[], object], seconds: float) -> float:
    work()
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def images(shape: tuple[int, ...], n: int = 12_000, classes: int = 10) -> Dataset:
    """Random images: timing does not depend on what they show."""
    rng = stream("bench", "images")
    x = torch.from_numpy(rng.integers(0, 256, (n, *shape), dtype=np.uint8))
    y = torch.from_numpy(rng.integers(0, classes, n))
    held = n // 6
    return Dataset("random images", x[held:], y[held:], x[:held], y[:held], classes)


def random_mask(net: Architecture, density: Density, seed: int) -> Mask:
    """Each prunable weight lives with the probability that is its layer's density."""
    rng = stream("bench", "mask", seed)
    shares = shares_of(net, density)
    return Mask(
        {name: torch.from_numpy(rng.random(net.shapes[name]) < share) for name, share in shares.items()}
    )


class Timed:
    """A stack of one engine in mid-training, whose next steps can be timed."""

    def __init__(self, engine: str, case: Workload, density: Density, device: torch.device = CPU) -> None:
        self.case, self.device = case, device
        net, data = case.net, Resident(case.dataset, "standard", device)
        seeds = [Seeds.replicate(0, r) for r in range(case.replicates)]
        index = [r for r in range(case.replicates) for _ in range(case.arms)]
        starts = [
            Start(net.initial(seeds[r].stream("init")), random_mask(net, density, i), seeds[r])
            for i, r in enumerate(index)
        ]
        self.groups = [
            Group(s, 0, split(data.n_train, min(1000, data.n_train // 6), s.stream("split"))) for s in seeds
        ]
        self.data, self.stack = data, Stack(net, starts, device)
        self.engine = ENGINES[engine](Job(net, self.stack, index, [0] * case.networks, case.recipe))
        course = Course(case.recipe, Batches(self.groups, case.recipe.batch, device), data)
        self._trainer, self._at = self.engine.trainer(course), 0
        self.seconds(3)  # compile, allocate, start threads

    def best(self, seconds: float = 0.5) -> float:
        """Wall seconds of a step per network-iteration: the best of five runs that take about so long together; of
        one, where a single step takes longer."""
        first = self.seconds(1)
        lasting = first * self.case.networks
        steps = min(20, max(1, round(seconds / 5 / lasting)))
        return min([first, *(self.seconds(steps) for _ in range(5 if lasting < seconds else 0))])

    def seconds(self, steps: int) -> float:
        """Wall seconds of the next `steps` steps per network-iteration."""
        begin = time.perf_counter()
        self._trainer.advance(self._at, self._at + steps)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._at += steps
        return (time.perf_counter() - begin) / steps / self.case.networks


def shares_of(net: Architecture, density: Density) -> dict[str, float]:
    """Prunable name -> density."""
    return {name: density if isinstance(density, float) else density[name] for name in net.prunable}


def times(case: Workload, ladder: Mapping[float, Density], floors: Floors) -> Iterator[dict[str, Any]]:
    """A row for each density and each engine that holds the network: microseconds of a step, and of the floor."""
    engines = [name for name in ENGINES if ENGINES[name].holds(case.net, CPU, Demand(case.recipe))]
    for told, density in ladder.items():
        floor = floors.microseconds(case, density)
        row = {"network": case.net.name, "density": told, "device": "cpu"}
        row["products"] = case.multiplications(density) / case.multiplications(1.0)
        for engine in engines:
            this = 1e6 * Timed(engine, case, density).best()
            yield {
                **row,
                "engine": engine,
                "this_us": this,
                "floor_us": floor,
                "floor_fraction": floor / this,
            }


def sizes_of(net: Architecture) -> dict[str, int]:
    """Prunable name -> number of weights."""
    return {name: prod(net.shapes[name]) for name in net.prunable}


def uses_of(net: Architecture) -> dict[str, int]:
    """Prunable name -> how many times an example passes through each weight: the positions of a convolution."""
    module, uses = net.build(), dict[str, int]()
    module.eval()
    for name, part in module.named_modules():
        if f"{name}.weight" in net.prunable:

            def count(part: nn.Module, x: object, out: torch.Tensor, name: str = name) -> None:
                width = out.shape[-1] if isinstance(part, nn.Linear) else out.shape[1]
                uses[f"{name}.weight"] = out[0].numel() // width

            part.register_forward_hook(count)
    with torch.no_grad():
        module(torch.zeros(1, *net.input_shape))
    return uses
