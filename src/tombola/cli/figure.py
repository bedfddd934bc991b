"""figure: one picture of a run, as a file for a paper or a slide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tombola.cli import complete
from tombola.cli.options import RUNS, RunsFolder, argument, option
from tombola.errors import UserError, nearest


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(figure)


def figure(
    first: Annotated[
        str | None,
        argument(
            "RUN", "A run or a sweep: a folder, or the beginning of its name under --runs.", complete.figures
        ),
    ] = None,
    second: Annotated[
        str | None,
        argument(
            "NAME", "Which figure (NAME RUN does as well); without one they are listed.", complete.figures
        ),
    ] = None,
    form: Annotated[
        str | None,
        option(
            "--format",
            "svg (the default), pdf or png; --out says it too.",
            complete.words("svg", "pdf", "png"),
        ),
    ] = None,
    width: Annotated[
        str,
        option(
            "--width",
            "column (85 mm), page (178 mm), or a number of millimetres.",
            complete.words("column", "page"),
        ),
    ] = "column",
    out: Annotated[Path | None, option("--out", "The file to write (else NAME.svg here).")] = None,
    runs: RunsFolder = RUNS,
) -> None:
    """Draw one figure of a run, sized for the column of a journal; text stays text."""
    from tombola.cli.show.tables import print_table
    from tombola.report.collect import tables_of, tables_together
    from tombola.report.figures.base import FIGURES
    from tombola.report.figures.export import save_figure
    from tombola.runs.locate import find
    from tombola.runs.sweeps import SweepRun

    if first is None:
        print_table(["figure", "shows"], [[each, FIGURES[each].title] for each in FIGURES], 2)
        return
    name, run = _told_apart(first, second, runs)
    path = out or Path(f"{name}.{form or 'svg'}")
    if form and path.suffix.lower() != f".{form}":
        raise UserError(
            f"--format is {form}, and --out a file that ends in '{path.suffix}'; leave one of them out"
        )
    found = find(run, runs)
    tables = tables_together(found.title, found.runs) if isinstance(found, SweepRun) else tables_of(found)
    save_figure(name, tables, path, _millimetres(width))
    print(path)


def _told_apart(first: str, second: str | None, runs: Path) -> tuple[str, str]:
    """The figure and the run of two words in either order: a run may have a figure's name, but not the other way round.

    Raises UserError where one of them is missing, or there is no such figure.
    """
    from tombola.report.figures.base import FIGURES
    from tombola.runs.locate import find

    if second is None:
        if first in FIGURES:
            raise UserError(f"figure '{first}' of which run? Expected tombola figure RUN {first}")
        raise UserError(
            f"which figure of '{first}'? Expected tombola figure {first} NAME, of {', '.join(FIGURES)}"
        )
    if first in FIGURES:
        return first, second
    if second in FIGURES:
        return second, first
    absent: UserError | None = None
    for run, name in ((first, second), (second, first)):
        try:
            find(run, runs)
        except UserError as problem:
            absent = absent or problem
            continue
        raise UserError(f"unknown figure '{name}'{nearest(name, FIGURES)}")
    raise UserError(f"{absent}, and no figure '{second}'{nearest(second, FIGURES)}")


def _millimetres(width: str) -> float:
    from tombola.report.figures.export import WIDTHS

    try:
        found = WIDTHS.get(width) or float(width)
    except ValueError:
        found = 0.0
    if not 20 <= found <= 1000:
        raise UserError(
            f"--width is '{width}', expected {', '.join(WIDTHS)} or millimetres between 20 and 1000"
        )
    return found
