"""Studies without a training: frames of results made of numbers, for tests of what is decided from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tombola.analysis.verdicts.decide import decided
from tombola.analysis.verdicts.verdict import Verdict
from tombola.runs.results import SCHEMA
from tombola.study.spec import Study

ACCURACY = "early_stop_test_accuracy"
DENSITIES = [1.0, 0.8, 0.64, 0.512]
"""Of the levels 0 to 3."""
Place = tuple[int, str]
"""A level and an arm."""


def claim(name: str = "claim", **changes: Any) -> dict[str, Any]:
    """A [[hypothesis]] table: the ticket is more accurate than reinit at 51.2%, by sign-flip."""
    table = {
        "name": name,
        "claim": f"What {name} says.",
        "quantity": ACCURACY,
        "arms": ["ticket", "reinit"],
        "densities": [0.512],
        "direction": "greater",
    }
    return {**table, **changes}


def study_of(*claims: Mapping[str, Any], replicates: int = 5, **changes: Any) -> Study:
    """A study with these hypotheses, arms reinit and random-mask, and levels 0 to 3."""
    table: dict[str, Any] = {
        "name": "simulated",
        "model": {"name": "lenet-8-6"},
        "data": {"name": "digits"},
        "replicates": replicates,
        "levels": 3,
        "arms": [{"name": "reinit", "draws": 3}, {"name": "random-mask"}],
        "hypothesis": list(claims),
    }
    return Study.model_validate({**table, **changes})


def row(replicate: int, place: Place, draw: int = 0, status: str = "ok", **values: Any) -> dict[str, Any]:
    """One row of the results."""
    level, arm = place
    own = {"replicate": replicate, "level": level, "arm": arm, "draw": draw, "status": status}
    return {**dict.fromkeys(SCHEMA), **own, "density": DENSITIES[level], **values}


def frame_of(values: Mapping[Place, Sequence[float | None]], quantity: str = ACCURACY) -> pl.DataFrame:
    """Results with one draw an arm; a None is a cell that diverged."""
    rows = [
        row(r, place, 0, "diverged" if value is None else "ok", **{quantity: value})
        for place, column in values.items()
        for r, value in enumerate(column)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def decide_all(study: Study, frame: pl.DataFrame, densities: Sequence[float] = DENSITIES) -> list[Verdict]:
    """The verdicts on results alone."""
    return decided(study, frame, densities, _no_measure)


def normal_pair(rng: np.random.Generator, n: int, effect: float = 0.0) -> dict[Place, list[float | None]]:
    """Ticket and reinit at level 3: a common part of each replicate, and differences of mean `effect` deviations."""
    common, differences = rng.normal(0.9, 0.05, n), 0.01 * (rng.standard_normal(n) + effect)
    return {(3, "ticket"): list(common + differences), (3, "reinit"): list(common)}


def _no_measure(*_: object) -> Verdict:
    raise AssertionError("no measure is asked for")
