"""Which examples a step sees: an endless walk through the training split, shuffled anew each epoch.

Batches do not stop at the end of an epoch: the walk goes on into the next one, so every batch is full and
every example is seen once an epoch. Any iteration can be computed without those before it, which is what
makes rewinding and resuming exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tombola.data.split import Split, split
from tombola.errors import UserError
from tombola.seeds import Seeds
from tombola.training.start import Start


@dataclass(frozen=True)
class Group:
    """Networks that see the same batches: one replicate at one level."""

    seeds: Seeds
    level: int
    split: Split


def groups_of(
    starts: Sequence[Start], n_train: int, validation: int | float
) -> tuple[list[Group], list[int]]:
    """The groups of a stack in order of appearance, and which of them each network belongs to."""
    known: dict[tuple[Seeds, int], int] = {}
    groups: list[Group] = []
    for start in starts:
        name = (start.seeds, start.level)
        if name not in known:
            known[name] = len(groups)
            parts = split(n_train, validation, start.seeds.stream("split"))
            groups.append(Group(start.seeds, start.level, parts))
    return groups, [known[start.seeds, start.level] for start in starts]


class Batches:
    """The batches of G groups, as indices into the training set on the device.

    `at(t)` is int64 [G, batch]. Only whole epochs travel to the device, one upload each.
    Raises UserError when a batch is larger than the training split.
    """

    def __init__(self, groups: Sequence[Group], batch: int, device: torch.device) -> None:
        self.groups, self.batch, self.device = groups, batch, device
        self.length = len(groups[0].split.train)
        if batch > self.length:
            raise UserError(f"recipe.batch is {batch}, but only {self.length} training examples are left")
        self._epochs: dict[int, Tensor] = {}

    def at(self, iteration: int) -> Tensor:
        """Indices of the batch that step `iteration` trains on, int64 [G, batch]."""
        return self.between(iteration, iteration + 1)[:, 0]

    def between(self, start: int, stop: int) -> Tensor:
        """Indices of the batches of steps start, ..., stop - 1, int64 [G, steps, batch]."""
        first, last = start * self.batch, stop * self.batch
        epochs = range(first // self.length, (last - 1) // self.length + 1)
        orders = [self._epoch(epoch) for epoch in epochs]
        walk = orders[0] if len(orders) == 1 else torch.cat(orders, dim=1)
        skipped = epochs.start * self.length
        return walk[:, first - skipped : last - skipped].reshape(-1, stop - start, self.batch)

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            # An epoch is never asked for again once the next one has begun.
            self._epochs = {e: order for e, order in self._epochs.items() if e == epoch - 1}
            orders = [g.seeds.stream("order", g.level, epoch).permutation(g.split.train) for g in self.groups]
            self._epochs[epoch] = torch.from_numpy(np.stack(orders)).to(self.device, non_blocking=True)
        return self._epochs[epoch]
