"""The sparsest matching level: how far down the ladder tickets are as good as the dense network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from tombola.analysis.verdicts.decide import densities_of
from tombola.analysis.verdicts.outcomes import Side, compared, shared, side
from tombola.lottery.arms.catalog import TICKET
from tombola.metrics import ACCURACY, METRICS
from tombola.seeds import stream
from tombola.stats.intervals import interval
from tombola.stats.paired import Test, smallest
from tombola.stats.permutation import Contrasted, Direction, against
from tombola.study.claims import DENSE
from tombola.study.spec import Study

QUANTITY, MARGIN, ALPHA = "early_stop_test_accuracy", 0.002, 0.05
"""What is compared, and how much less than dense still matches, where no hypothesis of the study says so: Frankle et
al. 2020 (arXiv 1912.05671) call a subnetwork matching whose error is not 0.2 percentage points higher."""

ROUNDING = 1e-12
"""A difference of decimals that is the margin may miss it by this."""


@dataclass(frozen=True)
class Step:
    """One level of the ladder, held against dense over n replicates, `collapsed` of which have no ticket there that
    could be trained: those do not match, and neither does the level."""

    level: int
    density: float | None
    """None where no replicate has a ticket there."""
    n: int
    collapsed: int
    found: Contrasted
    holds: bool


@dataclass(frozen=True)
class Matching:
    """The sparsest level at which tickets match the dense network in `quantity`, and how that was found.

    The rule: going down from the densest level, the ticket must not be worse than dense by more than `margin`, a
    one-sided test over replicates at `alpha`; a level at which a ticket collapsed fails. The level before the first
    that fails is the answer, None where the first does; `at_end` where none fails, so that it is the last of the
    ladder and a sparser one might match as well. The order is fixed before the run, so testing in sequence errs with
    alpha over the whole ladder without a correction (Maurer et al. 1995). `density` and `n` are that level's, `n`
    that of the first where it fails.

    `of_replicate` has, for each replicate alone, the density of the level before the first at which its own
    difference is not within the margin (1: the first is not); `open_ended` are those whose ladder ends before one.
    `typical` is their geometric mean with a 95% t-interval of the logarithms, which there is not where any is
    open-ended.
    """

    quantity: str
    margin: float
    alpha: float
    test: Test
    steps: tuple[Step, ...] = ()
    level: int | None = None
    density: float | None = None
    n: int = 0
    at_end: bool = False
    of_replicate: dict[int, float] | None = None
    open_ended: tuple[int, ...] = ()
    typical: tuple[float, float | None, float | None] | None = None
    why: str = ""
    direction: Direction = "greater"
    """That the ticket is not below dense by the margin, or (`less`) not above."""

    def table(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "of_replicate": {str(r): d for r, d in (self.of_replicate or {}).items()}}


def sparsest_match(frame: pl.DataFrame, study: Study) -> Matching:
    """How far down tickets match the dense network, by the rule of `Matching`.

    Quantity, margin, alpha and test are those of the study's first hypothesis that claims that the ticket is not less
    than dense by a margin; else test accuracy at early stop, 0.2 percentage points, 0.05 and sign-flip. By a metric of
    which less is better, the hypothesis that it is not more; there is no margin without one.
    """
    metric = METRICS[study.recipe.metric]
    direction: Direction = "greater" if metric.more_is_better else "less"
    rule = next(
        (h for h in study.hypothesis if h.arms == (TICKET, DENSE) and h.direction == direction and h.margin),
        None,
    )
    blank = Matching(QUANTITY, MARGIN, ALPHA, "sign-flip")
    if rule is not None:
        blank = Matching(rule.quantity, rule.margin, rule.alpha, rule.test, direction=direction)
    elif metric is not ACCURACY:
        said = f"no hypothesis says how much more {metric.noun} than dense still matches"
        return Matching(metric.early_stop, 0.0, ALPHA, "sign-flip", direction=direction, why=said)
    densities = densities_of(frame)
    # One more than have tickets, where all ladders ended before it.
    last = len(densities) - (not _ended(frame, study, len(densities)))
    if last < 1:
        return replace(blank, why="no level below dense is done")
    dense = side(frame, blank.quantity, 0, DENSE)
    tickets = [_tickets(frame, study, blank.quantity, level) for level in range(1, last + 1)]
    steps = list[Step]()
    for level, ticket in enumerate(tickets, start=1):
        step = _step(level, densities[level] if level < len(densities) else None, ticket, dense, blank, study)
        if step is None:
            break
        steps.append(step)
    if not steps:
        return replace(blank, why="no replicate has both a ticket and a dense network with a number")
    first_failing = next((index for index, step in enumerate(steps) if not step.holds), len(steps))
    found = steps[max(first_failing - 1, 0)]
    alone = {r: _alone(r, tickets, dense, densities, blank) for r in sorted(dense.values)}
    each = {r: answer for r, answer in alone.items() if answer is not None}
    blank = replace(
        blank,
        steps=tuple(steps),
        n=found.n,
        of_replicate={r: density for r, (density, _) in each.items()},
        open_ended=tuple(r for r, (_, is_open) in each.items() if is_open),
        typical=_typical([density for density, _ in each.values()], any(o for _, o in each.values())),
    )
    if first_failing:
        return replace(blank, level=found.level, density=found.density, at_end=first_failing == len(steps))
    failed = found.collapsed or against(found.found, blank.direction, blank.margin)
    few = not failed and smallest(blank.test, found.n, blank.direction) > blank.alpha
    why = "n too small for this alpha" if few else "the first level below dense does not match already"
    return replace(blank, why=why)


def _tickets(frame: pl.DataFrame, study: Study, quantity: str, level: int) -> Side:
    """The tickets of a level; with those that failed the replicates that have none, since the search for it did, or
    since what is pruned did at the level before."""
    found = side(frame, quantity, level, TICKET)
    return replace(found, failed=found.failed | (_ended(frame, study, level) - found.values.keys()))


def _ended(frame: pl.DataFrame, study: Study, level: int) -> frozenset[int]:
    """The replicates whose ladder ended before their ticket of a level."""
    # A ticket that failed has failed at its own level.
    pruned = [arm for arm in study.pruned_arms if arm != TICKET]
    before = pl.col("arm").is_in(pruned) & (pl.col("level") == level - 1)
    search = (pl.col("arm") == (study.search_arm or "")) & (pl.col("level") == level)
    lost = frame.filter((pl.col("status") != "ok") & (before | search))["replicate"]
    return frozenset(lost if 0 < level <= study.levels else ())


def _step(
    level: int, density: float | None, ticket: Side, dense: Side, rule: Matching, study: Study
) -> Step | None:
    """The test of a level; None where no replicate has come to it."""
    both, collapsed = shared([ticket, dense]), len(ticket.failed & set(dense.values))
    if not both and not collapsed:
        return None
    found = Contrasted()
    if both:

        def ways() -> np.random.Generator:
            return stream(study.seed, "matching", level)

        found = compared([ticket, dense], rule.test, rule.direction, rule.margin, ways).found
    holds = not collapsed and found.p is not None and found.p <= rule.alpha
    return Step(level, density, len(both) + collapsed, collapsed, found, holds)


def _alone(
    replicate: int, tickets: Sequence[Side], dense: Side, densities: Sequence[float], rule: Matching
) -> tuple[float, bool] | None:
    """The density before the first level at which a replicate's own ticket does not match, and whether its ladder ended
    before one; None where it has no ticket to be held against dense."""
    last = 1.0
    for level, ticket in enumerate(tickets, start=1):
        if replicate in ticket.failed:
            return last, False
        if replicate not in ticket.values:
            return None if level == 1 else (last, True)
        more = ticket.values[replicate] - dense.values[replicate]
        if (more if rule.direction == "greater" else -more) < -rule.margin - ROUNDING:
            return last, False
        last = densities[level]
    return last, True


def _typical(densities: Sequence[float], open_ended: bool) -> tuple[float, float | None, float | None] | None:
    """Geometric mean with the 95% t-interval of the logarithms, cut at the density of 1; of densities of which some are
    only at most what they are, the mean alone."""
    if not densities:
        return None
    logs, n = np.log(densities), len(densities)
    mean = float(logs.mean())
    if open_ended:
        return math.exp(mean), None, None
    low, high = interval(mean, float(logs.std(ddof=1)) if n > 1 else None, n, (-math.inf, 0.0))
    return math.exp(mean), None if low is None else math.exp(low), None if high is None else math.exp(high)
