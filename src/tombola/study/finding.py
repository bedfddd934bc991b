"""Finding runs and tickets by the names that people give them."""

from __future__ import annotations

from pathlib import Path

from tombola.errors import UserError, nearest
from tombola.lottery import Cell, Ticket
from tombola.study.store import CELL, Run

ID_LENGTH = len("-01234567")


def find_run(name: str, out: Path) -> Run:
    """The run that `name` means: a folder, a study's name, or the beginning of a folder's name under `out`.

    A whole name goes before a mere beginning. Raises UserError for no run, or several.
    """
    if (Path(name) / "study.toml").is_file():
        return Run(Path(name))
    known = [run.path.name for run in all_runs(out)]
    matches = [folder for folder in known if folder.startswith(name)]
    whole = [folder for folder in matches if folder == name or folder[:-ID_LENGTH] == name]
    if len(whole or matches) == 1:
        return Run(out / (whole or matches)[0])
    if matches:
        raise UserError(f"'{name}' is the beginning of several runs: {', '.join(matches)}")
    hint = nearest(name, known) if known else f"; there are none under {out}"
    raise UserError(f"no run '{name}' under {out}{hint}")


def all_runs(out: Path) -> list[Run]:
    """The runs under a folder, by name."""
    return [Run(path.parent) for path in sorted(out.glob("*/study.toml"))]


def open_ticket(path: Path) -> Ticket:
    """The ticket in a cell folder of a run, or in a `.safetensors` file. Raises UserError for anything else."""
    if not path.is_dir():
        return Ticket.load(path)
    match = CELL.fullmatch("/".join(path.resolve().parts[-4:]))
    if not match or not (path / "cell.json").is_file():
        raise UserError(f"{path}: not a cell folder of a run (RUN/cells/r0/L03/ticket/0) nor a ticket file")
    run = Run.open(path.resolve().parents[4])
    return run.ticket(Cell(int(match[1]), int(match[2]), match[3], int(match[4])))
