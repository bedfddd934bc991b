"""Finding runs and tickets by the names that people give them."""

from __future__ import annotations

from pathlib import Path

from tombola.errors import UserError, nearest
from tombola.lottery.cell import Cell
from tombola.lottery.ticket import Ticket
from tombola.runs.cells.name import CELL, cell_named
from tombola.runs.folder import Run
from tombola.runs.sweeps import FILE, SweepRun
from tombola.text import as_url

ID_LENGTH = len("-01234567")


Named = Run | SweepRun | Path | str
"""A run or a sweep, or its folder, a study's name, or the beginning of the folder's name."""


def find(named: Named, out: Path | str = "runs") -> Run | SweepRun:
    """The run or the sweep that is meant, by name one of those under `out`.

    A whole name goes before a mere beginning, and a sweep before its members. Raises UserError for none, or several.
    """
    if isinstance(named, Run | SweepRun):
        return named
    name, out = str(named), Path(out)
    if url := as_url(name) or as_url(out):
        raise UserError(
            f"{url}: runs are read in folders of this machine; copy it here first, or run its study with --mirror, "
            "which brings it"
        )
    if is_run(Path(name)):
        return _opened(Path(name))
    sweeps = [path.parent.name for path in out.glob(f"*/{FILE}")]
    known = sorted([*(run.path.name for run in all_runs(out)), *sweeps])
    beginning = [folder for folder in known if folder.startswith(name)]
    whole = [folder for folder in beginning if folder == name or folder[:-ID_LENGTH] == name]
    matches = whole or beginning
    if len(matches) > 1:
        found = [SweepRun.open(out / folder) for folder in matches if folder in sweeps]
        led = {run.path.name for sweep in found for _, run in sweep.members}
        matches = [folder for folder in matches if folder not in led]
    if len(matches) == 1:
        return _opened(out / matches[0])
    if matches:
        raise UserError(f"'{name}' is the beginning of several runs: {', '.join(matches)}")
    if Path(name).is_dir():
        raise UserError(f"{name}: not a run folder (no study.toml in it)")
    hint = nearest(name, known) if known else "; there are none"
    raise UserError(f"no run '{name}' under {out}{hint}")


def find_run(named: Named, out: Path | str = "runs") -> Run:
    """The one run that is meant, see `find`. Raises UserError for a sweep as well."""
    found = find(named, out)
    if isinstance(found, SweepRun):
        names = ", ".join(f"{run.path.name} ({label})" for label, run in found.runs.items())
        name = found.path.name if isinstance(named, SweepRun) else named
        raise UserError(f"'{name}' is a sweep of several runs, name one of them: {names}")
    return found


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run or of a sweep."""
    return any((path / file).is_file() for file in ("study.toml", FILE))


def _opened(path: Path) -> Run | SweepRun:
    return SweepRun.open(path) if (path / FILE).is_file() else Run(path)


def all_runs(out: Path) -> list[Run]:
    """The runs under a folder, by name; a folder that cannot be looked into may be one."""
    return [Run(path) for path in sorted(out.glob("*")) if path.is_dir() and _may_be_run(path)]


def _may_be_run(path: Path) -> bool:
    try:
        return (path / "study.toml").exists()
    except OSError:
        return True


def open_ticket(path: Path) -> Ticket:
    """The ticket in a cell folder of a run, or in a file: of Tombola, or a mask made elsewhere with the weights beside
    it. Raises UserError for anything else."""
    if not path.is_dir():
        from tombola.lottery.mask_files import ticket_in  # here: it reads with torch

        return ticket_in(path)
    run, cell = cell_at(path)
    return run.ticket(cell)


def cell_at(path: Path) -> tuple[Run, Cell]:
    """The run and the cell that a folder is of. Raises UserError for another folder."""
    name = "/".join(path.resolve().parts[-4:])
    if not CELL.fullmatch(name):
        raise UserError(f"{path}: not a cell folder of a run (RUN/cells/r0/L03/ticket/0) nor a ticket file")
    return Run.open(path.resolve().parents[4]), cell_named(name)
