"""What measures say of hypotheses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tombola.alignment.words import RAW
from tombola.analysis.comparison import exams_of, network_of
from tombola.analysis.decide import Answer
from tombola.analysis.subjects import subjects_of
from tombola.comparison.decisions import decide
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.pairs import compare
from tombola.errors import UserError, nearest
from tombola.runs.folder import Run
from tombola.stats.paired import together
from tombola.stats.permutation import Contrasted, Direction, opposites
from tombola.study.claims import Hypothesis


def measured(run: Run, claim: Hypothesis, level: int, data_dir: Path | None) -> Answer:
    """What a measure says of a hypothesis at a level: the decision over replicates of `compare.decide`."""
    at = claim.measure
    assert at is not None
    subjects = subjects_of(run, level=level, arms=claim.arms)
    measure = MEASURES[at.registered]
    pairs = compare(
        subjects,
        network=network_of([run], data_dir) if at.aligned != RAW or measure.wired else None,
        measures=[at.registered],
        alignments=[at.aligned],
        seed=run.study.seed,
        exam=exams_of([run], data_dir),
    ).filter(
        pl.col("measure") == at.name,
        pl.col("side").eq_missing(pl.lit(at.side)),
        pl.col("null").eq_missing(pl.lit(measure.null)),
    )
    layers = pairs["layer"].unique().to_list()
    if at.layer not in layers:
        raise UserError(f"measure '{at.name}' has no layer '{at.layer}'{nearest(at.layer, layers)}")
    pairs = pairs.filter(pl.col("layer") == at.layer)

    def decision(direction: Direction, margin: float) -> dict[str, Any]:
        rows = decide(pairs, subjects, [claim.arms], direction=direction, margin=margin, seed=run.study.seed)
        if rows.is_empty():
            raise UserError(f"no replicate has both arms at level {level}")
        return rows.row(0, named=True)

    row = decision(claim.direction, claim.margin)
    others = [decision(*other)["p"] for other in opposites(claim.direction, claim.margin)]
    found = Contrasted(**{name: row[name] for name in Contrasted.__dataclass_fields__})
    why = ""
    if found.p is None:
        pair = measure.subjects == 2 and row["replicates"] < 2
        why = (
            "pairs of tickets take two replicates"
            if pair
            else f"measure '{at.name}' has no value for some of them"
        )
    return Answer(found, row["replicates"], row["p_smallest"], why=why, p_opposite=together(others))
