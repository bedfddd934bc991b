"""connect: what lies between the networks of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from tombola.cli.options import Csv, DataDir, Device, Json, Out, RunName
from tombola.cli.progress import Watcher
from tombola.cli.show import print_json, print_table
from tombola.errors import UserError
from tombola.lottery import TICKET
from tombola.study import (
    CONNECTION_VALUES,
    DEFAULT_KINDS,
    KINDS,
    Connection,
    connect_run,
    connection_estimates,
    find_run,
    is_stable,
)

SHOWN = (
    ("test", "barrier_error", 100, 2, "barrier, pp"),
    ("train", "barrier_error", 100, 2, "on train, pp"),
    ("test", "barrier_loss", 1, 4, "barrier, loss"),
    ("test", "end_error", 100, 2, "error of ends, %"),
    ("test", "l2", 1, 2, "L2"),
    ("test", "angle", 1, 1, "angle"),
)
"""Columns of the table: split, value, what it is multiplied by, digits, heading."""


def connect(
    name: RunName,
    level: Annotated[
        list[int] | None, typer.Option("--level", min=0, help="A level; repeatable (default: all).")
    ] = None,
    copies: Annotated[
        int, typer.Option("--copies", min=2, help="Copies of each network, itself among them.")
    ] = 2,
    alphas: Annotated[
        int, typer.Option("--alphas", min=3, help="Places on each path, the ends among them.")
    ] = 31,
    kinds: Annotated[
        str, typer.Option("--kinds", help=f"Which pairs, with commas between: {', '.join(KINDS)}.")
    ] = ",".join(DEFAULT_KINDS),
    arms: Annotated[
        str,
        typer.Option("--arms", help="Arms with copies (default: the ticket), with commas between."),
    ] = "",
    out: Out = Path("runs"),
    device: Device = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Measure error and loss on the line between networks: of copies with other data order, of levels, to dense."""
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other")
    with Watcher() as watcher:
        found = connect_run(
            find_run(name, out),
            levels=level or (),
            arms=_listed(arms),
            kinds=_listed(kinds),
            copies=copies,
            alphas=alphas,
            device=device,
            data_dir=data_dir,
            progress=watcher,
        )
    if as_json:
        estimates = [
            {"value": value, **row}
            for value in CONNECTION_VALUES
            for row in connection_estimates(found.pairs, value).to_dicts()
        ]
        print_json({"pairs": found.pairs.to_dicts(), "estimates": estimates})
    elif as_csv:
        print(found.pairs.write_csv(), end="")
    else:
        _print(found)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(connect)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print(found: Connection) -> None:
    """Means over replicates with 95% intervals: one line for each kind of pair, level and arm."""
    means = {
        (split, value): {
            (row["kind"], row["level"], row["arm"]): row
            for row in connection_estimates(found.pairs, value).filter(pl.col("split") == split).to_dicts()
        }
        for split, value, *_ in SHOWN
    }
    barriers = means["test", "barrier_error"]
    rows = []
    for key in sorted(barriers, key=lambda key: ([*KINDS].index(key[0]), key[1], key[2] != TICKET, key[2])):
        kind, level, arm = key
        values = [
            _with_interval(means[split, value].get(key), scale, digits)
            for split, value, scale, digits, _ in SHOWN
        ]
        of = barriers[key]
        verdict = ("stable" if is_stable(of["mean"]) else "not stable") if kind == "instability" else ""
        rows.append([kind, arm, f"{level}", f"{100 * of['density']:.1f}%", f"{of['n']}", *values, verdict])
    print_table(["pairs", "arm", "level", "density", "n", *(head for *_, head in SHOWN), ""], rows, left=2)
    if any(kind == "instability" for kind, _, _ in barriers):
        print(
            "\nstable: the mean error barrier between copies is below 2 points on the test set (Frankle et al. 2020)"
        )


def _with_interval(row: dict[str, Any] | None, scale: float, digits: int) -> str:
    if row is None:
        return "-"
    mean = f"{scale * row['mean']:.{digits}f}"
    return mean if row["low"] is None else f"{mean} ± {scale * (row['mean'] - row['low']):.{digits}f}"
