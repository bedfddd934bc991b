"""How long a study will take on this machine, from a short timed probe."""

from __future__ import annotations

import time

import torch

from tombola.data import Dataset, Resident, validation_count
from tombola.masks import Mask
from tombola.seeds import Seeds
from tombola.study.plan import Plan
from tombola.training import Recipe, Start, choose, networks_that_fit, train_stack

PROBE_ITERATIONS = 20
PROBE_EXAMPLES = 1000


def estimate_seconds(plan: Plan, dataset: Dataset, device: torch.device, engine: str) -> float:
    """Seconds that the whole study will take on this machine, from a short timed probe of one stack.

    Steps and evaluations are timed apart, since their share differs between recipes.
    """
    study, architecture = plan.study, plan.architecture
    per_level = len(plan.lottery.cells(0, min(1, study.levels))) * study.replicates
    chosen = choose(engine, architecture, device, study.recipe, plan.pinned, plan.moving)
    size = min(per_level, networks_that_fit(architecture, device, study.recipe, chosen.name))
    step, example = _probe(plan, dataset, device, chosen.name, size)
    held_out = validation_count(len(dataset.train_y), study.data.validation)
    n_test = len(dataset.test_y)
    everything = len(dataset.train_y) - held_out + n_test
    total = 0.0
    for cell in plan.cells():
        start = study.first_iteration(cell)
        scored = len(study.recipe.evaluations(start)) * held_out
        scored += len(study.recipe.curve_points(start)) * everything + n_test
        total += plan.network_iterations(cell) * step + scored * example
    return total


def _probe(plan: Plan, dataset: Dataset, device: torch.device, engine: str, size: int) -> tuple[float, float]:
    """Seconds of one step and of scoring one example, per network of a stack of `size` networks that are as dense
    as the study's are on average."""
    study, architecture = plan.study, plan.architecture
    batch = study.recipe.batch
    # Never more than the study itself takes, so that a batch of it is left.
    held_out = min(PROBE_EXAMPLES, validation_count(len(dataset.train_y), study.data.validation))
    few = Dataset(
        dataset.name,
        dataset.train_x[: held_out + max(batch, PROBE_EXAMPLES)],
        dataset.train_y[: held_out + max(batch, PROBE_EXAMPLES)],
        dataset.test_x[:10],
        dataset.test_y[:10],
        dataset.classes,
        dataset.peak,
    )
    data = Resident(few, study.data.normalisation, device)
    rng = Seeds.single(study.seed).stream("probe")
    mean = sum(plan.densities[cell.level] for cell in plan.cells()) / len(plan.cells())
    shapes = {name: architecture.shapes[name] for name in architecture.prunable}
    mask = Mask({name: torch.from_numpy(rng.random(shape) < mean) for name, shape in shapes.items()})
    state = architecture.initial(rng)
    starts = [Start(state, mask, Seeds.replicate(study.seed, r)) for r in range(size)]

    def timed(iterations: int, evaluate_every: int) -> float:
        short = {"iterations": iterations, "evaluate_every": evaluate_every, "curve_every": 0}
        recipe = Recipe(**{**study.recipe.model_dump(), **short})
        begin = time.perf_counter()
        train_stack(architecture, starts, data, recipe, held_out, engine=engine)
        return time.perf_counter() - begin

    timed(2, 1)  # warm up: memory and thread pools
    # Differences of runs leave out what is done once; the faster of two leaves out what else the machine does.
    brief = min(timed(2, 2) for _ in range(2))
    scored = min(timed(2, 1) for _ in range(2))
    many = min(timed(2 + PROBE_ITERATIONS, 2 + PROBE_ITERATIONS) for _ in range(2))
    # Where other work on the machine drowns a difference, a tenth of the steps' time stands in for it.
    step = max(many - brief, many / 10) / PROBE_ITERATIONS
    return step / size, max(scored - brief, 0.0) / held_out / size
