"""What a picture shows, in the words of a slide's title: the result, with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from tombola.lottery.arms.catalog import TICKET
from tombola.metrics import ACCURACY
from tombola.report.figures.base import FIGURES, Picture
from tombola.report.figures.export import rows
from tombola.report.paper.findings import told
from tombola.report.tables import Tables
from tombola.text import listed, percent, ticket_first

SUMMARIES: Mapping[str, tuple[str, str, Callable[[float], str]]] = {
    "accuracy-early-stop": (
        "early_stop_test_accuracy",
        "errs in {} of test images",
        lambda mean: f"{100 * (1 - mean):.2f}%",
    ),
    "early-stop": ("early_stop_iteration", "stops early at iteration {}", lambda mean: f"{mean:,.0f}"),
    "gap": ("gap", "is {} points better in training than in testing", lambda mean: f"{100 * mean:.2f}"),
}
"""Figure -> the summary that it draws, what a title says of it, and how the number is written."""
TIMES = {"overlap": "Tickets overlap", "sign-agreement": "Signs of tickets agree"}
"""Figure of values over chance -> how its title begins."""


def headline(name: str, tables: Tables, chart: Picture) -> str:
    """The result that a figure shows at its sparsest density; its title and n where no rule says one."""
    if name in SUMMARIES and (said := _summary(name, tables)):
        return said
    if name in TIMES and (said := _times(name, chart)):
        return said
    if name == "input-map":
        shown = rows(chart)
        last = shown.filter(pl.col("panel") == shown["panel"][-1])["relative"].to_list()
        return f"In the sparsest tickets pixels keep {min(last):.1f} to {max(last):.1f} times the average of weights"
    if name == "arms":
        shown = rows(chart).filter(~pl.col("what").is_in(["dense", TICKET])).sort("mean")
        best, worst = shown.row(0, named=True), shown.row(-1, named=True)
        least, most = (f"{each['what']} errs {{}} ({each['mean']:.2f}%)" for each in (best, worst))
        if tables.metric is not ACCURACY:
            low, high = (
                f"{each['what']} ({each['mean']:.{tables.metric.digits}f})" for each in (best, worst)
            )
            return f"Beside the ticket {low} has the least {tables.metric.noun} and {high} the most"
        return f"Beside the ticket {least.format('least')} and {most.format('most')}"
    return FIGURES[name].title


def _summary(name: str, tables: Tables) -> str:
    value, what, shown = SUMMARIES[name]
    metric = tables.metric
    if metric is not ACCURACY and name != "early-stop":
        value, what = {
            "accuracy-early-stop": (metric.early_stop, f"has a {metric.noun} of {{}}"),
            "gap": (metric.gap, f"has a {metric.noun} {{}} larger in testing than in training"),
        }[name]
        shown = metric.shown
    frame = tables.summary(value).filter(pl.col("arm").is_in(list(told(tables))))
    pruned = frame.filter((pl.col("level") > 0) & (pl.col("arm") == TICKET))
    if pruned.is_empty():
        return ""
    # Where many trainings do not reach their early stop, it says little: it is told where it is soonest.
    level = pruned.sort("mean")["level"][0] if name == "early-stop" else pruned["level"].max()
    here = {row["arm"]: row for row in frame.filter(pl.col("level") == level).to_dicts()}
    dense = frame.filter(pl.col("level") == 0)["mean"].to_list()
    others = [f"{arm} {shown(here[arm]['mean'])}" for arm in sorted(here, key=ticket_first) if arm != TICKET][
        :3
    ]
    others += [f"dense {shown(mean)}" for mean in dense]
    beside = f" ({', '.join(others)})" if others else ""
    ticket = here[TICKET]
    return f"At {percent(ticket['density'])} the ticket {what.format(shown(ticket['mean']))}{beside}"


def _times(name: str, chart: Picture) -> str:
    frame = rows(chart).filter(pl.col("panel") == "whole network")
    frame = frame.filter(pl.col("density") == frame["density"].min())
    found = dict(frame.select("arm", "times").iter_rows())
    if TICKET not in found:
        return ""
    others = [f"{arm} {found[arm]:.2f}" for arm in sorted(found) if arm != TICKET]
    return f"{TIMES[name]} {found[TICKET]:.2f} times chance{f', {listed(others)}' if others else ''}"
