"""What a study comes to, and what its tickets share: the answer in sentences, and the decisions under an alignment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from tombola.alignment.words import RAW, WHOLE
from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import sentences
from tombola.analysis.verdicts.share import ALIGNMENT, CONTROLS, FAMILIES, in_words
from tombola.report.paper.document import Block, Grid, Heading, Items, paragraph
from tombola.report.paper.material import Material
from tombola.text import counted, listed, percent

HELD_OUT = (
    "Units are matched by dense networks, and each tensor is measured under a matching that has not read it: tickets "
    "are the large weights of their dense networks, and a matching that had read them would lay noise on noise. "
)
AS_THEY_COME = "Units are compared as they come, so that what is shared in another order is not seen. "
LESS = (
    "Rewired masks keep the degrees of every unit, also of inputs that all networks prefer, and share these; where "
    "inputs are uneven this control can err against the ticket, so that “less” than rewired masks is no finding."
)


def answer(m: Material) -> list[Block]:
    """The questions with their answers, before anything else; none where no hypothesis answers one."""
    found = sentences(m.verdicts.verdicts) if m.verdicts else []
    if not found:
        return []
    items = tuple((" ".join(filter(None, (each.asked, each.said, each.more))),) for each in found)
    return [Heading("Answer"), Items(items, numbered=True)]


def decisions_table(m: Material) -> list[Block]:
    """Tickets against their controls at every density, layer by layer, under the matching that is held out where there
    is one; none where nothing was compared."""
    if m.decisions is None:
        return []
    frame = m.decisions.filter(
        pl.col("measure").is_in(list(FAMILIES.values())), pl.col("difference").is_finite()
    )
    frame = frame.filter(aligned=ALIGNMENT if ALIGNMENT in frame["aligned"] else RAW)
    masks, signs = pl.col("side").is_null(), pl.col("side") == "start"
    controls = [arm for arm in CONTROLS if arm in frame["arm_b"]] or sorted(set(frame["arm_b"]))
    frame = frame.filter(masks | signs, pl.col("arm_b").is_in(controls))
    if frame.is_empty():
        return []
    whole = (pl.col("layer") != WHOLE).alias("part")
    rank = pl.col("arm_b").replace_strict({arm: i for i, arm in enumerate(controls)}, return_dtype=pl.Int64)
    frame = frame.sort("measure", pl.col("density").neg(), rank, whole, maintain_order=True)
    aligned = frame["aligned"][0] != RAW
    densities = [percent(each) for each in frame["density"].unique().sort(descending=True)]
    said = (
        f"{_reading(frame)} {HELD_OUT if aligned else AS_THEY_COME}The one decision that was declared beforehand has a "
        f"corrected p; the others describe, and among so many some are bound to be small by chance. "
        f"{LESS if 'rewire' in controls else ''}"
    )
    caption = (
        f"Tickets less controls at {listed(densities)}: Jaccard index of masks and agreement of signs at the start, "
        "each beyond chance; difference with its 95% interval (a U-statistic over replicates), p by swapping "
        "replicates.",
    )
    head = (
        "measure",
        "density",
        "against",
        "layer",
        "difference [95% interval]",
        "n",
        "p",
        "p (Holm)",
        "decision",
    )
    return [
        paragraph(said.strip()),
        Grid(head, tuple(map(_row, frame.iter_rows(named=True))), caption, left=4),
    ]


def _reading(frame: pl.DataFrame) -> str:
    """What the table says at once: how many of its decisions are a yes."""
    yes = sum(in_words(row) == "yes" for row in frame.iter_rows(named=True) if "verdict" in row)
    return f"Of {counted(len(frame), 'comparison')} of tickets with controls, {yes} say that tickets are more alike."


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    difference = f"{row['difference']:+z.4f}"
    if _finite(row["low"]) and _finite(row["high"]):
        difference += f" [{row['low']:+.4f}, {row['high']:+.4f}]"
    return (
        row["measure"].replace("-", " "),
        percent(row["density"]),
        row["arm_b"],
        "all" if row["layer"] == WHOLE else row["layer"].removesuffix(".weight"),
        difference,
        str(row["replicates"]),
        _p(row["p"]),
        _p(row["p_holm"]),
        in_words(row),
    )


def _p(value: float | None) -> str:
    return wording.small(value) if value is not None and math.isfinite(value) else "–"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
