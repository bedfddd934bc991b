"""Pruning: a criterion scores, an allocation says how many go, a structure says which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.masks.allocation import Pool, pools_of
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.ladder import check_ratio, in_proportion
from tombola.masks.mask import Mask
from tombola.masks.probe import Probe, Probing
from tombola.masks.rule import PruneRule
from tombola.masks.structure import Floats, Structure, structure

Contests = Mapping[str, tuple[str, ...]]
"""Label -> the tensors whose weights compete."""


def prune_mask(
    mask: Mask,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    rates: Mapping[str, float],
    rule: PruneRule,
    rng: np.random.Generator,
    probe: Probing | None = None,
) -> Mask:
    """One pruning of what lives: floor(rate * alive + 1/2) of each pool go, lowest scores first.

    What is counted are single weights or, where the structure has groups, groups. `initial` and `final` are the states
    a training started from and ended with (twice the same for pruning at initialisation), `rates` come from
    `rates_for`; `probe` makes a probe of the network, for criteria that need one (`CRITERIA.needs`). The result is
    nested in the mask and may have empty layers.

    Raises UserError when a tensor is missing or mis-shaped, a living weight's score is not finite, a probe is needed
    and not given, or the criterion, the allocation, the structure and the rates do not go together.
    """
    pruning = _Pruning(initial, final, rule, rng, probe)
    pools, contests = _contests(mask, rates, rule)
    alive = pruning.alive(mask, contests)
    dense = {
        name: pruning.groups.count(np.ones(shape, dtype=np.bool_)) for name, shape in mask.shapes.items()
    }
    keep = {label: count for pool in pools for label, count in pool.keep(dense, alive).items()}
    return pruning.settled(mask, contests, keep)


def prune_to(
    mask: Mask,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    counts: Mapping[str, int],
    rates: Mapping[str, float],
    rule: PruneRule,
    rng: np.random.Generator,
    probe: Probing | None = None,
) -> Mask:
    """One pruning down to the counts of a rung of `ladder`: one-shot pruning, from dense to any level.

    Like `prune`, but each contest keeps as many weights as `counts` says under its label, and of groups the number
    that comes nearest; `rates` only say how the tensors are pooled. Raises UserError for a missing count, or one
    above what lives.
    """
    pruning = _Pruning(initial, final, rule, rng, probe)
    _, contests = _contests(mask, rates, rule)
    alive = pruning.alive(mask, contests)
    keep = {}
    for label, members in contests.items():
        living = sum(mask.count(name) for name in members)
        count = counts.get(label, -1)
        if not 0 <= count <= living:
            found = f"{count}" if label in counts else "none"
            raise UserError(f"count to keep in '{label}' is {found}, expected 0 to {living}")
        keep[label] = in_proportion(count, living, alive[label])
    return pruning.settled(mask, contests, keep)


def prune_to_counts(
    mask: Mask,
    initial: Mapping[str, Tensor],
    final: Mapping[str, Tensor],
    counts: Mapping[str, int],
    rule: PruneRule,
    rng: np.random.Generator,
    probe: Probing | None = None,
) -> Mask:
    """One pruning to a count for each tensor, such as `ticket.mask.counts()`; the rule's allocation has no say.

    Raises UserError for a count that is missing, above what lives or, of groups, not to be had.
    """
    layerwise = rule.model_copy(update={"allocation": "layerwise"})
    pruned = prune_to(mask, initial, final, counts, dict.fromkeys(mask, 0.0), layerwise, rng, probe)
    for name, count in pruned.counts().items():
        if count != counts[name]:
            raise UserError(
                f"count to keep in '{name}' is {counts[name]}, which structure '{rule.structure}' cannot give; "
                f"the nearest is {count}"
            )
    return pruned


@dataclass(frozen=True)
class _Pruning:
    """What stays the same while a mask is pruned; see `prune` for what it is."""

    initial: Mapping[str, Tensor]
    final: Mapping[str, Tensor]
    rule: PruneRule
    rng: np.random.Generator
    probe: Probing | None

    @cached_property
    def groups(self) -> Structure:
        return structure(self.rule.structure)

    def alive(self, mask: Mask, contests: Contests) -> dict[str, int]:
        """What lives in each contest, counted in the groups of the structure."""
        return {
            label: sum(self.groups.count(mask[name].numpy()) for name in members)
            for label, members in contests.items()
        }

    def settled(self, mask: Mask, contests: Contests, keep: Mapping[str, int]) -> Mask:
        """The mask with `keep` left in each contest, in as many rounds as the criterion takes."""
        self._require_fitting_parts(mask, contests, keep)
        alive = before = self.alive(mask, contests)
        rounds = CRITERIA.needs(self.rule.criterion).rounds
        for turn in range(1, rounds + 1):
            stay = {label: _between(alive[label], keep[label], turn / rounds) for label in contests}
            if stay != before:
                mask, before = self._round(mask, contests, stay), stay
        return mask

    def _require_fitting_parts(self, mask: Mask, contests: Contests, keep: Mapping[str, int]) -> None:
        for state, which in ((self.initial, "initial"), (self.final, "final")):
            for name, shape in mask.shapes.items():
                if name not in state:
                    raise UserError(f"{which} state lacks '{name}'{nearest(name, state)}")
                if tuple(state[name].shape) != shape:
                    raise UserError(
                        f"{which} state: '{name}' has shape {tuple(state[name].shape)}, expected {shape}"
                    )
        criterion, kind = self.rule.criterion, self.rule.structure
        if CRITERIA.needs(criterion).probe and self.probe is None:
            raise UserError(
                f"criterion '{criterion}' looks at the network and its data; expected a probe of them"
            )
        alive = self.alive(mask, contests)
        for label, members in contests.items():
            masks = [mask[name].numpy() for name in members]
            check_ratio(kind, masks, alive[label], keep[label], f"'{label}'")

    def _round(self, mask: Mask, contests: Contests, stay: Mapping[str, int]) -> Mask:
        """The mask when the lowest scores of each contest are gone, but for `stay`."""
        needs_probe = CRITERIA.needs(self.rule.criterion).probe
        probe = self.probe(self.final, mask) if self.probe and needs_probe else None
        survivors = {}
        for label, members in contests.items():
            alive = {name: mask[name].numpy() for name in members}
            scores = {name: self._scores(name, mask[name], probe) for name in members}
            remove = sum(map(self.groups.count, alive.values())) - stay[label]
            survivors.update(self.groups.survivors(scores, alive, remove, self.rng))
        return Mask({name: torch.from_numpy(living) for name, living in survivors.items()})

    def _scores(self, name: str, alive: Tensor, probe: Probe | None) -> Floats:
        """Scores in double precision, which holds any float exactly and so neither makes nor breaks ties."""
        initial, final = (
            state[name].detach().to("cpu", torch.float64) for state in (self.initial, self.final)
        )
        criterion = self.rule.criterion
        score = CRITERIA[criterion](Weights(initial, final, self.rng, name, alive, probe))
        if score.shape != alive.shape:
            raise ValueError(
                f"criterion '{criterion}' gave scores {tuple(score.shape)} for {tuple(alive.shape)}"
            )
        values: Floats = score.detach().to("cpu", torch.float64).numpy()
        broken = int((~np.isfinite(values) & alive.numpy()).sum())
        if broken:
            raise UserError(
                f"criterion '{criterion}': {broken} of {int(alive.sum())} scores of '{name}' are not finite "
                "(has the training diverged?)"
            )
        return values


def _contests(mask: Mask, rates: Mapping[str, float], rule: PruneRule) -> tuple[tuple[Pool, ...], Contests]:
    pools = pools_of(mask.shapes, rates, rule.allocation)
    return pools, {label: members for pool in pools for label, members in pool.contests.items()}


def _between(alive: int, keep: int, share: float) -> int:
    """How many are left when `share` of the rounds is over: alive * (keep / alive) ** share, rounded half up."""
    return math.floor(alive * math.pow(keep / alive, share) + 0.5) if alive else 0
