"""Early stops that are the last evaluation: the least validation loss may lie beyond the end of such a training."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

STOP, COLUMN = "early_stop_iteration", "early_stop_at_end"
AT_END = "(the last evaluation: the least validation loss may lie beyond the end of training)"
MARK = "†"
"""Stands beside a mean early stop, with how many of how many trainings stopped at the end: '1,500 ± 20 †3/5'."""


def ends(
    frame: pl.DataFrame, places: Iterable[tuple[str, int]] | None = None
) -> dict[tuple[str, int], tuple[int, int]]:
    """(arm, level) -> how many of its trainings that have an early stop have it at the end, and how many these are.

    `frame` are results, or those of several runs; `places` are the (arm, level) to count, all where left out.
    """
    if COLUMN not in frame.columns:
        return {}
    kept = frame.filter((pl.col("status") == "ok") & pl.col(STOP).is_not_null())
    counts = kept.group_by("arm", "level").agg(pl.col(COLUMN).sum().cast(pl.Int64), pl.len().cast(pl.Int64))
    found = {(arm, level): (count, of) for arm, level, count, of in counts.sort("level", "arm").iter_rows()}
    return found if places is None else {place: found[place] for place in places if place in found}


def marked(shown: str, count: tuple[int, int] | None) -> str:
    """A mean early stop as text, with its mark where some of its trainings stopped at the end."""
    return f"{shown} {MARK}{count[0]}/{count[1]}" if count and count[0] else shown


def ends_among(frame: pl.DataFrame, places: Iterable[tuple[str, int]]) -> str:
    """'no minimum before the end in 3 of 10 trainings' of these (arm, level); empty where it is in none."""
    counts = ends(frame, dict.fromkeys(places)).values()
    count, of = sum(k for k, _ in counts), sum(n for _, n in counts)
    return f"no minimum before the end in {count} of {of} trainings" if count else ""


def ends_in_words(frame: pl.DataFrame, marks: bool = True) -> str:
    """What a reader must know of a table of early stops, empty where none is at the end; `marks`: they are marked."""
    counts = ends(frame).values()
    count, of = sum(k for k, _ in counts), sum(n for _, n in counts)
    if not count:
        return ""
    mark = f" ({MARK}k/n: in k of n)" if marks else ""
    return (
        f"In {count} of {of} trainings{mark} the early stop is the last evaluation: with more iterations the "
        "validation loss might have fallen further. Their mean iteration is therefore at least what is shown, and has "
        "no interval."
    )
