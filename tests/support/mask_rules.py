"""The matrix of criterion x allocation x structure, what cannot combine in it, and prunings by its rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache

import torch

from support.cases import each
from support.mask_networks import Net, net
from tombola.masks.allocation import ALLOCATIONS, pools_of
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import STRUCTURES, structure
from tombola.seeds import stream

LAYERS = ",".join(
    f"{name}={3 + place % 4}/8"
    for place, name in enumerate(sorted({*net("mlp").shapes, *net("conv").shapes}))
)
SHARES = [f"like:{LAYERS}" if name == "like:TICKET" else name for name in ALLOCATIONS]
"""One of each kind of allocation."""
KINDS = STRUCTURES.examples


def refused(criterion: str, allocation: str, kind: str) -> bool:
    """What cannot combine: a ratio per group with densities that differ by layer, or with many small steps."""
    return structure(kind).most is not None and (
        allocation == "erk" or allocation.startswith("like:") or CRITERIA.facts(criterion)["rounds"] > 1
    )


MATRIX = list(itertools.product(CRITERIA, SHARES, KINDS))
RULES = [
    PruneRule(criterion=criterion, allocation=allocation, structure=kind)
    for criterion, allocation, kind in MATRIX
    if not refused(criterion, allocation, kind)
]


def has_ratio(rule: PruneRule) -> bool:
    """Whether the structure has a density of its own, as N:M has."""
    return structure(rule.structure).most is not None


def label(rule: PruneRule) -> str:
    return f"{rule.criterion}-{rule.allocation.partition(':')[0]}-{rule.structure}"


def over(rules: list[PruneRule]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return each("rule", rules, label)


every_rule = over(RULES)
every_part = over([rule for rule in RULES if len(rule.model_dump(exclude_defaults=True)) <= 1])
"""Rules with one part that is not the default: for what the parts do not do together."""


def both_nets(test: Callable[[PruneRule, Net], None]) -> Callable[[PruneRule], None]:
    """On one network after the other in one test, which saves pytest some thousand of them."""

    def both(rule: PruneRule) -> None:
        for name in ("mlp", "conv"):
            test(rule, net(name))

    both.__name__ = test.__name__
    return both


def rates(of: Net, rule: PruneRule) -> dict[str, float]:
    """A rate that suits the structure (2:4 takes half), and for all but ratios one tensor that stays dense."""
    if has_ratio(rule):
        return dict.fromkeys(of.shapes, 0.5)
    return {name: 0.0 if name.startswith("out") else 0.3 for name in of.shapes}


def once(of: Net, rule: PruneRule, mask: Mask, seed: int = 0, **states: Mapping[str, torch.Tensor]) -> Mask:
    """One pruning."""
    initial, final = states.get("initial", of.state(0)), states.get("final", of.state(1))
    return Pruner(rule, rates(of, rule), stream(seed), of.probe).by_rate(mask, initial, final)


def living(mask: Mask, of: Net, rule: PruneRule) -> dict[str, int]:
    """Living groups by pool."""
    count = structure(rule.structure).count
    pools = pools_of(of.shapes, rates(of, rule), rule.allocation)
    return {pool.label: sum(count(mask[name].numpy()) for name in pool.members) for pool in pools}


def masks(of: Net, rule: PruneRule) -> list[Mask]:
    """The masks of some levels, each from weights of its own; one level where the structure has a ratio."""
    return _masks(of, rule.criterion, rule.allocation, rule.structure)


@cache
def _masks(of: Net, criterion: str, allocation: str, kind: str) -> list[Mask]:
    rule = PruneRule(criterion=criterion, allocation=allocation, structure=kind)
    found = [of.dense]
    for level in range(1 if has_ratio(rule) else 2):
        found.append(once(of, rule, found[-1], level, final=of.state(level + 1)))
    return found
