"""Loss and accuracy of every network of a stack on a set of examples, without a word to the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tombola.training.engines import Engine

Fetch = Callable[[int, int], tuple[Tensor, Tensor]]
"""Examples start..stop: x [G, n, *shape] and y [G, n], where G is the number of groups, or 1 if shared."""


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and accuracy (0..1) of each network: float64 [R], on the device."""

    loss: Tensor
    accuracy: Tensor


@torch.no_grad()
def evaluate(engine: Engine, fetch: Fetch, count: int) -> Score:
    """Score the stack on `count` examples.

    Sums run over examples, not over batches, so a last batch of another size weighs what it holds and a
    perfect classifier scores exactly 1.0.
    """
    losses, hits = [], []
    for start in range(0, count, engine.chunk):
        x, y = fetch(start, min(start + engine.chunk, count))
        logits = engine.logits(x)
        targets = y if y.shape[0] == logits.shape[0] else _to_networks(engine, y, logits.shape[0])
        each = F.cross_entropy(logits.flatten(0, 1), targets.reshape(-1), reduction="none")
        losses.append(each.view(targets.shape).sum(1, dtype=torch.float64))
        hits.append((logits.argmax(-1) == targets).sum(1))
    return Score(torch.stack(losses).sum(0) / count, torch.stack(hits).sum(0).double() / count)


def _to_networks(engine: Engine, y: Tensor, size: int) -> Tensor:
    """Labels by group [G, n] -> by network [R, n]."""
    if y.shape[0] == 1:
        return y.expand(size, -1)
    return y[torch.as_tensor(engine.groups, device=y.device)]
