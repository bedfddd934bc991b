"""compare: what tickets share, beside what chance gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import polars as pl
import typer

from tombola.cli.options import Csv, DataDir, Json, Out
from tombola.cli.show import print_json, print_table
from tombola.compare import DISPERSION, WHOLE, Subject, subjects_from
from tombola.errors import UserError
from tombola.lottery import TICKET
from tombola.report.tables import percent
from tombola.study import Comparison, Run, compare_runs, find_runs

T = TypeVar("T", int, float)

Names = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Runs, or files and folders of masks made elsewhere."),
]


def compare(
    names: Names,
    level: Annotated[str, typer.Option("--level", help="Tickets of these levels, with commas between.")] = "",
    density: Annotated[
        str,
        typer.Option(
            "--density", help="Tickets of the levels nearest to these densities, with commas between."
        ),
    ] = "",
    arms: Annotated[str, typer.Option("--arms", help="Arms, with commas between (default: all).")] = "",
    measures: Annotated[
        str,
        typer.Option(
            "--measures",
            help="Measures, or families (overlap, signs, topology, weights, kernels, function), with commas between.",
        ),
    ] = "",
    aligned: Annotated[str, typer.Option("--aligned", help="Alignments, with commas between.")] = "raw",
    nulls: Annotated[str, typer.Option("--nulls", help="Nulls, with commas between.")] = "",
    n_null: Annotated[int, typer.Option("--n-null", min=1, help="Nulls drawn for each pair.")] = 20,
    same_level: Annotated[
        bool, typer.Option("--same-level/--all-levels", help="Pairs of one density only.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    out: Out = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Compare tickets in pairs, within and across replicates, arms and runs, beside what chance gives."""
    runs, others = list[Run](), list[Subject]()
    for name in names:
        is_run = any((Path(name) / file).is_file() for file in ("study.toml", "sweep.toml"))
        if Path(name).exists() and not is_run:
            others += subjects_from(Path(name))
        else:
            runs += find_runs(name, out).values()
    found = compare_runs(
        runs,
        others,
        level=_numbers("--level", level, int),
        density=_numbers("--density", density, float),
        arms=_listed(arms),
        measures=_listed(measures),
        alignments=_listed(aligned),
        nulls=_listed(nulls),
        n_null=n_null,
        same_density=same_level,
        seed=seed,
        data_dir=data_dir,
    )
    if as_json:
        tables = {"pairs": found.pairs, "decisions": found.decisions, "consensus": found.consensus}
        print_json({name: [] if table is None else table.to_dicts() for name, table in tables.items()})
    elif as_csv:
        print(found.pairs.write_csv(), end="")
    else:
        _print(found)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(option: str, text: str, kind: Callable[[str], T]) -> list[T]:
    """The numbers of an option, which have commas between."""
    try:
        return [kind(number) for number in _listed(text)]
    except ValueError:
        whole = "whole numbers" if kind is int else "numbers"
        raise UserError(f"{option} takes {whole} with commas between, found '{text}'") from None


def _print(found: Comparison) -> None:
    """Means over pairs of the whole network, what is decided, and how far replicates agree on what to keep."""
    _print_pairs(found)
    if found.decisions is not None:
        _print_decisions(found.decisions)
    if found.consensus is not None:
        _print_consensus(found.consensus)


def _print_pairs(found: Comparison) -> None:
    """Means over pairs, by density, arms and whether they share a replicate; runs are told apart."""
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
    means = (
        whole.group_by("measure", "side", "aligned", "null", "density", "between", maintain_order=True)
        .agg(
            pl.len().alias("pairs"),
            pl.col("value", "expected", "z").mean(),
            (pl.col("p") < 0.05).mean().alias("share"),
        )
        .sort("aligned", "measure", "side", maintain_order=True, nulls_last=True)
    )
    print_table(
        ["measure", "side", "aligned", "null", "density", "between", "pairs", "value", "by chance", "z", "p < 0.05"],
        [
            [
                row["measure"], row["side"] or "", row["aligned"], row["null"] or "", row["density"], row["between"],
                f"{row['pairs']}", _number(row["value"]), _number(row["expected"]), _number(row["z"], 1),
                _number(row["share"], 2),
            ]
            for row in means.iter_rows(named=True)
        ],
        left=6,
    )  # fmt: skip


def _print_decisions(decisions: pl.DataFrame) -> None:
    print("\nthe ticket against other arms, over replicates (whole network)\n")
    several = decisions["run"].n_unique() > 1
    rows = decisions.filter(pl.col("layer") == WHOLE)
    heads = [
        "measure",
        "side",
        "aligned",
        "against",
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
                row["measure"], row["side"] or "", row["aligned"], row["arm_b"], percent(row["density"]),
                f"{row['replicates']}", _number(row["difference"]),
                f"[{_number(row['low'])}, {_number(row['high'])}]", _number(row["p"]), row["verdict"],
            ]
            for row in rows.iter_rows(named=True)
        ],
        left=4 + several,
    )  # fmt: skip


def _print_consensus(consensus: pl.DataFrame) -> None:
    print("\nhow many replicates keep a weight: variance over weights, 1 by chance (whole network)\n")
    several = consensus["run"].n_unique() > 1
    rows = consensus.filter(pl.col("layer") == WHOLE, pl.col("quantity") == DISPERSION)
    print_table(
        [*["run"] * several, "arm", "aligned", "density", "n", "variance / chance", "by chance", "z", "p"],
        [
            [
                *[row["run"]] * several,
                row["arm"], row["aligned"], percent(row["density"]), f"{row['tickets']}", _number(row["value"]),
                _number(row["expected"]), _number(row["z"], 1), _number(row["p"]),
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
    both = sorted((a, b), key=lambda subject: (subject.arm != TICKET, subject.arm))
    own = a.replicate and a.replicate == b.replicate
    return " - ".join(_called(subject, runs) for subject in both) + (", one replicate" if own else "")


def _called(subject: Subject, runs: Mapping[str, str]) -> str:
    return f"{runs[subject.replicate.rpartition(':')[0]]}{subject.arm}" if subject.arm else subject.name


def _densities(a: Subject, b: Subject | None) -> str:
    """The density of a subject, or of both of a pair."""
    both = [percent(subject.level_density) for subject in (a, b) if subject is not None]
    return " - ".join(dict.fromkeys(both))


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"
