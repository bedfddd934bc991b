"""Printing what a comparison comes to, in a dozen lines at most."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from tombola.alignment.words import RAW
from tombola.analysis.compare_runs import Comparison
from tombola.analysis.verdicts.share import Answer, Row, answers, in_words
from tombola.cli.show.comparison import ALPHA, means_of, number
from tombola.cli.show.tables import print_table
from tombola.text import percent

LINES = 12
"""The most lines of an answer."""


def print_answer(found: Comparison) -> None:
    """The ticket against its control, by layer and by level; where nothing was decided, means over pairs."""
    told = [] if found.decisions is None else list(answers(found.decisions))
    for index, answer in enumerate(told):
        print("\n" * (index > 0), end="")
        _print(answer, named=len(told) > 1)
    if not told:
        _print_means(found)


def _print(answer: Answer, named: bool) -> None:
    """Two lines of words, a table with two of heads, and what is left out."""
    first = next((row for row in next(iter(answer.rows.values())) if row is not None), None)
    print(
        f"{f'{answer.run}: ' * named}are tickets more alike than {answer.arm} masks? value less chance, ticket less "
        f"{answer.arm}, n = {0 if first is None else first['replicates']}, units {_matched(answer.aligned)}"
    )
    print_table(
        ["layer", "against", "density", *(f"{m} {side or ''}".strip() for m, side in answer.measures)],
        [
            [layer, arm, percent(density), *map(_cell, rows)]
            for (layer, arm, density), rows in answer.rows.items()
        ],
        left=2,
    )
    print("; ".join(_notes(answer)))


def _matched(aligned: str) -> str:
    return "as they come" if aligned == RAW else f"matched by {aligned}"


def _cell(row: Row | None) -> str:
    """The difference with its interval, and what is decided."""
    if row is None or row["difference"] is None:
        return "-"
    limits = "" if row["low"] is None else f" [{row['low']:+.4f}, {row['high']:+.4f}]"
    return f"{row['difference']:+z.4f}{limits} {in_words(row)}"


def _notes(answer: Answer) -> Iterator[str]:
    """What holds for the whole table, least p, and where the rest is."""
    rows = [row for each in answer.rows.values() for row in each if row is not None]
    least = [row["p_smallest"] for row in rows]
    if least and min(least) > ALPHA:
        most = max(row["replicates"] for row in rows)
        yield (
            f"nothing can be resolved at {ALPHA:.0%}, since the smallest p that {most} replicates can give is "
            f"{min(least):.2g}"
        )
    yield f"--all has the table, and {answer.left_out} more decisions"


def _print_means(found: Comparison) -> None:
    """The first means over pairs, where there is nothing to decide."""
    means = means_of(found)
    pairs = means.filter(pl.col("value").is_not_null())
    print_table(
        ["measure", "side", "aligned", "density", "between", "pairs", "value", "by chance", "z"],
        [
            [
                row["measure"], row["side"] or "", row["aligned"], row["density"], row["between"], f"{row['pairs']}",
                number(row["value"]), number(row["expected"]), number(row["z"], 1),
            ]
            for row in pairs.head(LINES - 4).iter_rows(named=True)
        ],
        left=5,
    )  # fmt: skip
    why = "nothing to decide by" if found.decisions is None else "no arm has masks of its own"
    print(f"{why}: means over pairs of whole networks; --all has the table of {len(means)} rows")
