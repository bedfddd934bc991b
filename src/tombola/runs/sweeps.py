"""A sweep on disk: the runs of its members, and a small file that names them.

runs/<name>-<8 hex>/sweep.toml     the swept keys, and for each member its values and the folder of its run
runs/<name>-<8 hex>/report/        the members on one page
runs/<name>-<id of a member>/      the run of a member: as if the member had been run alone
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from tombola.errors import UserError
from tombola.files import parse_toml, write_bytes
from tombola.runs.folder import Run
from tombola.runs.results import results_of
from tombola.seals import sealed, unsealed
from tombola.study.load import read_text
from tombola.study.sweep import label_of, shown

FILE = "sweep.toml"


@dataclass(frozen=True)
class SweepRun:
    """The folder of a sweep: its title, and for each member the swept values and its run, in the sweep's order."""

    path: Path
    title: str
    members: tuple[tuple[Mapping[str, Any], Run], ...]

    @classmethod
    def open(cls, path: Path) -> SweepRun:
        """An existing sweep. Raises UserError for a broken sweep file, and where a member's run is gone."""
        file = path / FILE
        try:
            table = parse_toml(read_text(file), str(file))
            title, listed = (
                str(table["title"]),
                [(dict(m["values"]), str(m["run"])) for m in table["members"]],
            )
            if not listed or any(values.keys() != listed[0][0].keys() for values, _ in listed):
                raise ValueError("expected members, all of which have values of the same keys")
        except UserError:
            raise
        except (KeyError, TypeError, ValueError) as problem:
            raise UserError(f"{file}: not the file of a sweep ({problem!r})") from None
        unsealed(file, table, FILE)
        for _, name in listed:
            if name in ("", ".", "..") or Path(name).name != name:
                raise UserError(f"{file}: names the run {name!r}, expected the name of a folder beside it")
            if not (path.parent / name / "study.toml").is_file():
                raise UserError(f"{file}: names the run '{name}', which is not beside it")
        return cls(path, title, tuple((values, Run(path.parent / name)) for values, name in listed))

    @property
    def runs(self) -> dict[str, Run]:
        """Label ('criterion large-final') -> run, in order."""
        return {label_of(values): run for values, run in self.members}

    def save(self) -> None:
        """Write sweep.toml."""
        members = [{"run": run.path.name, "values": dict(values)} for values, run in self.members]
        table = sealed({"title": self.title, "members": members}, FILE)
        write_bytes(self.path / FILE, tomli_w.dumps(table).encode())


def sweep_results(found: SweepRun, *, timed: bool = True) -> pl.DataFrame:
    """The results of all members, one row a cell; first the run's folder and a column for each swept key."""
    kinds = [{type(values[key]) for values, _ in found.members} for key in found.members[0][0]]
    plain = {
        key: kind in ({str}, {int}, {float}, {bool})
        for key, kind in zip(found.members[0][0], kinds, strict=True)
    }
    frames = []
    for values, folder in found.members:
        columns = {key: value if plain[key] else shown(value) for key, value in values.items()}
        named = [pl.lit(value).alias(name) for name, value in {"run": folder.path.name, **columns}.items()]
        frames.append(results_of(folder, timed=timed).select(*named, pl.all()))
    return pl.concat(frames, how="vertical_relaxed")
