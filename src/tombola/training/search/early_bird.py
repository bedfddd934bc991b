"""Early-bird tickets: the masks that pruning a network would give, made again and again while it trains.

The training stays what it is: its weights are read between two steps (You et al. 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tombola.errors import UserError
from tombola.masks.criteria import CRITERIA
from tombola.masks.mask import Mask
from tombola.masks.prune import Pruner
from tombola.masks.rule import PruneRule
from tombola.masks.structure import Floats
from tombola.training.recipe import PositiveInt, Recipe
from tombola.training.search.base import Goal
from tombola.training.search.bird import EARLY_BIRD, SHORT_ROUNDS, Bird
from tombola.training.search.options import Options
from tombola.training.stack import Stack
from tombola.training.start import Start


def mask_distance(first: Mask, second: Mask) -> float:
    """Normalised Hamming distance: the share of all weights, 0..1, that live in one mask only."""
    return (first ^ second).count() / max(first.size(), 1)


def exchanged(first: Mask, second: Mask, before: Mask) -> float:
    """Of the weights that pruning takes from `before`, the share, 0..1, that one mask takes and the other does not; 0
    where none are taken."""
    return (first ^ second).count() / max(2 * (before.count() - first.count()), 1)


Distance = Callable[[Mask, Mask], float]


def distance_map(masks: Sequence[Mask], distance: Distance = mask_distance) -> Floats:
    """Distances of all pairs [n, n]: the heat map of You et al. 2020 (Figure 3), zero on the diagonal."""
    distances = np.zeros((len(masks), len(masks)))
    for i, j in itertools.combinations(range(len(masks)), 2):
        distances[i, j] = distances[j, i] = distance(masks[i], masks[j])
    return distances


def first_calm(
    masks: Sequence[Mask], threshold: float, window: int, distance: Distance = mask_distance
) -> int | None:
    """Index of the first mask, of one an epoch, at which the last `window` distances from one mask to the next were all
    below `threshold` (You et al. 2020, section 3); None if there is none yet."""
    calm = 0
    for epoch, (before, now) in enumerate(itertools.pairwise(masks), start=1):
        calm = calm + 1 if distance(before, now) < threshold else 0
        if calm == window:
            return epoch
    return None


class EarlyBirds(Options):
    """The dense network's masks are taken as soon as they stand still (early-bird tickets: You et al. 2020, 3).

    At the end of every epoch, or every `every` iterations, and at the end of the training, the mask is made that
    pruning then would give. A level has the first one after `window` distances in a row, from one mask to the next,
    were all below `threshold`; if there is none, the last. A distance is the share of all weights in which two masks
    differ, so that at a density p none is above 2p: far down a ladder a threshold of 0.1 is no condition.
    """

    called: ClassVar[str] = EARLY_BIRD
    every: PositiveInt | None = None
    """Iterations from one mask to the next; left out, an epoch."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The distance that masks must stay below."""
    window: PositiveInt = 5
    """How many distances in a row."""

    def distance(self, before: Mask) -> Distance:
        """How far two masks that are pruned from `before` are apart."""
        return mask_distance

    def require(self, rule: PruneRule, recipe: Recipe) -> None:
        """Raise UserError where masks cannot be made of weights on their way."""
        if CRITERIA.facts(rule.criterion)["probe"]:
            raise UserError(
                f"{self.called} masks are made of weights while they train, which criterion '{rule.criterion}' cannot: "
                "it looks at the network and its data; expected another criterion"
            )
        if self.every is not None and self.every >= recipe.iterations:
            raise UserError(
                f"pruning.search.every is {self.every}, so that only the end would be seen: expected less than "
                f"recipe.iterations ({recipe.iterations})"
            )

    def points(self, recipe: Recipe, examples: int) -> list[int]:
        """Iterations at which masks are made, rising: of a network that trains on so many examples an epoch."""
        epoch = -(-examples // recipe.batch)
        return [*range(self.every or epoch, recipe.iterations, self.every or epoch), recipe.iterations]


class ShortRounds(EarlyBirds):
    """The ticket of the level before is pruned as soon as the next mask stands still: rounds cut short (after You et
    al. 2020, 3).

    Options and looks are those of early birds, and the weights of each round are looked at until its end, so that every
    ticket is trained whole and `found_iteration` tells how long its ladder needed that round. A distance is the share
    of the round's pruned weights that two masks exchange, so that a threshold means the same at every level.
    """

    called: ClassVar[str] = SHORT_ROUNDS

    def distance(self, before: Mask) -> Distance:
        return partial(exchanged, before=before)


@dataclass(frozen=True)
class Watch:
    """Which masks are made: the options, and the goals of levels `first` and those after it; what `train_stack`
    takes. Looked at are the starts that are `watched`. Where nothing else is wanted of the training, it `ends` as soon
    as all their masks stand still."""

    options: EarlyBirds
    goals: Sequence[Goal]
    first: int = 1
    ends: bool = False

    def describe(self) -> list[object]:
        """What a checkpoint must agree on."""
        asked = [self.options.model_dump(mode="json"), self.first, *(goal.describe() for goal in self.goals)]
        return [*asked, *(["ends"] if self.ends else [])]


class Watching:
    """Makes masks of the networks of a stack while they train, and keeps them, packed, until the end.

    That is as many bits as masks are made (points times levels) times the prunable weights, for each network.
    """

    def __init__(
        self, watch: Watch, stack: Stack, starts: Sequence[Start], recipe: Recipe, examples: int
    ) -> None:
        self.watch, self.stack, self.starts = watch, stack, starts
        self.points = [t for t in watch.options.points(recipe, examples) if t > stack.iteration]
        self.seen: list[list[list[dict[str, Tensor]]]] = [[[] for _ in watch.goals] for _ in starts]
        self.moving = {
            (r, level)
            for r, start in enumerate(starts)
            for level, _ in self._numbered(self.seen[r])
            if start.watched and watch.ends
        }
        """Networks and levels whose masks do not stand still yet, where that is asked."""

    def see(self, iteration: int) -> None:
        """Make the masks of this iteration, if it is one of the points. Made on the host: a sync point. A network
        whose weights are no longer finite gets no more."""
        if iteration not in self.points:
            return
        for r, (start, levels, weights) in enumerate(
            zip(self.starts, self.seen, self._weights(), strict=True)
        ):
            finite = all(bool(tensor.isfinite().all()) for tensor in weights.values())
            for level, (goal, masks) in self._numbered(levels):
                if not start.watched or not finite:
                    self.moving.discard((r, level))
                    continue
                # The stream that pruning breaks ties by, the same at every look: equal ties, equal masks.
                pruner = Pruner(goal.rule, goal.rates, start.seeds.stream("ties", level))
                counts = goal.reachable(start.mask, goal.counts)
                masks.append(pruner.to_counts(start.mask, start.state, weights, counts).pack())
                self._settle(r, level, masks[-self.watch.options.window - 1 :])

    def _settle(self, r: int, level: int, packed: Sequence[dict[str, Tensor]]) -> None:
        """Note it where these masks, the last ones, stand still."""
        if (r, level) in self.moving and self._calm(self.starts[r], packed) is not None:
            self.moving.discard((r, level))

    def still(self) -> bool:
        """Whether the training may end, since no later look changes a mask that is taken."""
        return self.watch.ends and not self.moving

    def birds(self) -> list[tuple[Bird, ...]]:
        """The tickets of each network, one a level; none of a network that was never finite."""
        return [
            tuple(self._bird(level, start, masks) for level, (_, masks) in self._numbered(levels) if masks)
            for start, levels in zip(self.starts, self.seen, strict=True)
        ]

    def tensors(self) -> dict[str, Tensor]:
        """The packed masks so far, for a checkpoint: [looks, bytes] each."""
        return {
            f"{r}.{index}.{name}": torch.stack([bits[name] for bits in masks])
            for r, levels in enumerate(self.seen)
            for index, masks in enumerate(levels)
            for name in (masks[0] if masks else ())
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        for key, stacked in tensors.items():
            r, index, name = key.split(".", 2)
            masks = self.seen[int(r)][int(index)]
            masks += [{} for _ in range(len(stacked) - len(masks))]
            for bits, packed in zip(masks, stacked, strict=True):
                bits[name] = packed
        for place, levels in enumerate(self.seen):
            for level, (_, looks) in self._numbered(levels):
                self._settle(place, level, looks)

    def _numbered(
        self, levels: Sequence[list[dict[str, Tensor]]]
    ) -> Iterator[tuple[int, tuple[Goal, list[dict[str, Tensor]]]]]:
        """Each level with its goal and the masks that were made for it."""
        return enumerate(zip(self.watch.goals, levels, strict=True), start=self.watch.first)

    def _weights(self) -> list[dict[str, Tensor]]:
        """The prunable weights of each network, on the CPU."""
        names = self.starts[0].mask
        whole = {name: self.stack.params[name].detach().cpu() for name in names}
        return [{name: tensor[r] for name, tensor in whole.items()} for r in range(self.stack.size)]

    def _calm(self, start: Start, packed: Sequence[dict[str, Tensor]]) -> int | None:
        """Index of the first of a network's masks that stands still."""
        masks = [Mask.unpack(bits, start.mask.shapes) for bits in packed]
        options = self.watch.options
        return first_calm(masks, options.threshold, options.window, options.distance(start.mask))

    def _bird(self, level: int, start: Start, packed: Sequence[dict[str, Tensor]]) -> Bird:
        masks = [Mask.unpack(bits, start.mask.shapes) for bits in packed]
        seen, drawn = tuple(self.points[: len(masks)]), self._calm(start, packed)
        chosen = len(masks) - 1 if drawn is None else drawn
        apart = distance_map(masks, self.watch.options.distance(start.mask))
        return Bird(level, masks[chosen], seen[chosen], drawn is not None, seen, apart)
