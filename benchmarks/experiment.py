"""How long the paper's complete LeNet experiment takes: every level of `lenet-mnist` timed for a while, then
multiplied out. Training and measuring are reported apart.

    python benchmarks/experiment.py [OUT]

The masks are random ones with the exact counts of the ladder, the images are random, too: only shapes matter.
"""

from __future__ import annotations

import json
import sys
import time
from math import prod
from pathlib import Path
from typing import Any

import torch

from tombola.bench import images
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import Seeds, stream
from tombola.study.load import load_study
from tombola.study.plan import Plan, make_plan
from tombola.training.batches import Batches, Group
from tombola.training.device import prepare
from tombola.training.engines.base import ENGINES, Course, Job
from tombola.training.record import Record
from tombola.training.stack import Stack, Start

STEPS, ROUNDS = 100, 3


def mask_of(net: Architecture, counts: dict[str, int], seed: int) -> Mask:
    """A random mask with so many weights in each tensor."""
    rng, bits = stream("experiment", seed), {}
    for name in net.prunable:
        flat = torch.zeros(prod(net.shapes[name]), dtype=torch.bool)
        flat[torch.from_numpy(rng.permutation(len(flat))[: counts[name]])] = True
        bits[name] = flat.view(net.shapes[name])
    return Mask(bits)


def level(plan: Plan, data: Resident, number: int) -> tuple[float, float, int]:
    """Minutes of training and of measuring that a level of the experiment takes, and its networks."""
    study, net = plan.study, plan.architecture
    cells = [cell for cell in plan.cells() if cell.level == number]
    seeds = {cell.replicate: Seeds.replicate(0, cell.replicate) for cell in cells}
    counts = dict(plan.lottery.alive[number])
    starts = [
        Start(
            net.initial(seeds[c.replicate].stream("init")),
            mask_of(net, counts, i),
            seeds[c.replicate],
            number,
        )
        for i, c in enumerate(cells)
    ]
    groups = [
        Group(s, number, split(data.n_train, study.data.validation, s.stream("split")))
        for s in seeds.values()
    ]
    stack = Stack(net, starts, data.device)
    engine = ENGINES["sparse"](Job(net, stack, [c.replicate for c in cells], [0] * len(cells)))
    trainer = engine.trainer(Course(study.recipe, Batches(groups, study.recipe.batch, data.device), data))
    record = Record(engine, stack, data, groups, study.recipe)
    trainer.advance(0, STEPS)
    record.evaluate(0)
    training, measuring = [], []
    for at in range(STEPS, STEPS * (ROUNDS + 1), STEPS):
        begin = time.perf_counter()
        trainer.advance(at, at + STEPS)
        middle = time.perf_counter()
        record.evaluate(at)
        training.append(middle - begin)
        measuring.append(time.perf_counter() - middle)
    begin = time.perf_counter()
    record.evaluate(
        study.recipe.iterations
    )  # training and test set, too; the early-stop networks come on top
    end = 1.2 * (time.perf_counter() - begin)
    iterations, grid = study.recipe.iterations, len(study.recipe.evaluations())
    trained = sorted(training)[ROUNDS // 2] / STEPS * iterations
    return trained / 60, (sorted(measuring)[ROUNDS // 2] * grid + end) / 60, len(cells)


def main() -> None:
    """Time every level, print and write."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results")
    out.mkdir(parents=True, exist_ok=True)
    prepare()
    study = load_study("lenet-mnist")
    data = Resident(
        images((1, 28, 28), 72_000), "standard", torch.device("cpu")
    )  # 60,000 of them to train on
    plan = make_plan(study, architecture(study.model.name, (1, 28, 28), 10))
    found: list[dict[str, Any]] = []
    for number, density in enumerate(plan.densities):
        training, measuring, networks = level(plan, data, number)
        found.append(
            {
                "level": number,
                "density": density,
                "networks": networks,
                "training_min": training,
                "measuring_min": measuring,
            }
        )
        print(
            f"{100 * density:5.1f}%  {networks:3} networks  "
            f"training {training:5.2f} min  measuring {measuring:5.2f} min",
            flush=True,
        )
    total = {part: sum(row[part] for row in found) for part in ("training_min", "measuring_min")}
    print(f"training {total['training_min']:.1f} min, measuring {total['measuring_min']:.1f} min")
    (out / "lenet-mnist-complete.json").write_text(json.dumps({"levels": found, **total}, indent=1) + "\n")


if __name__ == "__main__":
    main()
