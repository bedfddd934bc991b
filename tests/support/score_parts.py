"""Searches that train scores, on tiny networks."""

from __future__ import annotations

from typing import Any

from support.training_parts import CPU, kind, recipe, start
from tombola.data.resident import Resident
from tombola.data.split import split
from tombola.masks.ladder import ladder
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import Architecture
from tombola.training.batches import Batches, Group
from tombola.training.engines.base import Course, Demand, Job
from tombola.training.engines.select import choose
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES, Goal, Search
from tombola.training.search.supermask import ScoreSteps
from tombola.training.stack import Stack
from tombola.training.start import Start

LEVEL, VALIDATION = 2, 5
BOTH = ["edge-popup", "supermask"]


def search(arch: Architecture, name: str, rule: PruneRule | None = None, **options: Any) -> Search:
    """A search for the mask of level 2 of a ladder of halves."""
    rule = rule or PruneRule(rate=0.5)
    rates = rates_for(rule, arch.roles)
    shapes = arch.prunable_shapes
    rung = ladder(shapes, rates, rule.allocation, LEVEL, rule.structure)[LEVEL]
    return Search(SEARCHES[name](**options), Goal(rung, rates, rule))


def starts_of(arch: Architecture, sought: Search, *replicates: int) -> list[Start]:
    return [sought.start(start(arch, r, level=LEVEL)) for r in replicates]


def scorer(what: str, sought: Search, starts: list[Start], chosen: Recipe | None = None) -> ScoreSteps:
    """The trainer of a search, on the engine of a kind of network."""
    arch, data, engine = kind(what)
    return scorer_of(arch, data, engine, sought, starts, chosen or long())


def scorer_of(
    arch: Architecture, data: Resident, engine: str, sought: Search, starts: list[Start], chosen: Recipe
) -> ScoreSteps:
    stack = Stack(arch, starts, CPU, moving=True)
    groups = [
        Group(s.seeds, s.level, split(data.n_train, VALIDATION, s.seeds.stream("split"))) for s in starts
    ]
    keys = [s.seeds.key("dropout", s.level) for s in starts]
    net = choose(engine, arch, CPU, Demand(chosen, moving=True))(
        Job(arch, stack, range(len(starts)), keys, chosen)
    )
    course = Course(chosen, Batches(groups, chosen.batch, CPU), data)
    steps = sought.method.trainer(net, course, starts, sought.goal)
    assert isinstance(steps, ScoreSteps)
    return steps


def long(**other: Any) -> Recipe:
    return recipe(**{"iterations": 20, "evaluate_every": 5} | other)
