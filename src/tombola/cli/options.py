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

RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.")]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder, or the beginning of its name under --runs.",
        autocompletion=complete.runs,
    ),
]
OutFile = Annotated[Path, typer.Option("--out", help="The file to write.")]
DataName = Annotated[
    str,
    typer.Option(
        "--data",
        help="A data set's name, npz:FILE or idx:FOLDER.",
        autocompletion=complete.one_of("data"),
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where data sets lie (else TOMBOLA_DATA, else ~/.cache/tombola)."),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu, cuda or cuda:N.", autocompletion=complete.words("auto", "cpu", "cuda")
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="auto, or a name of `tombola catalog engines`.",
        autocompletion=complete.one_of("engines", "auto"),
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads (default: torch's choice).")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the spec; repeatable.")
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="TRACKER",
        help="See `tombola catalog trackers`; repeatable.",
        autocompletion=complete.one_of("trackers"),
    ),
]
Levels = Annotated[
    list[str] | None,
    typer.Option(
        "--level",
        metavar="N,...",
        help="Levels, with commas between or an option each (default: all).",
        autocompletion=complete.levels,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


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


def exclusive(as_json: bool, as_csv: bool) -> None:
    """Raise UserError where both are asked for."""
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other")
