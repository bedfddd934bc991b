"""Pruning: a criterion scores, an allocation says how many go, a structure says which."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.masks.allocation import ALLOCATIONS, Pool, pools_of, removals
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.mask import Mask
from tombola.masks.structure import STRUCTURES, Contest, Floats

ROLES = ("conv", "linear", "output")


class PruneRule(BaseModel):
    """How one pruning picks its weights.

    `rates` overrides `rate` for the keys it names: a role ("conv", "linear", "output") or a parameter name,
    where `*`, `?` and `[...]` match as in file names. The output layer is no "linear" one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    criterion: str = "large-final"
    allocation: str = "layerwise"
    structure: str = "weights"
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.2
    rates: dict[str, Annotated[float, Field(ge=0, lt=1)]] = {}

    @field_validator("criterion")
    @classmethod
    def _known_criterion(cls, name: str) -> str:
        CRITERIA[name]
        return name

    @field_validator("allocation")
    @classmethod
    def _known_allocation(cls, name: str) -> str:
        ALLOCATIONS[name]
        return name

    @field_validator("structure")
    @classmethod
    def _known_structure(cls, name: str) -> str:
        STRUCTURES[name]
        return name


def rates_for(rule: PruneRule, roles: Mapping[str, str]) -> dict[str, float]:
    """The rate of every prunable parameter: exact name before pattern before role before `rule.rate`.

    Among patterns the one with the most literal characters wins. Raises UserError for a key that matches
    nothing, and for equally specific patterns that disagree.
    """
    for key in rule.rates:
        known = {*roles, *roles.values()}
        if key not in known and not any(fnmatchcase(name, key) for name in roles):
            if key in ROLES:
                raise UserError(f"pruning rates: the network has no '{key}' layer")
            raise UserError(f"pruning rates: '{key}' matches no parameter or role{nearest(key, known)}")
    return {name: _rate(rule, name, role) for name, role in roles.items()}


def _rate(rule: PruneRule, name: str, role: str) -> float:
    if name in rule.rates:
        return rule.rates[name]
    patterns = [key for key in rule.rates if key not in ROLES and fnmatchcase(name, key)]
    if not patterns:
        return rule.rates.get(role, rule.rate)
    closest = max(map(_literals, patterns))
    rivals = [key for key in patterns if _literals(key) == closest]
    for rival in rivals:
        if rule.rates[rival] != rule.rates[rivals[0]]:
            raise UserError(f"pruning rates: '{rivals[0]}' and '{rival}' both match '{name}' but differ")
    return rule.rates[rivals[0]]


def _literals(pattern: str) -> int:
    return sum(character not in "*?[]" for character in pattern)


def prune(
    mask: Mask,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    rates: Mapping[str, float],
    rule: PruneRule,
    rng: np.random.Generator,
) -> Mask:
    """One pruning of the living weights: floor(rate * alive + 1/2) of each pool go, lowest scores first.

    `initial` and `final` are the states a training started from and ended with, `rates` come from
    `rates_for`. The result is nested in the mask and may have empty layers. Raises UserError when a tensor
    is missing or mis-shaped, a living weight's score is not finite, or the allocation cannot use the rates.
    """
    pools = _pools(mask, rates, rule)
    alive = {pool.label: sum(mask.count(name) for name in pool.members) for pool in pools}
    remove = {pool.label: removals(alive[pool.label], pool.rate) for pool in pools}
    return _contested(mask, initial, final, pools, remove, rule, rng)


def prune_to(
    mask: Mask,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    counts: Mapping[str, int],
    rates: Mapping[str, float],
    rule: PruneRule,
    rng: np.random.Generator,
) -> Mask:
    """One pruning down to the counts of a rung of `ladder`: one-shot pruning, from dense to any level.

    Like `prune`, but each pool keeps as many weights as `counts` says under its label; `rates` only say how
    the tensors are pooled. Raises UserError for a missing count, or one above what lives.
    """
    pools = _pools(mask, rates, rule)
    remove = {}
    for pool in pools:
        alive = sum(mask.count(name) for name in pool.members)
        keep = counts.get(pool.label, -1)
        if not 0 <= keep <= alive:
            found = f"{keep}" if pool.label in counts else "none"
            raise UserError(f"count to keep in '{pool.label}' is {found}, expected 0 to {alive}")
        remove[pool.label] = alive - keep
    return _contested(mask, initial, final, pools, remove, rule, rng)


def _pools(mask: Mask, rates: Mapping[str, float], rule: PruneRule) -> tuple[Pool, ...]:
    return pools_of({name: mask.size(name) for name in mask}, rates, rule.allocation)


def _contested(
    mask: Mask,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    pools: tuple[Pool, ...],
    remove: Mapping[str, int],
    rule: PruneRule,
    rng: np.random.Generator,
) -> Mask:
    survivors = {}
    for pool in pools:
        alive = {name: mask[name] for name in pool.members}
        scores = {name: _scores(name, alive[name], initial, final, rule, rng) for name in pool.members}
        contest = Contest(scores, {name: alive[name].numpy() for name in alive}, remove[pool.label], rng)
        survivors.update(STRUCTURES[rule.structure](contest))
    return Mask({name: torch.from_numpy(living) for name, living in survivors.items()})


def _scores(
    name: str,
    alive: Tensor,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    rule: PruneRule,
    rng: np.random.Generator,
) -> Floats:
    """Scores in double precision, which holds any float exactly and so neither makes nor breaks ties."""
    for state, which in ((initial, "initial"), (final, "final")):
        if name not in state:
            raise UserError(f"{which} state lacks '{name}'{nearest(name, state)}")
        if state[name].shape != alive.shape:
            raise UserError(
                f"{which} state: '{name}' has shape {tuple(state[name].shape)}, expected {tuple(alive.shape)}"
            )
    weights = Weights(initial[name].detach().cpu(), final[name].detach().cpu(), rng)
    score = CRITERIA[rule.criterion](weights)
    if score.shape != alive.shape:
        raise ValueError(
            f"criterion '{rule.criterion}' gave scores {tuple(score.shape)} for {tuple(alive.shape)}"
        )
    values: Floats = score.detach().to("cpu", torch.float64).numpy()
    broken = int((~np.isfinite(values) & alive.numpy()).sum())
    if broken:
        raise UserError(
            f"criterion '{rule.criterion}': {broken} of {int(alive.sum())} scores of '{name}' are not finite "
            "(has the training diverged?)"
        )
    return values
