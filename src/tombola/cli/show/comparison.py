"""Printing what tickets share, beside what chance gives."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tombola.alignment.subject import Subject
from tombola.alignment.words import WHOLE
from tombola.analysis.compare_runs import Comparison
from tombola.analysis.verdicts import wording
from tombola.cli.show.tables import print_table
from tombola.comparison.consensus import DISPERSION
from tombola.text import percent, ticket_first

ALPHA = 0.05
"""The level that decisions are taken at."""
FEWEST = 20
"""Nulls that a p below that level takes: with n of them it is at least 1 / (1 + n)."""


def print_comparison(found: Comparison) -> None:
    """Means over pairs of the whole network, what is decided, and how far replicates agree on what to keep."""
    _print_pairs(found)
    if found.decisions is not None:
        _print_decisions(found.decisions)
    if found.consensus is not None:
        _print_consensus(found.consensus)


def means_of(found: Comparison) -> pl.DataFrame:
    """Means over pairs of the whole network, by density, arms and whether they share a replicate; runs are told apart.

    `share` is that of pairs with p below 5%, null where so few nulls were drawn that no p could be.
    """
    runs = _labels({subject.replicate.rpartition(":")[0] for subject in found.subjects})
    known = {subject.name: subject for subject in found.subjects}
    whole = found.pairs.filter(pl.col("layer") == WHOLE).with_columns(
        between=pl.struct("a", "b").map_elements(
            lambda row: _between(known[row["a"]], known.get(row["b"]), runs),
            return_dtype=pl.String,
        ),
        density=pl.struct("a", "b").map_elements(
            lambda row: _densities(known[row["a"]], known.get(row["b"])), return_dtype=pl.String
        ),
    )
    return (
        whole.group_by("measure", "side", "aligned", "null", "density", "between", maintain_order=True)
        .agg(
            pl.len().alias("pairs"),
            pl.col("value", "expected", "z").mean(),
            pl.when(pl.col("n_null").max().is_between(1, FEWEST - 1))
            .then(None)
            .otherwise((pl.col("p") < ALPHA).mean())
            .alias("share"),
        )
        .sort("aligned", "measure", "side", maintain_order=True, nulls_last=True)
    )


def _print_pairs(found: Comparison) -> None:
    means = means_of(found)
    print_table(
        ["measure", "side", "aligned", "null", "density", "between", "pairs", "value", "by chance", "z", "p < 0.05"],
        [
            [
                row["measure"], row["side"] or "", row["aligned"], row["null"] or "", row["density"], row["between"],
                f"{row['pairs']}", number(row["value"]), number(row["expected"]), number(row["z"], 1),
                "-" if row["share"] is None else number(row["share"], 2),
            ]
            for row in means.iter_rows(named=True)
        ],
        left=6,
    )  # fmt: skip
    if means["share"].null_count():
        print(f"\n-: no p can be below {ALPHA:.0%} by so few nulls; --n-null {FEWEST} are the fewest.")


def _print_decisions(decisions: pl.DataFrame) -> None:
    print("\nthe ticket against other arms, over replicates (whole network)\n")
    several = decisions["run"].n_unique() > 1
    rows = decisions.filter(pl.col("layer") == WHOLE)
    heads = [
        "measure",
        "side",
        "aligned",
        "against",
        "null",
        "density",
        "n",
        "difference",
        "95% interval",
        "p",
        "verdict",
    ]
    print_table(
        [*["run"] * several, *heads],
        [
            [
                *[row["run"]] * several,
                row["measure"], row["side"] or "", row["aligned"], row["arm_b"], row["null"] or "",
                percent(row["density"]), f"{row['replicates']}", number(row["difference"]),
                "-" if row["low"] is None else f"[{number(row['low'])}, {number(row['high'])}]",
                _chance(row["p"]), row["verdict"],
            ]
            for row in rows.iter_rows(named=True)
        ],
        left=5 + several,
    )  # fmt: skip
    smallest = [row["p_smallest"] for row in rows.iter_rows(named=True) if row["p_smallest"] is not None]
    if smallest and min(smallest) > ALPHA:
        most = max(rows["replicates"].to_list())
        print(
            f"\nNothing can be resolved at {ALPHA:.0%}: the smallest p that {most} replicates can give is "
            f"{min(smallest):.2g}."
        )


def _print_consensus(consensus: pl.DataFrame) -> None:
    print("\nhow many replicates keep a weight: variance over weights, 1 by chance (whole network)\n")
    several = consensus["run"].n_unique() > 1
    rows = consensus.filter(pl.col("layer") == WHOLE, pl.col("quantity") == DISPERSION)
    print_table(
        [*["run"] * several, "arm", "aligned", "density", "n", "variance / chance", "by chance", "z", "p"],
        [
            [
                *[row["run"]] * several,
                row["arm"], row["aligned"], percent(row["density"]), f"{row['tickets']}", number(row["value"]),
                number(row["expected"]), number(row["z"], 1), _chance(row["p"]),
            ]
            for row in rows.iter_rows(named=True)
        ],
        left=2 + several,
    )  # fmt: skip


def _labels(runs: set[str]) -> dict[str, str]:
    """What to call runs: nothing where there is one, else their names, without the hash where that tells them apart."""
    short = {run: run.rpartition("-")[0] or run for run in runs}
    if len(runs) == 1:
        return dict.fromkeys(runs, "")
    return {run: f"{short[run] if len(set(short.values())) == len(runs) else run}:" for run in runs}


def _between(a: Subject, b: Subject | None, runs: Mapping[str, str]) -> str:
    """Which arms, of which runs where there are several, and whether of one replicate."""
    if b is None:
        return _called(a, runs)
    both = sorted((a, b), key=lambda subject: ticket_first(subject.arm))
    own = a.replicate and a.replicate == b.replicate
    return " - ".join(_called(subject, runs) for subject in both) + (", one replicate" if own else "")


def _called(subject: Subject, runs: Mapping[str, str]) -> str:
    return f"{runs[subject.replicate.rpartition(':')[0]]}{subject.arm}" if subject.arm else subject.name


def _densities(a: Subject, b: Subject | None) -> str:
    """The density of a subject, or of both of a pair."""
    both = [percent(subject.level_density) for subject in (a, b) if subject is not None]
    return " - ".join(dict.fromkeys(both))


def _chance(p: float | None) -> str:
    return "" if p is None else wording.small(p)


def number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"
