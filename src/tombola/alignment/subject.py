"""What is compared: a ticket with its weights, by name, and where in a study it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tombola.alignment.words import Side
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.state import State

WeightsAt = Literal["start", "end", "dense start", "dense"]
DENSE: dict[Side, WeightsAt] = {"start": "dense start", "end": "dense"}
"""Which weights of the dense network stand beside the ticket's at a side."""
HELD: tuple[WeightsAt, ...] = ("start", "end", "dense start", "dense")
Array = NDArray[np.float64]
Signs = NDArray[np.int8]


@dataclass(frozen=True)
class Subject:
    """One ticket, or one network with a mask, to compare with others.

    `start` and `end` are whole states: where the ticket's training began and ended. `dense` is the trained
    dense network it was drawn from, `dense_start` that network where the ticket is rewound to: the values that
    pruned weights had. Any of them may be absent; what reads it then says so.
    """

    name: str
    """How the tables call it, e.g. `RUN:r0/L07/ticket/0`; unique among the subjects of a comparison."""
    mask: Mask
    start: State | None = None
    end: State | None = None
    dense: State | None = None
    replicate: str = ""
    """The independent repetition it comes from, unique over runs, e.g. `RUN:r0`."""
    arm: str = ""
    draw: int = 0
    density: float | None = None
    """The density of its level; that of the mask where none is given."""
    dense_start: State | None = None

    def __post_init__(self) -> None:
        for which in HELD:
            state = self._state(which) or {}
            for name, shape in self.mask.shapes.items() if self.holds(which) else ():
                if name not in state or tuple(state[name].shape) != shape:
                    found = f"shape {tuple(state[name].shape)}" if name in state else "nothing"
                    raise UserError(
                        f"{self.name}: its mask covers '{name}' of shape {shape}, its {which} weights hold {found}"
                    )

    @property
    def level_density(self) -> float:
        """The density that decides which subjects stand at the same level."""
        return self.mask.density() if self.density is None else self.density

    def holds(self, which: WeightsAt) -> bool:
        """Whether it has these weights."""
        return self._state(which) is not None

    def weights(self, which: WeightsAt) -> State:
        """Its start or end state, or the dense network's. Raises UserError where it has none."""
        state = self._state(which)
        if state is None:
            raise UserError(f"{self.name} holds no {which} weights, which this comparison reads")
        return state

    def signs(self, side: Side) -> dict[str, Signs]:
        """Weight name -> m * sign(w): 1, -1, or 0 where the weight is dead (or exactly zero); to read only."""
        self.weights(side)  # says so where there are none
        return dict(self._start_signs if side == "start" else self._end_signs)

    def values(self, which: WeightsAt) -> dict[str, Array]:
        """Weight name -> its values, dead or alive, as an array."""
        state = self.weights(which)
        return {name: state[name].double().numpy() for name in self.mask}

    def living(self) -> dict[str, NDArray[np.bool_]]:
        """Weight name -> its mask as an array, which cannot be written to."""
        return dict(self._living)

    def changed(self, change: Callable[[Mapping[str, torch.Tensor]], State]) -> Subject:
        """A copy whose mask and states went through the same function of tensors by name."""

        def new(state: State | None) -> State | None:
            return None if state is None else change(state)

        return replace(self, mask=Mask(change(self.mask))).with_states(new)

    def with_states(self, change: Callable[[State | None], State | None]) -> Subject:
        """A copy with each of its states changed."""
        return replace(
            self,
            start=change(self.start),
            end=change(self.end),
            dense=change(self.dense),
            dense_start=change(self.dense_start),
        )

    @cached_property
    def _start_signs(self) -> dict[str, Signs]:
        return self._signs_of(self.weights("start"))

    @cached_property
    def _end_signs(self) -> dict[str, Signs]:
        return self._signs_of(self.weights("end"))

    def _signs_of(self, state: State) -> dict[str, Signs]:
        arrays = {
            name: (torch.sign(state[name]) * living).to(torch.int8).numpy()
            for name, living in self.mask.items()
        }
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    @cached_property
    def _living(self) -> dict[str, NDArray[np.bool_]]:
        """Read once: every measure of every null asks for it."""
        arrays = {name: living.numpy() for name, living in self.mask.items()}
        for array in arrays.values():
            array.flags.writeable = False
        return arrays

    def _state(self, which: WeightsAt) -> State | None:
        return {
            "start": self.start,
            "end": self.end,
            "dense start": self.dense_start,
            "dense": self.dense,
        }[which]
