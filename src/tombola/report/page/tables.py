"""The tables of the page as rows of text: every arm at every level, the layers of the tickets, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tombola.analysis.verdicts import wording
from tombola.analysis.verdicts.answers import Sentence, by_family, families, sentences
from tombola.analysis.verdicts.of_run import verdicts_of
from tombola.analysis.verdicts.published import Checked
from tombola.analysis.verdicts.verdict import Verdict
from tombola.models.scope import Scope
from tombola.report.figures.style import arm_styles
from tombola.report.tables import Tables
from tombola.runs.folder import Run
from tombola.runs.stops import ends, marked
from tombola.stats.verdict import CLOSE, NO, UNRESOLVED, UNTESTED, YES
from tombola.text import duration, percent, size, ticket_first, with_interval

LEVELS = ("early_stop_test", "final_test", "early_stop_iteration")
"""What each arm at each level is told by: its metric at early stop and at the end, and when that was."""
COLUMNS = 5
"""Levels in the table of layers: the first below dense, the last, and those spread evenly between them."""
NETWORK = "whole network"


@dataclass(frozen=True)
class Ledger:
    """A table of text: its heads, its rows, and a caption; `title` is the run's label where there are several."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


def level_rows(tables: Tables) -> list[dict[str, str]]:
    """One row for each arm (of each run) at each level, formatted; a value that is not known is left out. An early stop
    is marked where some of its trainings stopped at the end, see `runs.stops`."""
    runs = list(tables.runs)
    at_end = {label: ends(each.results) for label, each in (tables.runs or {"": tables}).items()}
    cells: dict[tuple[int, int, str], dict[str, str]] = {}
    metric = tables.metric
    for value, key in zip(
        (metric.early_stop, metric.final_test, "early_stop_iteration"), LEVELS, strict=True
    ):
        scale, digits = (1.0, 0) if key == "early_stop_iteration" else (metric.scale, metric.digits)
        frame = tables.summaries.get(value, pl.DataFrame())
        for row in frame.iter_rows(named=True):
            run = {"run": row["run"]} if runs else {}
            place = cells.setdefault(
                (row["level"], runs.index(row["run"]) if runs else 0, row["arm"]),
                {
                    **run,
                    "level": str(row["level"]),
                    "arm": row["arm"],
                    "density": percent(row["density"]),
                    "n": str(row["n"]),
                },
            )
            shown = with_interval(row, scale, digits)
            count = at_end[row["run"] if runs else ""].get((row["arm"], row["level"]))
            place[key] = marked(shown, count) if key == "early_stop_iteration" else shown
    order = sorted(cells, key=lambda key: (*key[:2], ticket_first(key[2])))
    return [cells[key] for key in order]


def layer_ledgers(tables: Tables) -> list[Ledger]:
    """What remains of each layer in the tickets at a few levels, a table a run; none where no ticket is done."""
    found = [(label, each.layers, each.scope) for label, each in (tables.runs or {"": tables}).items()]
    return [
        _layers(label, frame, scope)
        for label, frame, scope in found
        if frame is not None and not frame.is_empty()
    ]


def _layers(label: str, frame: pl.DataFrame, scope: Scope | None) -> Ledger:
    whole = frame.group_by("level", maintain_order=True).agg(
        pl.lit(NETWORK).alias("layer"), pl.col("weights").sum(), pl.col("kept").sum()
    )
    frame = pl.concat([frame, whole.select(frame.columns)])
    below = [level for level in frame["level"].unique().sort() if level > 0]
    levels = (
        below if len(below) <= COLUMNS else [below[round(i * (len(below) - 1) / 4)] for i in range(COLUMNS)]
    )
    kept = {(row["layer"], row["level"]): row for row in frame.iter_rows(named=True)}
    densities = {level: kept[NETWORK, level]["kept"] / kept[NETWORK, level]["weights"] for level in levels}
    rows = []
    for layer, weights in (
        frame.group_by("layer", maintain_order=True).agg(pl.col("weights").first()).iter_rows()
    ):
        cells = [kept.get((layer, level)) for level in levels]
        rows.append(
            [
                str(layer).removesuffix(".weight"),
                f"{weights:,}",
                *(f"{percent(c['kept'] / c['weights'])} ({c['kept']:,.0f})" if c else "–" for c in cells),
            ]
        )
    heads = ["layer", "weights", *(f"{percent(densities[level])} (level {level})" for level in levels)]
    return Ledger(
        label,
        heads,
        rows,
        "Share of each layer's weights that remain in the tickets and how many they are, means over replicates."
        f"{_counted(scope)}",
    )


def _counted(scope: Scope | None) -> str:
    """How much of the network the layers are, and what is not among them, as sentences that follow others."""
    if scope is None:
        return ""
    said = f" {scope}" + (f", not {scope.largest_others()}." if scope.others else ".")
    if not scope.is_small:
        return said
    return f"{said} That is less than half: densities speak of a small part of this network."


def cost_ledgers(tables: Tables) -> list[Ledger]:
    """Trainings, iterations and time of each arm, and the disk they take, a table a run; none before the first."""
    runs = (tables.runs or {"": tables}).items()
    return [_cost(label, each) for label, each in runs if not each.results.is_empty()]


def _cost(label: str, tables: Tables) -> Ledger:
    parts = [
        part.select("arm", "iterations", "seconds")
        for part in (tables.results, tables.beside)
        if part is not None
    ]
    each = (
        pl.concat(parts, how="vertical_relaxed")
        .drop_nulls("iterations")  # a network that nobody trained took nothing
        .group_by("arm")
        .agg(pl.len().alias("trainings"), pl.col("iterations").sum(), pl.col("seconds").sum())
    )
    costs = {row["arm"]: row for row in each.iter_rows(named=True)}
    total = {key: sum(row[key] for row in costs.values()) for key in ("trainings", "iterations", "seconds")}
    beside = set() if tables.beside is None else set(tables.beside["arm"])
    order = [(arm, costs[arm]) for arm in sorted(arm_styles(costs), key=beside.__contains__)]
    rows = [
        [
            name,
            f"{row['trainings']:,}",
            f"{row['iterations']:,}",
            duration(row["seconds"]),
            f"{row['seconds'] / row['trainings']:.2f} s",
        ]
        for name, row in [*order, *([("all", total)] if len(order) > 1 else [])]
    ]
    caption = "Networks that train as one share their stack's time among them; measuring them is in it."
    if tables.beside is not None:
        caption += " Donors, twins and sources are ladders of their own, dense networks and tickets."
    if tables.disk is not None:
        caption += f" The run takes {size(tables.disk)} of disk, the report not counted."
    return Ledger(label, ["arm", "trainings", "iterations", "time", "time a training"], rows, caption)


MOST_ROWS = 12
"""Verdicts that the page lists at once; more are folded by family."""
MARKS = {YES: "✓", NO: "✗", CLOSE: "○", UNRESOLVED: "?", UNTESTED: "–"}
"""A sign beside each decision, so that it does not hang on a colour."""


@dataclass(frozen=True)
class VerdictRow:
    """One verdict in words: the claim, the estimate with its interval, the test with p, the decision, and whether the
    hypothesis was changed after the first cell (empty where it was not). `kind` is the decision's first words, for
    its style, `mark` a sign for it."""

    name: str
    family: str
    claim: str
    estimate: str
    test: str
    decision: str
    kind: str
    mark: str
    changed: str


@dataclass(frozen=True)
class PublishedRow:
    """A published number beside what was found: `agrees` is yes, no, or empty where it was not measured."""

    what: str
    paper: str
    here: str
    agrees: str


@dataclass(frozen=True)
class VerdictSection:
    """What templates/verdicts.html.j2 shows, as `verdicts`; of many rows `folded` has those of each family under what
    they come to."""

    rows: list[VerdictRow]
    matching: str
    published: list[PublishedRow]
    notes: list[str]
    digest: str
    how: str
    answers: tuple[Sentence, ...] = ()
    box: tuple[tuple[str, str], ...] = wording.BOX
    folded: tuple[tuple[str, list[VerdictRow]], ...] = ()


def verdict_rows(run: Run) -> list[VerdictRow]:
    """The verdicts of a run, finished or not."""
    return verdict_section(run).rows


def verdict_section(run: Run) -> VerdictSection:
    """All that the page says of a run's claims. Measures are not taken while the run goes on."""
    found = verdicts_of(run, measures=not run.is_locked())
    rows = [verdict_row(verdict) for verdict in found.verdicts]
    return VerdictSection(
        rows=rows,
        folded=folded(found.verdicts) if len(rows) > MOST_ROWS else (),
        matching=wording.match(found.matching),
        published=[_published(checked) for checked in found.expected],
        notes=list(found.notes),
        digest=found.digest,
        how=wording.how(found.verdicts),
        answers=tuple(sentences(found.verdicts)),
    )


def folded(verdicts: Sequence[Verdict]) -> tuple[tuple[str, list[VerdictRow]], ...]:
    """What each family comes to, and its rows."""
    return tuple((by_family(family), [verdict_row(each) for each in family]) for family in families(verdicts))


def verdict_row(verdict: Verdict) -> VerdictRow:
    """A verdict in words."""
    return VerdictRow(
        name=verdict.name,
        family=verdict.family,
        claim=verdict.claim,
        estimate=wording.estimate(verdict),
        test=wording.test_of(verdict),
        decision=wording.decision(verdict),
        kind=verdict.decision.replace(" ", "-"),
        mark=MARKS[verdict.decision],
        changed=wording.changed(verdict),
    )


def _published(checked: Checked) -> PublishedRow:
    what, paper, here = checked.parts
    agrees = {True: "yes", False: "no", None: ""}[checked.agrees]
    return PublishedRow(what, paper, here.removeprefix("here "), agrees)
