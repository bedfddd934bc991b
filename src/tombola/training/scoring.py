"""Loss and metric of every network of a stack on a set of examples, without a word to the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tombola.data.resident import Resident, chunks
from tombola.metrics import ACCURACY, Metric
from tombola.training.parallel import Ranks

Fetch = Callable[[int, int], tuple[Tensor, Tensor]]
"""Examples start..stop: x [G, n, *shape] and y [G, n], or targets [G, n, outputs], where G is the number of groups, or
1 if shared."""


class Classifiers(Protocol):
    """A stack of networks that can be scored: what `evaluate` needs of an engine."""

    @property
    def chunk(self) -> int:
        """Examples per forward pass."""

    @property
    def groups(self) -> Sequence[int] | Tensor:
        """The batch that each network sees."""

    def logits(self, x: Tensor) -> Tensor:
        """Logits in evaluation mode: [R, batch, classes]."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What a stack is measured on: a part of a data set, or for each group the `rows` of it, int64 [G, n]."""

    data: Resident
    part: Literal["train", "test"]
    rows: Tensor | None = None

    @property
    def count(self) -> int:
        """Examples that each network is measured on."""
        if self.rows is not None:
            return self.rows.shape[1]
        return self.data.n_train if self.part == "train" else self.data.n_test

    def fetch(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Normalised examples start..stop-1 of each group and their labels, see `Fetch`."""
        data = self.data
        if self.part == "test":
            assert self.rows is None, "the test set is measured whole"
            return data.test(start, stop)[None], data.test_y[None, start:stop]
        rows = torch.arange(data.n_train, device=data.device)[None] if self.rows is None else self.rows
        return data.train(rows[:, start:stop]), data.train_y[rows[:, start:stop]]


@dataclass(frozen=True)
class Score:
    """Mean loss and metric of each network, float64 [R], on the device: cross-entropy (nats) and accuracy (0..1); of
    targets that are numbers both are the mean squared error."""

    loss: Tensor
    metric: Tensor


@torch.no_grad()
def evaluate(
    engine: Classifiers,
    fetch: Fetch,
    count: int,
    metric: Metric = ACCURACY,
    ranks: Ranks | None = None,
) -> Score:
    """Score the stack on `count` examples.

    Sums run over examples, not over batches, so a last batch of another size weighs what it holds and a
    perfect classifier scores exactly 1.0. No network sees a batch of one. Of several processes each measures some
    batches, and what they find is added up in the same order.
    """
    losses, hits = dict[int, Tensor](), dict[int, Tensor]()
    pieces = chunks(count, engine.chunk)
    for number, (start, stop) in enumerate(pieces):
        if ranks and number % ranks.size != ranks.rank:
            continue
        x, y = fetch(start, stop)
        alone = stop - start == 1  # shown twice, since some networks take no batch of one
        logits = engine.logits(x.repeat_interleave(2, dim=1))[:, :1] if alone else engine.logits(x)
        targets = y if y.shape[0] == logits.shape[0] else _to_networks(engine, y, logits.shape[0])
        if metric.of_targets:
            losses[number] = (logits - targets).square().mean(2).sum(1, dtype=torch.float64)
            hits[number] = losses[number]
            continue
        each = F.cross_entropy(logits.flatten(0, 1), targets.reshape(-1), reduction="none")
        losses[number] = each.view(targets.shape).sum(1, dtype=torch.float64)
        hits[number] = (logits.argmax(-1) == targets).sum(1)
    if ranks:
        none = torch.zeros(len(engine.groups), dtype=torch.float64, device=ranks.device)
        lost, hit = (
            ranks.gathered(found, len(pieces), empty)
            for found, empty in ((losses, none), (hits, none if metric.of_targets else none.long()))
        )
    else:
        lost, hit = (torch.stack([*found.values()]) for found in (losses, hits))
    return Score(lost.sum(0) / count, hit.sum(0).double() / count)


def _to_networks(engine: Classifiers, y: Tensor, size: int) -> Tensor:
    """Labels by group [G, n, ...] -> by network [R, n, ...]."""
    if y.shape[0] == 1:
        return y.expand(size, *y.shape[1:])
    return y[torch.as_tensor(engine.groups, device=y.device)]
