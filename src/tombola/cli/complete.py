"""What the tab key offers. Nothing here imports more than the standard library: a key press must not wait.

The command line that is there so far is in `ctx.params`. What is offered is cut by the caller to what begins with the
word that is being typed; where nothing is offered, shells offer files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from tombola.cli.names import kinds, names

Offer = Callable[[typer.Context, str], list[str]]


def words(*known: str) -> Offer:
    """Offers one of some words."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        return list(known)

    return offer


def one_of(kind: str, *others: str) -> Offer:
    """Offers a name of a kind (see `tombola.cli.names`), or another word."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        return [*others, *_written(kind, ctx)]

    return offer


def several_of(*of: str) -> Offer:
    """Offers names of some kinds, with commas between."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        return _after_comma(incomplete, (name for kind in of for name in _written(kind, ctx)))

    return offer


SETTABLE = {
    "criterion": "criteria",
    "allocation": "allocations",
    "structure": "structures",
    "mode": "modes",
    "after": "rewinds",
    "schedule": "schedules",
    "model.name": "models",
    "data.name": "data",
}
"""Keys of a study whose values are names -> the kind of those."""


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """`KEY=VALUE` for the keys whose values are names."""
    key, equals, _ = incomplete.partition("=")
    if not equals:
        return [f"{each}=" for each in SETTABLE]
    kind = SETTABLE.get(key, SETTABLE.get(key.rpartition(".")[2]))
    return [f"{key}={name}" for name in _written(kind, ctx)] if kind else []


def catalog_kinds(incomplete: str) -> list[str]:
    """The kinds of `tombola catalog`."""
    return kinds()


def studies(incomplete: str) -> list[str]:
    """Presets, and TOML files in the folder that is being typed."""
    folder, _, _ = incomplete.rpartition("/")
    found = sorted(str(path) for path in Path(folder or ".").glob("*.toml"))
    return [*([] if folder else names("presets")), *found]


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runs and sweeps in the folder of runs, without those that were named already."""
    named = _named(ctx)
    return [path.name for path in _folders(ctx) if path.name not in named]


def figures(ctx: typer.Context, incomplete: str) -> list[str]:
    """Runs, then figures; whichever was named already is left out."""
    known, named = names("figures"), _named(ctx)
    return [
        *([] if any(name not in known for name in named) else runs(ctx, incomplete)),
        *([] if any(name in known for name in named) else known),
    ]


def arms(ctx: typer.Context, incomplete: str) -> list[str]:
    """Arms of the runs that were named; without such a run those that Tombola has."""
    studies = _studies(ctx)
    tables = [table for study in studies for key in ("arms", "route") for table in study.get(key, [])]
    own = [name for table in tables for name in (str(table.get("name")), *_controls(table))]
    return _after_comma(incomplete, ["ticket", *own] if studies else names("arms"))


def _controls(route: dict[str, Any]) -> list[str]:
    """What the controls of a [[route]] table are called as arms; of an arm none."""
    named = [each.get("name") if isinstance(each, dict) else each for each in route.get("controls", [])]
    return [f"{route.get('name')}-{name}" for name in named]


def levels(ctx: typer.Context, incomplete: str) -> list[str]:
    """Levels of the runs that were named."""
    last = max((int(study.get("levels", 0)) for study in _studies(ctx)), default=-1)
    return _after_comma(incomplete, map(str, range(last + 1)))


def _written(kind: str, ctx: typer.Context) -> list[str]:
    """The names of a kind that can be typed as they stand: those in capitals stand for a pattern (`wrn-D-K`). What the
    studies that were named import counts, as far as its source tells: none of it is run."""
    return [name for name in names(kind, _imports(ctx)) if name == name.lower()]


def _imports(ctx: typer.Context) -> list[str]:
    """The files and modules that the studies of the command line import; files as named from here."""
    found = []
    for path, study in _study_files(ctx):
        for name in study.get("imports", []) if isinstance(study.get("imports"), list) else []:
            beside = path.parent / str(name)
            found.append(str(beside if str(name).endswith(".py") and beside.is_file() else name))
    return found


def _after_comma(incomplete: str, known: Iterable[str]) -> list[str]:
    """Lists that have one more name behind those that are there."""
    before, comma, _ = incomplete.rpartition(",")
    there = before.split(",")
    return [f"{before}{comma}{name}" for name in dict.fromkeys(known) if name not in there]


def _named(ctx: typer.Context) -> list[str]:
    """The runs of the command line so far, and whatever else its arguments are. While the value of an option is being
    typed they are not told apart yet, and lie in `ctx.args`."""
    given = [ctx.params.get(argument) for argument in ("what", "name", "names", "a", "b", "first", "second")]
    return [
        *ctx.args,
        *(name for value in given for name in ([value] if isinstance(value, str) else value or ())),
    ]


def _folders(ctx: typer.Context) -> list[Path]:
    place = Path(ctx.params.get("runs") or "runs")
    return sorted({path.parent for file in ("study.toml", "sweep.toml") for path in place.glob(f"*/{file}")})


def _studies(ctx: typer.Context) -> list[dict[str, Any]]:
    """The studies of the runs that were named, as they are written; what cannot be read is left out."""
    return [study for path, study in _study_files(ctx) if path.name == "study.toml"]


def _study_files(ctx: typer.Context) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files of the studies that were named, and what they hold: those of runs, and what runs are made from."""
    for name in _named(ctx):
        folders = [Path(name), *(path for path in _folders(ctx) if path.name.startswith(name))]
        files = [folder / "study.toml" for folder in folders]
        for path in [*files, Path(name)] if name.endswith(".toml") else files:
            try:
                yield path, tomllib.loads(path.read_text())
            except (OSError, ValueError, RecursionError):
                continue
