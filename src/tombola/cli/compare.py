"""compare: what tickets share, beside what chance gives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from tombola.cli.options import Csv, DataDir, Json, Out
from tombola.cli.show import print_json, print_table
from tombola.compare import WHOLE, Subject, subject_from_file
from tombola.lottery import TICKET
from tombola.study import Comparison, Run, compare_runs, find_run

Names = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Runs, or files and folders of masks made elsewhere."),
]


def compare(
    names: Names,
    level: Annotated[int | None, typer.Option("--level", min=0, help="Tickets of this level.")] = None,
    density: Annotated[
        float | None, typer.Option("--density", help="Tickets of the level nearest to this density.")
    ] = None,
    arms: Annotated[str, typer.Option("--arms", help="Arms, with commas between (default: all).")] = "",
    measures: Annotated[str, typer.Option("--measures", help="Measures, with commas between.")] = "",
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
        if Path(name).exists() and not (Path(name) / "study.toml").is_file():
            others.append(subject_from_file(Path(name)))
        else:
            runs.append(find_run(name, out))
    found = compare_runs(
        runs,
        others,
        level=level,
        density=density,
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
        decisions = [] if found.decisions is None else found.decisions.to_dicts()
        print_json({"pairs": found.pairs.to_dicts(), "decisions": decisions})
    elif as_csv:
        print(found.pairs.write_csv(), end="")
    else:
        _print(found)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print(found: Comparison) -> None:
    """Means over pairs of the whole network, by arms and whether they share a replicate; then what is decided."""
    arms = {subject.name: subject.arm or subject.name for subject in found.subjects}
    replicates = {subject.name: subject.replicate for subject in found.subjects}
    whole = found.pairs.filter(pl.col("layer") == WHOLE).with_columns(
        between=pl.struct("a", "b").map_elements(
            lambda row: _between(row["a"], row["b"], arms, replicates), return_dtype=pl.String
        )
    )
    means = (
        whole.group_by("measure", "side", "aligned", "null", "between", maintain_order=True)
        .agg(
            pl.len().alias("pairs"),
            pl.col("value", "expected", "z").mean(),
            (pl.col("p") < 0.05).mean().alias("share"),
        )
        .sort("aligned", "measure", "side", "between", nulls_last=True)
    )
    print_table(
        ["measure", "side", "aligned", "null", "between", "pairs", "value", "by chance", "z", "p < 0.05"],
        [
            [
                row["measure"], row["side"] or "", row["aligned"], row["null"] or "", row["between"], f"{row['pairs']}",
                _number(row["value"]), _number(row["expected"]), _number(row["z"], 1), _number(row["share"], 2),
            ]
            for row in means.iter_rows(named=True)
        ],
        left=5,
    )  # fmt: skip
    if found.decisions is None:
        return
    print("\nthe ticket against other arms, over replicates (whole network)\n")
    rows = found.decisions.filter(pl.col("layer") == WHOLE)
    print_table(
        ["measure", "side", "aligned", "against", "density", "n", "difference", "95% interval", "p", "verdict"],
        [
            [
                row["measure"], row["side"] or "", row["aligned"], row["arm_b"], f"{100 * row['density']:.1f}%",
                f"{row['replicates']}", _number(row["difference"]),
                f"[{_number(row['low'])}, {_number(row['high'])}]", _number(row["p"]), row["verdict"],
            ]
            for row in rows.iter_rows(named=True)
        ],
        left=4,
    )  # fmt: skip


def _between(a: str, b: str | None, arms: dict[str, str], replicates: dict[str, str]) -> str:
    if b is None:
        return arms[a]
    both = sorted((arms[a], arms[b]), key=lambda arm: (arm != TICKET, arm))
    own = replicates[a] and replicates[a] == replicates[b]
    return " - ".join(both) + (", one replicate" if own else "")


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"
