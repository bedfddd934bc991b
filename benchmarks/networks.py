"""The networks that are timed, and a step of each beside the loops that people write."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from baselines import BASELINES, Plain, PlainPerCore
from turns import Budget, clocked, rounds

from tombola.bench import DENSITIES, Density, Floors, Timed, Workload, images, lenet
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import stream
from tombola.training.device import bfloat16_is_native
from tombola.training.recipe import Recipe


@dataclass(frozen=True)
class Case:
    """What is timed of a network: a workload at densities, each by what it is called, in engines."""

    case: Workload
    densities: Mapping[str, Density]
    engines: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows it makes."""
        return len(self.densities) * len(self.engines) * len(BASELINES)


def cases(cores: int) -> list[Case]:
    """All of them, with one network a core but for LeNet-300-100, whose stack has ten."""
    found = [Case(lenet(), {f"{100 * d:g}%": d for d in DENSITIES}, ("sparse", "mlp"))]
    image = (3, 32, 32)
    found.append(_convolutional("lenet-5", (1, 28, 28), (1.0, 0.1, 0.03), cores))
    found.append(_convolutional("conv-2", image, (1.0, 0.1), cores))
    # Level 12 of the paper's ladder for Conv-2 (Frankle & Carbin 2019, Figure 2).
    ladder = {"28% and 7%": by_kind(found[-1].case.net, 0.28, 0.07)}
    found[-1] = Case(found[-1].case, {**found[-1].densities, **ladder}, found[-1].engines)
    found += [_convolutional(name, image, (0.1,), cores) for name in ("conv-4", "conv-6")]
    residual = _convolutional("resnet-20", image, (), cores)
    densities = {f"{100 * d:g}%": globally(residual.case.net, d) for d in (1.0, 0.2, 0.07)}
    return [*found, Case(residual.case, densities, residual.engines)]


def _convolutional(name: str, shape: tuple[int, int, int], densities: tuple[float, ...], cores: int) -> Case:
    recipe = Recipe(batch=128 if name.startswith("resnet") else 60)
    case = Workload(architecture(name, shape, 10), images(shape, 6_000), recipe, cores, 1)
    return Case(case, {f"{100 * d:g}%": d for d in densities}, ("sparse-conv",))


def by_kind(net: Architecture, convolutions: float, linear: float) -> dict[str, float]:
    """A density for convolutions and one for linear layers."""
    return {name: convolutions if len(net.shapes[name]) == 4 else linear for name in net.prunable}


def globally(net: Architecture, density: float) -> dict[str, float]:
    """What the largest of all initial weights are of each layer: layers with few inputs stay denser."""
    start = net.initial(stream("bench"))
    sizes = {name: start[name].abs().reshape(-1) for name in net.prunable}
    every = torch.cat(list(sizes.values()))
    least = every.kthvalue(max(1, round((1 - density) * len(every)))).values if density < 1 else every.min()
    return {name: float((values >= least).float().mean()) for name, values in sizes.items()}


def network_rows(given: Case, floors: Floors, budget: Budget, shared: bool) -> Iterator[dict[str, Any]]:
    """A row for each density, engine and baseline; what the time does not last for is left out, and said so.

    Times are wall time of the machine per network-iteration; on a machine that is `shared` both sides have one thread
    and times are processor time, and what runs once per core is left out.
    """
    case = given.case
    for told, density in given.densities.items():
        floor, whole = floors.microseconds(case, density), case.multiplications(1.0)
        for engine in given.engines:
            ours = Timed(engine, case, density) if budget.left > 0 else None
            for name, kind in BASELINES.items():
                seconds = budget.share()
                budget.done += 1
                if shared and kind is PlainPerCore:
                    continue
                if ours is None or seconds <= 0:
                    budget.lost.append(f"{case.net.name} {told}, {engine} beside {name}")
                    continue
                theirs = kind(case, density)
                sides = ours.seconds, theirs.seconds
                if shared:
                    sides = (clocked(sides[0], time.process_time), clocked(sides[1], time.process_time))
                    sides = (_per(sides[0], case.networks), sides[1])
                found = rounds(*sides, seconds, case.networks)
                if isinstance(theirs, PlainPerCore):
                    theirs.close()
                row = {"what": "training step", "network": case.net.name, "density": told, "engine": engine}
                row |= {"baseline": name, "device": "cpu", "products": case.multiplications(density) / whole}
                yield row | found | {"floor_us": floor, "floor_fraction": floor / found["this_us"]}


def _per(side: Any, networks: int) -> Any:
    return lambda steps: side(steps) / networks


def bfloat16_row(floors: Floors, budget: Budget) -> Iterator[dict[str, Any]]:
    """A step of Conv-2 in bfloat16 beside the plain loop in float32, where the processor multiplies in it."""
    budget.done += 1
    if not bfloat16_is_native():
        print(f"{budget.place()}  left out: bfloat16, which this processor has to emulate")
        return
    if budget.left <= 0:
        budget.lost.append("bfloat16")
        return
    net, recipe = architecture("conv-2", (3, 32, 32), 10), Recipe(precision="bfloat16")
    low = Workload(net, images((3, 32, 32), 3_000), recipe, 1, 1)
    ours, theirs = Timed("modules", low, 1.0), Plain(low, 1.0)
    found, floor = rounds(ours.seconds, theirs.seconds, budget.share()), floors.microseconds(low, 1.0)
    row = {"what": "training step, bfloat16", "network": "conv-2", "density": "100%", "engine": "modules"}
    row |= {"baseline": "plain", "device": "cpu", "products": 1.0}
    yield row | found | {"floor_us": floor, "floor_fraction": floor / found["this_us"]}
