"""figure: one picture of a run, as a file for a paper or a slide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import tombola.report as pictures
from tombola import study as studies
from tombola.cli.show import print_table
from tombola.errors import UserError, nearest
from tombola.study import SweepRun

RUNS = Path("runs")


def figure(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which figure; without one they are listed.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run or a sweep: a folder, or the beginning of its name."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="svg (the default), pdf or png; --out says it too.")
    ] = None,
    width: Annotated[
        str, typer.Option("--width", help="column (85 mm), page (178 mm), or a number of millimetres.")
    ] = "column",
    out: Annotated[Path | None, typer.Option("--out", help="The file to write (else NAME.svg here).")] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")] = RUNS,
) -> None:
    """Draw one figure of a run, sized for the column of a journal; text stays text."""
    if name is None:
        print_table(
            ["figure", "shows"], [[each, pictures.FIGURES[each].title] for each in pictures.FIGURES], 2
        )
        return
    if name not in pictures.FIGURES:
        known = ", ".join(pictures.FIGURES)
        raise UserError(f"unknown figure '{name}'{nearest(name, pictures.FIGURES)}; there are {known}")
    if run is None:
        raise UserError(f"figure '{name}' of which run? Expected tombola figure {name} RUN")
    path = out or Path(f"{name}.{form or 'svg'}")
    if form and path.suffix.lower() != f".{form}":
        raise UserError(
            f"--format is {form}, and --out a file that ends in '{path.suffix}'; leave one of them out"
        )
    found = studies.find(run, runs)
    tables = (
        pictures.tables_together(found.title, found.runs)
        if isinstance(found, SweepRun)
        else pictures.tables_of(found)
    )
    pictures.save_figure(name, tables, path, _millimetres(width))
    print(path)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(figure)


def _millimetres(width: str) -> float:
    try:
        found = pictures.WIDTHS.get(width) or float(width)
    except ValueError:
        found = 0.0
    if not 20 <= found <= 1000:
        raise UserError(
            f"--width is '{width}', expected {', '.join(pictures.WIDTHS)} or millimetres between 20 and 1000"
        )
    return found
