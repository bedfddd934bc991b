"""One trained network, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tombola.masks.mask import Mask
from tombola.metrics import ACCURACY
from tombola.models.state import State
from tombola.training.search.bird import Bird

NUMBERS = (
    "early_stop_iteration",
    "early_stop_val_loss",
    "early_stop_test_accuracy",
    "final_test_accuracy",
    "final_train_accuracy",
    "iterations",
)
"""The numbers of a trained network, as its cell and its ticket keep them."""


def numbers_of(each: Any) -> dict[str, Any]:
    """Name -> value of the numbers of whatever has them and `measured`: by another metric than accuracy, those in the
    place of accuracies."""
    if each.measured is None:
        return {name: getattr(each, name) for name in NUMBERS}
    found = {name: getattr(each, name) for name in NUMBERS if name not in ACCURACY.columns}
    return {**found, **each.measured}


@dataclass(frozen=True)
class Trained:
    """One trained network.

    `end` and `best` are whole states (best: at the early stop). `history` has one list per column:
    iteration, split, loss, accuracy. `snapshot` is the state at the iteration that was asked for, if any.
    By another metric than accuracy the accuracies are None, and the numbers `measured`: as it is called, at early stop,
    and at the end on test and training set, by the names of the metric's columns.
    A network with non-finite weights or validation loss at the end has `diverged`; it may have no early stop, and
    then the three numbers of the early stop are None, and `best` is its start. `mask` is the result of a search:
    the mask of `end`; `best` may have had another one. `birds` are the early-bird tickets, one a level, where the
    training was watched for them.
    """

    end: State
    best: State
    snapshot: State | None
    history: dict[str, list[Any]]
    early_stop_iteration: int | None
    early_stop_val_loss: float | None
    early_stop_test_accuracy: float | None
    final_test_accuracy: float | None
    final_train_accuracy: float | None
    iterations: int
    diverged: bool
    measured: Mapping[str, float | None] | None = None
    mask: Mask | None = None
    birds: tuple[Bird, ...] = ()

    @property
    def stops_at_end(self) -> bool:
        """Whether the early stop is the last evaluation: the least validation loss may lie beyond the end."""
        return bool(self.early_stop_iteration == max(self.history["iteration"]))
