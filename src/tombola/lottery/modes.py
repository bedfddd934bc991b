"""When masks are made, and what tickets start from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from tombola import parts
from tombola.errors import UserError
from tombola.training.search.bird import EARLY_BIRD, SHORT_ROUNDS

Mode = str
"""A name of MODES."""

MODES: Mapping[Mode, str] = {
    "iterative": "the ticket of the level before is pruned: Strategy 1 (Frankle & Carbin 2019, App. B)",
    "continued": "what is pruned is trained on and on and never reset: Strategy 2 (Frankle & Carbin 2019, App. B)",
    "one-shot": "the trained dense network is pruned once, to every level (Frankle & Carbin 2019, 2)",
    "at-init": "the untrained network is pruned once, to every level (Lee et al. 2019)",
    EARLY_BIRD: "the dense network is pruned once, to every level, when its masks stand still (You et al. 2020)",
    SHORT_ROUNDS: "the ticket of the level before is pruned when the next mask stands still (after You et al. 2020)",
    **{name: parts.facts("search", name) for name in parts.names("search")},
}
"""When masks are made, or the training that finds them."""

FROM_BELOW = ("iterative", "continued", SHORT_ROUNDS)
"""Modes in which the mask of a level is pruned from the ticket of the level before, or from what is trained on beside
it; in all others no level needs another, but all may need the dense network."""

After = Literal["rewind", "learning-rate", "fine-tune"]

REWINDS: Mapping[After, str] = {
    "rewind": "weights and schedule go back to iteration pruning.rewind (Frankle & Carbin 2019; Frankle et al. 2019)",
    "learning-rate": "the schedule goes back, the weights stay trained (Renda et al. 2020)",
    "fine-tune": "trained on at the last learning rate, for as many iterations (Renda et al. 2020)",
}
"""What a ticket starts from once it is pruned."""


def drawn_levels(mode: Mode, levels: int, asked: Collection[int] | None) -> list[int]:
    """The levels, of 0 to `levels`, that are drawn where tickets are `asked` for at some alone (None: at all)."""
    everything = asked is None or mode in FROM_BELOW
    return [level for level in range(levels + 1) if everything or not level or level in (asked or ())]


def check_rewind(iteration: int, iterations: int) -> None:
    """Raise UserError unless 0 <= iteration < iterations."""
    if not 0 <= iteration < iterations:
        raise UserError(
            f"pruning.rewind is iteration {iteration}, expected 0 or more and less than the recipe's {iterations}"
        )
