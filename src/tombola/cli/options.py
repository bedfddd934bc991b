"""Arguments and options that several commands share, each with what the tab key offers for it.

`--runs` is the folder that RUN is looked for in, `--out` what a command writes. `run` writes into the folder of runs,
so that there the two are one; a command that only reads runs takes `--out` as another spelling of `--runs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tombola.cli import complete
from tombola.errors import UserError

T = TypeVar("T", int, float)

RUNS = Path("runs")
Several = list[str] | None
Offers = Callable[[str], list[str]] | Callable[[typer.Context, str], list[str]]
"""What the tab key offers, see `tombola.cli.complete`."""


def option(
    flag: str, said: str, offers: Offers | None = None, metavar: str | None = None, **more: Any
) -> Any:
    """An option, what `--help` says of it, and what the tab key offers for it."""
    return typer.Option(flag, help=said, autocompletion=offers, metavar=metavar, **more)


def argument(metavar: str, said: str, offers: Offers | None = None) -> Any:
    """An argument, what `--help` says of it, and what the tab key offers for it."""
    return typer.Argument(metavar=metavar, help=said, autocompletion=offers)


RunsFolder = Annotated[Path, option("--runs", "Folder that holds the run folders.")]
RunName = Annotated[
    str, argument("RUN", "A run folder, or the beginning of its name under --runs.", complete.runs)
]
OutFile = Annotated[Path, option("--out", "The file to write.")]
DataName = Annotated[
    str,
    option(
        "--data",
        "A data set's name, or npz:FILE, csv:FILE, images:FOLDER, idx:FOLDER, hf:FOLDER.",
        complete.one_of("data"),
    ),
]
DataDir = Annotated[
    Path | None, option("--data-dir", "Where data sets lie (else TOMBOLA_DATA, else ~/.cache/tombola).")
]
Device = Annotated[
    str, option("--device", "auto, cpu, cuda or cuda:N.", complete.words("auto", "cpu", "cuda"))
]
EngineName = Annotated[
    str,
    option("--engine", "auto, or a name of `tombola catalog engines`.", complete.one_of("engines", "auto")),
]
Threads = Annotated[int | None, option("--threads", "CPU threads (default: torch's choice).", min=1)]
Settings = Annotated[
    Several, option("--set", "Change a key of the spec; repeatable.", complete.settings, "KEY=VALUE")
]
Track = Annotated[
    Several,
    option("--track", "See `tombola catalog trackers`; repeatable.", complete.one_of("trackers"), "TRACKER"),
]
Levels = Annotated[
    Several,
    option(
        "--level", "Levels, with commas between or an option each (default: all).", complete.levels, "N,..."
    ),
]
Json = Annotated[bool, option("--json", "Print JSON.")]
Csv = Annotated[bool, option("--csv", "Print CSV.")]


def spelt(**others: str) -> dict[str, Any]:
    """Settings of a command that takes an option by another spelling as well, which `--help` does not show."""
    return {"token_normalize_func": lambda name: others.get(name, name)}


READS = spelt(out="runs")
"""A command that reads runs: `--out` is an older spelling of `--runs`."""


def listed(given: Sequence[str] | None) -> list[str]:
    """The names of an option that takes several, with commas between or an option each."""
    return [name.strip() for text in given or () for name in text.split(",") if name.strip()]


def numbers(option: str, given: Sequence[str] | None, kind: Callable[[str], T]) -> list[T]:
    """The numbers of an option that takes several, 0 or more each. Raises UserError for anything else."""
    try:
        found = [kind(number) for number in listed(given)]
        if all(number >= 0 for number in found):
            return found
    except ValueError:
        pass
    what = "whole numbers" if kind is int else "numbers"
    raise UserError(f"{option} takes {what} with commas between, 0 or more, found '{','.join(given or ())}'")


def drawn_by(name: str, runs: Path) -> str:
    """What draws the tables that are stored in a run now: its page is older."""
    place = "" if runs == RUNS else f" --runs {runs}"
    return f"`tombola report {name}{place}` draws them on the run's page"


def exclusive(as_json: bool, as_csv: bool) -> None:
    """Raise UserError where both are asked for."""
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other")
