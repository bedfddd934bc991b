"""Two loops timed in turns, within a budget of seconds that is shared out among all that is to be measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MOST_ROUNDS = 7
LONGEST = 0.3
"""Seconds of one side of a round, unless a single step takes longer."""

Side = Callable[[int], float]
"""Takes so many steps; gives seconds a step."""


@dataclass
class Budget:
    """Seconds for a number of rows. What is left is shared out among those that are to come."""

    seconds: float
    rows: int
    begun: float
    done: int = 0
    lost: list[str] = field(default_factory=list)
    """What was left out, since the time was up."""

    @classmethod
    def of(cls, seconds: float, rows: int) -> Budget:
        """One that begins now."""
        return cls(seconds, rows, time.monotonic())

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.begun + self.seconds - time.monotonic()

    def share(self) -> float:
        """Seconds for the next row; 0 or less where the time is up."""
        return self.left / max(1, self.rows - self.done)

    def place(self) -> str:
        """How far it is, for the line that is printed when a row is done."""
        passed = round(time.monotonic() - self.begun)
        return f"[{self.done:2}/{self.rows}  {passed // 60}:{passed % 60:02} of {self.seconds / 60:.1f} min]"


def rounds(ours: Side, theirs: Side, seconds: float, each: int = 1) -> dict[str, Any]:
    """Microseconds of a step of both sides, and the median and spread of their ratio, theirs by ours.

    Rounds go A B A B ..., so that whatever else the machine does meets both alike, and a ratio is taken within one.
    A first step of each says how many rounds fit the seconds: at least one, and where a step takes longer than that, it
    is one of a single step. `ours` advances `each` networks a step and `theirs` one: seconds are per network.
    """
    first = [max(1e-7, side(1)) for side in (ours, theirs)]
    lasting = [first[0] * each, first[1]]  # on the clock
    room = seconds - sum(lasting)
    count = max(1, min(MOST_ROUNDS, int(room / (2 * max(lasting)))))
    long = min(LONGEST, room / (2 * count))
    steps = [max(1, int(long / one)) for one in lasting]
    pairs = [(ours(steps[0]), theirs(steps[1])) for _ in range(count)]
    ratios = sorted(b / a for a, b in pairs)
    this, baseline = (1e6 * statistics.median(side) for side in zip(*pairs, strict=True))
    spread = {"median": statistics.median(ratios), "low": ratios[0], "high": ratios[-1], "n": count}
    return {"this_us": this, "baseline_us": baseline, "ratio": spread}


def clocked(work: Callable[[int], object], clock: Callable[[], float]) -> Side:
    """A side whose seconds are those of a clock."""

    def seconds(steps: int) -> float:
        begin = clock()
        work(steps)
        return (clock() - begin) / steps

    return seconds
