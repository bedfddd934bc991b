"""Rewinding: where on its way a network goes back to before it is trained again.

The state of iteration k is a copy of every parameter and buffer, taken while the dense network trains
(Frankle et al. 2019, arXiv 1903.01611, 2); k = 0 is the initial state (Frankle & Carbin 2019). A rewound
network has an empty optimizer, and its schedule and data order go on at k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tombola.errors import UserError
from tombola.models import State
from tombola.training import Trained

After = Literal["rewind", "learning-rate", "fine-tune"]

REWINDS: Mapping[After, str] = {
    "rewind": "weights and schedule go back to iteration pruning.rewind (Frankle & Carbin 2019; Frankle et al. 2019)",
    "learning-rate": "the schedule goes back, the weights stay trained (Renda et al. 2020)",
    "fine-tune": "trained on at the last learning rate, for as many iterations (Renda et al. 2020)",
}
"""What a ticket starts from once it is pruned."""


def check_rewind(iteration: int, iterations: int) -> None:
    """Raise UserError unless 0 <= iteration < iterations."""
    if not 0 <= iteration < iterations:
        raise UserError(
            f"pruning.rewind is iteration {iteration}, expected 0 or more and less than the recipe's {iterations}"
        )


def rewind_point(iteration: int, initial: State, dense: Trained) -> State:
    """The state that tickets go back to: `initial`, or the dense network's snapshot of `iteration`."""
    if iteration == 0:
        return initial
    assert dense.snapshot is not None, "the dense network was trained with snapshot_at=iteration"
    return dense.snapshot
