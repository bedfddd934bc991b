"""Early-bird tickets: the masks that pruning a dense network would give, made again and again while it trains.

The training stays what it is: its weights are read between two steps (You et al. 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

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
from tombola.training.search.bird import Bird
from tombola.training.search.options import Options
from tombola.training.stack import Stack
from tombola.training.start import Start


def mask_distance(first: Mask, second: Mask) -> float:
    """Normalised Hamming distance: the share of all weights, 0..1, that live in one mask only."""
    return (first ^ second).count() / max(first.size(), 1)


def distance_map(masks: Sequence[Mask]) -> Floats:
    """Distances of all pairs [n, n]: the heat map of You et al. 2020 (Figure 3), zero on the diagonal."""
    distances = np.zeros((len(masks), len(masks)))
    for i, j in itertools.combinations(range(len(masks)), 2):
        distances[i, j] = distances[j, i] = mask_distance(masks[i], masks[j])
    return distances


def first_calm(masks: Sequence[Mask], threshold: float, window: int) -> int | None:
    """Index of the first mask, of one an epoch, at which the last `window` distances from one mask to the next were all
    below `threshold` (You et al. 2020, section 3); None if there is none yet."""
    calm = 0
    for epoch, (before, now) in enumerate(itertools.pairwise(masks), start=1):
        calm = calm + 1 if mask_distance(before, now) < threshold else 0
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

    every: PositiveInt | None = None
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.1
    window: PositiveInt = 5

    def require(self, rule: PruneRule, recipe: Recipe) -> None:
        """Raise UserError where masks cannot be made of weights on their way."""
        if CRITERIA.facts(rule.criterion)["probe"]:
            raise UserError(
                f"early-bird masks are made of weights while they train, which criterion '{rule.criterion}' cannot: it "
                "looks at the network and its data; expected another criterion"
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


@dataclass(frozen=True)
class Watch:
    """Which masks are made: the options, and the goals of levels 1, 2, ...; what `train_stack` takes."""

    options: EarlyBirds
    goals: Sequence[Goal]

    def describe(self) -> list[object]:
        """What a checkpoint must agree on."""
        return [self.options.model_dump(mode="json"), *(goal.describe() for goal in self.goals)]


class Watching:
    """Makes masks of the networks of a stack while they train, and keeps them, packed, until the end.

    That is as many bits as masks are made (points times levels) times the prunable weights, for each network.
    """

    def __init__(
        self, watch: Watch, stack: Stack, starts: Sequence[Start], recipe: Recipe, examples: int
    ) -> None:
        self.watch, self.stack, self.starts = watch, stack, starts
        self.points = watch.options.points(recipe, examples)
        self.seen: list[list[list[dict[str, Tensor]]]] = [[[] for _ in watch.goals] for _ in starts]

    def see(self, iteration: int) -> None:
        """Make the masks of this iteration, if it is one of the points. Made on the host: a sync point. A network
        whose weights are no longer finite gets no more."""
        if iteration not in self.points:
            return
        for start, levels, weights in zip(self.starts, self.seen, self._weights(), strict=True):
            if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
                continue
            for level, (goal, masks) in enumerate(zip(self.watch.goals, levels, strict=True), start=1):
                # The stream that one-shot pruning breaks ties by, the same at every look: equal ties, equal masks.
                ties = start.seeds.stream("ties", level)
                dense = goal.dense(start.state)
                mask = Pruner(goal.rule, goal.rates, ties).to_counts(dense, start.state, weights, goal.counts)
                masks.append(mask.pack())

    def birds(self) -> list[tuple[Bird, ...]]:
        """The tickets of each network, one a level; none of a network that was never finite."""
        return [
            tuple(self._bird(level, start, masks) for level, masks in enumerate(levels, start=1) if masks)
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

    def _weights(self) -> list[dict[str, Tensor]]:
        """The prunable weights of each network, on the CPU."""
        names = self.starts[0].mask
        whole = {name: self.stack.params[name].detach().cpu() for name in names}
        return [{name: tensor[r] for name, tensor in whole.items()} for r in range(self.stack.size)]

    def _bird(self, level: int, start: Start, packed: Sequence[dict[str, Tensor]]) -> Bird:
        masks = [Mask.unpack(bits, start.mask.shapes) for bits in packed]
        options, seen = self.watch.options, tuple(self.points[: len(masks)])
        drawn = first_calm(masks, options.threshold, options.window)
        chosen = len(masks) - 1 if drawn is None else drawn
        return Bird(level, masks[chosen], seen[chosen], drawn is not None, seen, distance_map(masks))
