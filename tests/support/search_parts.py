"""Searches on tiny networks, for the tests of trainings that find masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.training_parts import CPU, kind, recipe, start
from tombola.data.split import split
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import Architecture
from tombola.training.batches import Batches, Group
from tombola.training.engines.base import Course, Demand, Job
from tombola.training.engines.select import choose
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES, Goal, Search
from tombola.training.search.moving import MovingMasks, MovingMethod
from tombola.training.stack import Stack
from tombola.training.start import Start

LEVEL = 2
VALIDATION = 5


def search(arch: Architecture, name: str, rule: PruneRule | None = None, **options: Any) -> Search:
    """A search for the mask of level 2 of a ladder of halves."""
    rule = rule or PruneRule(rate=0.5)
    rates = rates_for(rule, arch.roles)
    shapes = arch.prunable_shapes
    rung = ladder(shapes, rates, rule.allocation, LEVEL, rule.structure)[LEVEL]
    method = SEARCHES[name](**{"every": 2} | options)
    return Search(method, Goal(rung, rates, rule))


def starts_of(arch: Architecture, sought: Search, *replicates: int) -> list[Start]:
    return [sought.start(start(arch, r, level=LEVEL)) for r in replicates]


def mover(what: str, sought: Search, chosen: Recipe, starts: list[Start]) -> MovingMasks:
    """The trainer of a search, on the engine of a kind of network."""
    arch, data, engine = kind(what)
    stack = Stack(arch, starts, CPU, moving=True)
    groups = [
        Group(s.seeds, s.level, split(data.n_train, VALIDATION, s.seeds.stream("split"))) for s in starts
    ]
    keys = [s.seeds.key("dropout", s.level) for s in starts]
    net = choose(engine, arch, CPU, Demand(chosen, moving=True))(
        Job(arch, stack, range(len(starts)), keys, chosen)
    )
    method = sought.method
    assert isinstance(method, MovingMethod)
    course = Course(chosen, Batches(groups, chosen.batch, CPU), data)
    trainer = method.trainer(net, course, starts, sought.goal)
    assert isinstance(trainer, MovingMasks)
    return trainer


def walk(trainer: MovingMasks, iterations: int) -> Iterator[tuple[int, list[Mask]]]:
    """Iteration and masks after each step."""
    for iteration in range(iterations):
        trainer.advance(iteration, iteration + 1)
        yield iteration, trainer.masks()


def long(**other: Any) -> Recipe:
    return recipe(**{"iterations": 20, "evaluate_every": 5} | other)
