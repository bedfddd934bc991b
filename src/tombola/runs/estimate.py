"""How long a study will take on this machine, and how far that is uncertain, from short timed probes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median

import torch

from tombola.data.dataset import Dataset
from tombola.data.resident import Resident
from tombola.data.split import validation_count
from tombola.masks.mask import Mask
from tombola.seeds import Seeds
from tombola.study.plan import Plan
from tombola.training.engines.base import Demand
from tombola.training.engines.select import choose
from tombola.training.loop import train_stack
from tombola.training.memory import networks_that_fit
from tombola.training.recipe import Recipe
from tombola.training.start import Start

PROBE_ITERATIONS = 20
PROBE_EXAMPLES = 1000
PROBES, MOST_PROBES, PROBE_SECONDS = 3, 10, 1.0
"""So many probes, and of small networks more until they have taken a second."""


@dataclass(frozen=True)
class Estimate:
    """Seconds that a study takes on this machine: the least, the middle one and the most of what the probes gave."""

    low: float
    seconds: float
    high: float

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.low + other.low, self.seconds + other.seconds, self.high + other.high)


def estimate_time(plan: Plan, dataset: Dataset, device: torch.device, engine: str) -> Estimate:
    """How long the whole study will take on this machine, from short timed probes of one stack.

    Steps and evaluations are timed apart, since their share differs between recipes. What an engine compiles once is
    left out. Sources of routes are timed in the same way, on their own data and networks.
    """
    study, architecture = plan.study, plan.architecture
    if not plan.trainings():  # of a source whose masks are made of the initial weights
        return Estimate(0.0, 0.0, 0.0)
    per_level = len(plan.lottery.cells(0, min(1, study.levels))) * study.replicates
    demand = Demand(study.recipe, plan.pinned, plan.moving, dataset.streamed)
    chosen = choose(engine, architecture, device, demand)
    size = min(per_level, networks_that_fit(architecture, device, study.recipe, chosen.name))
    held_out = validation_count(len(dataset.train_y), study.data.validation)
    n_test = len(dataset.test_y)
    everything = len(dataset.train_y) - held_out + n_test
    steps = scored = 0
    for cell in plan.trainings():
        start = study.first_iteration(cell)
        steps += plan.network_iterations(cell)
        scored += len(study.recipe.evaluations(start)) * held_out
        scored += len(study.recipe.curve_points(start)) * everything + n_test
    probes = _probes(plan, dataset, device, chosen.name, size)
    totals = [steps * step + scored * example for step, example in probes]
    sources = [estimate_time(each.plan, each.dataset, device, engine) for each in plan.sources.values()]
    return sum(sources, Estimate(min(totals), median(totals), max(totals)))


def _probes(
    plan: Plan, dataset: Dataset, device: torch.device, engine: str, size: int
) -> list[tuple[float, float]]:
    """Several times over: seconds of one step and of scoring one example, per network of a stack of `size` networks
    that are as dense as the study's are on average."""
    study, architecture = plan.study, plan.architecture
    batch = study.recipe.batch
    # Never more than the study itself takes, so that a batch of it is left.
    held_out = min(PROBE_EXAMPLES, validation_count(len(dataset.train_y), study.data.validation))
    count = held_out + max(batch, PROBE_EXAMPLES)
    few = replace(
        dataset,
        train_x=dataset.train_x[:count],
        train_y=dataset.train_y[:count],
        test_x=dataset.test_x[:10],
        test_y=dataset.test_y[:10],
    )
    data = Resident(few, study.data.normalisation, device)
    rng = Seeds.single(study.seed).stream("probe")
    every = plan.trainings()
    mean = sum(plan.densities[cell.level] for cell in every) / len(every)
    shapes = architecture.prunable_shapes
    mask = Mask({name: torch.from_numpy(rng.random(shape) < mean) for name, shape in shapes.items()})
    state = architecture.initial(rng)
    starts = [Start(state, mask, study.seeds(r)) for r in range(size)]

    def timed(iterations: int, evaluate_every: int) -> float:
        short = {"iterations": iterations, "evaluate_every": evaluate_every, "curve_every": 0}
        recipe = Recipe(**{**study.recipe.model_dump(), **short})
        begin = time.perf_counter()
        train_stack(architecture, starts, data, recipe, held_out, engine=engine)
        return time.perf_counter() - begin

    def probe() -> tuple[float, float, float]:
        return timed(2, 2), timed(2, 1), timed(2 + PROBE_ITERATIONS, 2 + PROBE_ITERATIONS)

    timed(2, 1)  # warm up: memory, thread pools, and an engine that is compiled
    begin, found = time.perf_counter(), [probe() for _ in range(PROBES)]
    while len(found) < MOST_PROBES and time.perf_counter() - begin < PROBE_SECONDS:
        found.append(probe())
    # What is done once in a training is taken off; the shortest leaves out what else the machine does.
    once = min(brief for brief, _, _ in found)
    return [
        # Where other work on the machine drowns a difference, a tenth of the steps' time stands in for it.
        (max(many - once, many / 10) / PROBE_ITERATIONS / size, max(scored - once, 0.0) / held_out / size)
        for _, scored, many in found
    ]
