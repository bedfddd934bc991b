"""Pruning: a criterion scores, an allocation says how many go, a structure says which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tombola.errors import UserError, nearest
from tombola.masks.allocation import Counts, Pool, pools_of
from tombola.masks.criteria import CRITERIA, Weights
from tombola.masks.ladder import check_ratio, in_proportion
from tombola.masks.mask import Mask
from tombola.masks.probe import Probe, Probing
from tombola.masks.rule import PruneRule
from tombola.masks.structure import Bools, Floats, Structure, structure

Tensors = Mapping[str, Tensor]
Contests = Mapping[str, tuple[str, ...]]
"""Label -> the tensors whose weights compete."""


class States(NamedTuple):
    """What a training started from and ended with; twice the same for pruning at initialisation."""

    initial: Tensors
    final: Tensors


@dataclass(frozen=True)
class Pruner:
    """Prunes masks by a rule: one pruning a call.

    `rates` come from `rates_for`; the stream `rng` decides between weights of equal score; `probe` makes a probe of
    the network, for criteria that need one (`CRITERIA.facts`). What is counted are single weights or, where the
    structure has groups, groups. `initial` and `final` are the states that a training started from and ended with
    (twice the same for pruning at initialisation). A new mask is nested in the old one and may have empty layers.

    All methods raise UserError when a tensor is missing or mis-shaped, a living weight's score is not finite, a probe
    is needed and not given, or the criterion, the allocation, the structure and the rates do not go together.
    """

    rule: PruneRule
    rates: Mapping[str, float]
    rng: np.random.Generator
    probe: Probing | None = None

    def by_rate(self, mask: Mask, initial: Tensors, final: Tensors) -> Mask:
        """What is left when floor(rate * alive + 1/2) of each pool have gone, lowest scores first."""
        alive = self._alive(mask, self._contests(mask))
        whole = {name: np.ones(shape, dtype=np.bool_) for name, shape in mask.shapes.items()}
        dense = {name: self._groups.count(ones) for name, ones in whole.items()}
        keep = {label: n for pool in self._pools(mask) for label, n in pool.keep(dense, alive).items()}
        return self._pruned(mask, States(initial, final), keep)

    def to_counts(self, mask: Mask, initial: Tensors, final: Tensors, counts: Counts) -> Mask:
        """What is left when each contest keeps as many weights as a rung of `ladder` says under its label, and of
        groups the number that comes nearest: one-shot pruning, from dense to any level.

        The rates only say how tensors are pooled. Raises UserError for a missing count, or one above what lives.
        """
        keep, contests = {}, self._contests(mask)
        alive = self._alive(mask, contests)
        for label, members in contests.items():
            living = sum(mask.count(name) for name in members)
            count = counts.get(label, -1)
            if not 0 <= count <= living:
                found = f"{count}" if label in counts else "none"
                raise UserError(f"count to keep in '{label}' is {found}, expected 0 to {living}")
            keep[label] = in_proportion(count, living, alive[label])
        return self._pruned(mask, States(initial, final), keep)

    def to_layer_counts(self, mask: Mask, initial: Tensors, final: Tensors, counts: Counts) -> Mask:
        """What is left when each tensor keeps its count, as of `ticket.mask.counts()`; allocation and rates have no
        say.

        Raises UserError for a count that is missing, above what lives or, of groups, not to be had.
        """
        rule = self.rule.model_copy(update={"allocation": "layerwise"})
        layerwise = replace(self, rule=rule, rates=dict.fromkeys(mask, 0.0))
        pruned = layerwise.to_counts(mask, initial, final, counts)
        for name, count in pruned.counts().items():
            if count != counts[name]:
                raise UserError(
                    f"count to keep in '{name}' is {counts[name]}, which structure '{rule.structure}' cannot give; "
                    f"the nearest is {count}"
                )
        return pruned

    @cached_property
    def _groups(self) -> Structure:
        return structure(self.rule.structure)

    @cached_property
    def _needs_probe(self) -> bool:
        return bool(CRITERIA.facts(self.rule.criterion)["probe"])

    def _pools(self, mask: Mask) -> tuple[Pool, ...]:
        return pools_of(mask.shapes, self.rates, self.rule.allocation)

    def _contests(self, mask: Mask) -> Contests:
        return {label: members for pool in self._pools(mask) for label, members in pool.contests.items()}

    def _alive(self, mask: Mask, contests: Contests) -> dict[str, int]:
        """What lives in each contest, counted in the groups of the structure."""
        return {
            label: sum(self._groups.count(mask[name].numpy()) for name in members)
            for label, members in contests.items()
        }

    def _pruned(self, mask: Mask, states: States, keep: Mapping[str, int]) -> Mask:
        """The mask with `keep` left in each contest, in as many rounds as the criterion takes."""
        contests = self._contests(mask)
        self._require_states(mask, states)
        alive = before = self._alive(mask, contests)
        for label, members in contests.items():
            masks = [mask[name].numpy() for name in members]
            check_ratio(self.rule.structure, masks, alive[label], keep[label], f"'{label}'")
        rounds: int = CRITERIA.facts(self.rule.criterion)["rounds"]
        for turn in range(1, rounds + 1):
            stay = {label: _between(alive[label], keep[label], turn / rounds) for label in contests}
            if stay != before:
                mask, before = self._round(mask, states, contests, stay), stay
        return mask

    def _require_states(self, mask: Mask, states: States) -> None:
        for which, state in states._asdict().items():
            for name, shape in mask.shapes.items():
                if name not in state:
                    raise UserError(f"{which} state lacks '{name}'{nearest(name, state)}")
                if tuple(state[name].shape) != shape:
                    raise UserError(
                        f"{which} state: '{name}' has shape {tuple(state[name].shape)}, expected {shape}"
                    )
        if self._needs_probe and self.probe is None:
            raise UserError(
                f"criterion '{self.rule.criterion}' looks at the network and its data; expected a probe of them"
            )

    def _round(self, mask: Mask, states: States, contests: Contests, stay: Mapping[str, int]) -> Mask:
        """The mask when the lowest scores of each contest are gone, but for `stay`."""
        probe = self.probe(states.final, mask) if self.probe and self._needs_probe else None
        survivors = {}
        for label, members in contests.items():
            alive = {name: mask[name].numpy() for name in members}
            scores = {name: self._scores(name, states, mask[name], probe) for name in members}
            if self.rule.criterion == "random" and self._unlike(alive):
                scores = {name: self._one_a_group(values) for name, values in scores.items()}
            remove = sum(map(self._groups.count, alive.values())) - stay[label]
            survivors.update(self._groups.survivors(scores, alive, remove, self.rng))
        return Mask({name: torch.from_numpy(living) for name, living in survivors.items()})

    def _unlike(self, alive: Mapping[str, Bools]) -> bool:
        """Whether groups of several sizes compete, of which the mean of many random scores is no extreme one."""
        if self._groups.most is not None:
            return False
        sizes = [np.bincount(self._groups.groups(bits.shape)[bits.reshape(-1)]) for bits in alive.values()]
        return len(np.unique(np.concatenate([each[each > 0] for each in sizes]))) > 1

    def _one_a_group(self, scores: Floats) -> Floats:
        """Each weight with the score of the first one of its group."""
        groups = self._groups.groups(scores.shape)
        first = np.unique(groups, return_index=True)[1]
        spread: Floats = scores.reshape(-1)[first][groups].reshape(scores.shape)
        return spread

    def _scores(self, name: str, states: States, alive: Tensor, probe: Probe | None) -> Floats:
        """Scores in double precision, which holds any float exactly and so neither makes nor breaks ties."""
        initial, final = (state[name].detach().to("cpu", torch.float64) for state in states)
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


def _between(alive: int, keep: int, share: float) -> int:
    """How many are left when `share` of the rounds is over: alive * (keep / alive) ** share, rounded half up."""
    return math.floor(alive * math.pow(keep / alive, share) + 0.5) if alive else 0
