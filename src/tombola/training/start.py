"""What one network begins from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.seeds import Seeds


@dataclass(frozen=True)
class Start:
    """What one network begins from: its state at an absolute iteration, its mask, the streams it draws from.

    `dead` holds the values that masked weights keep (a parameter name -> tensor); absent ones are zero.
    """

    state: State
    mask: Mask
    seeds: Seeds
    level: int = 0
    iteration: int = 0
    dead: State = field(default_factory=dict)
    made: Mapping[str, Any] | None = None
    """How a route made it from other tickets, as JSON; None where it was drawn here."""

    watched: bool = True
    """Whether a watch of its stack looks at it."""

    @property
    def pinned(self) -> bool:
        """Whether a dead weight is frozen at another value than zero."""
        return any(bool((value[~self.mask[name]] != 0).any()) for name, value in self.dead.items())

    def masked_state(self) -> State:
        """The state that training really begins from: dead weights at their dead value."""
        import torch

        masked = self.mask.apply(self.state)
        for name, value in self.dead.items():
            masked[name] = torch.where(self.mask[name], self.state[name], value)
        return masked
