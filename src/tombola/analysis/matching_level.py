"""The sparsest matching level: how far down the ladder tickets are as good as the dense network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from tombola.analysis.decide import densities_of, sides
from tombola.lottery.arms.catalog import TICKET
from tombola.seeds import stream
from tombola.stats.intervals import interval
from tombola.stats.paired import Test, paired, smallest
from tombola.stats.permutation import Contrasted, against
from tombola.study.claims import DENSE
from tombola.study.spec import Study

QUANTITY, MARGIN, ALPHA = "early_stop_test_accuracy", 0.002, 0.05
"""What is compared, and how much less than dense still matches, where no hypothesis of the study says so: Frankle et
al. 2020 (arXiv 1912.05671) call a subnetwork matching whose error is not 0.2 percentage points higher."""

ROUNDING = 1e-12
"""A difference of decimals that is the margin may miss it by this."""


@dataclass(frozen=True)
class Step:
    """One level of the ladder, held against dense over n replicates."""

    level: int
    density: float
    n: int
    found: Contrasted
    holds: bool


@dataclass(frozen=True)
class Matching:
    """The sparsest level at which tickets match the dense network in `quantity`, and how that was found.

    The rule: going down from the densest level, the ticket must not be worse than dense by more than `margin`, a
    one-sided test over replicates at `alpha`; the level before the first that fails is the answer, None where the first
    does. The order is fixed before the run, so testing in sequence errs with alpha over the whole ladder without a
    correction (Maurer et al. 1995). `density` is that level's.

    `of_replicate` has, for each replicate alone, the density of its sparsest level where its own difference is within
    the margin (1: none is); `typical` is their geometric mean with a 95% t-interval of the logarithms.
    """

    quantity: str
    margin: float
    alpha: float
    test: Test
    steps: tuple[Step, ...] = ()
    level: int | None = None
    density: float | None = None
    of_replicate: dict[int, float] | None = None
    typical: tuple[float, float | None, float | None] | None = None
    why: str = ""

    def table(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "of_replicate": {str(r): d for r, d in (self.of_replicate or {}).items()}}


def sparsest_match(frame: pl.DataFrame, study: Study) -> Matching:
    """How far down tickets match the dense network, by the rule of `Matching`.

    Quantity, margin, alpha and test are those of the study's first hypothesis that claims that the ticket is not less
    than dense by a margin; else test accuracy at early stop, 0.2 percentage points, 0.05 and sign-flip.
    """
    rule = next(
        (h for h in study.hypothesis if h.arms == (TICKET, DENSE) and h.direction == "greater" and h.margin),
        None,
    )
    blank = Matching(QUANTITY, MARGIN, ALPHA, "sign-flip")
    if rule is not None:
        blank = Matching(rule.quantity, rule.margin, rule.alpha, rule.test)
    densities = densities_of(frame)
    if len(densities) < 2:
        return replace(blank, why="no level below dense is done")
    steps, differences = list[Step](), dict[int, dict[int, float]]()
    for level in range(1, len(densities)):
        (ticket, dense), _ = sides(frame, blank.quantity, level, (TICKET, DENSE))
        both = sorted(ticket.keys() & dense.keys())
        if not both:
            break
        rng = stream(study.seed, "matching", level)
        values = [ticket[r] for r in both], [dense[r] for r in both]
        found = paired(*values, blank.test, "greater", blank.margin, rng)
        steps.append(
            Step(level, densities[level], len(both), found, found.p is not None and found.p <= blank.alpha)
        )
        differences[level] = {r: ticket[r] - dense[r] for r in both}
    if not steps:
        return replace(blank, why="no replicate has both a ticket and a dense network with a number")
    first_failing = next((index for index, step in enumerate(steps) if not step.holds), len(steps))
    last = steps[first_failing - 1] if first_failing else None
    most = max(step.n for step in steps)
    below = against(steps[0].found, "greater", blank.margin)
    few = not last and not below and smallest(blank.test, most, "greater") > blank.alpha
    of_replicate = {
        r: min(
            (
                densities[level]
                for level, d in differences.items()
                if d.get(r, -math.inf) >= -blank.margin - ROUNDING
            ),
            default=1.0,
        )
        for r in sorted({r for d in differences.values() for r in d})
    }
    return replace(
        blank,
        steps=tuple(steps),
        level=last.level if last else None,
        density=last.density if last else None,
        of_replicate=of_replicate,
        typical=_typical(list(of_replicate.values())),
        why="n too small for this alpha"
        if few
        else ""
        if last
        else "the first level below dense does not match already",
    )


def _typical(densities: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Geometric mean with the 95% t-interval of the logarithms, cut at the density of 1."""
    logs, n = np.log(densities), len(densities)
    mean = float(logs.mean())
    low, high = interval(mean, float(logs.std(ddof=1)) if n > 1 else None, n, (-math.inf, 0.0))
    return math.exp(mean), None if low is None else math.exp(low), None if high is None else math.exp(high)
