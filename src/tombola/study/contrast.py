"""The tickets of one run against those of another, over replicates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from tombola.lottery import TICKET
from tombola.study.expect import NEAR
from tombola.study.results import Claim, by_replicate, claimed

VALUE = "early_stop_test_accuracy"


def contrasts(runs: Mapping[str, pl.DataFrame]) -> list[Claim]:
    """One claim for each run (label -> results) but the first: its ticket against that of the first run, in test
    accuracy at early stop, at the sparsest density that both have.

    Replicate r of one is paired with replicate r of the other: runs of one seed share its initial weights, split and
    order. The level is fixed by that rule, not by looking for the largest difference.
    """
    (first, frame), *others = runs.items()
    ladder, found = _ladder(frame), list[Claim]()
    for label, other in others:
        pairs = _sparsest(ladder, _ladder(other))
        if pairs is not None:
            density, theirs, ours = pairs
            shared = sorted(theirs.keys() & ours.keys())
            sentence = f"{label} against {first}, ticket at {100 * density:.1f}%, test accuracy at early stop"
            found += claimed(sentence, [(theirs[r], ours[r]) for r in shared], "pp")
    return found


Rung = tuple[float, dict[int, float]]
"""A density, and the value of each replicate there."""


def _ladder(frame: pl.DataFrame) -> list[Rung]:
    """The ticket's levels below dense, sparsest first."""
    tickets = by_replicate(frame.filter((pl.col("arm") == TICKET) & (pl.col("level") > 0)), VALUE)
    levels = tickets.partition_by("level")
    rungs = [
        (math.fsum(level["density"]) / len(level), dict(level.select("replicate", VALUE).iter_rows()))
        for level in levels
    ]
    return sorted(rungs, key=lambda rung: rung[0])


def _sparsest(
    first: list[Rung], other: list[Rung]
) -> tuple[float, dict[int, float], dict[int, float]] | None:
    """The sparsest rung of the first ladder that the other has as well: density, the other's values, the first's."""
    for density, ours in first:
        for near, theirs in other:
            if abs(math.log(near / density)) <= math.log1p(NEAR):
                return density, theirs, ours
    return None
