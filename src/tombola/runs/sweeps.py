"""A sweep on disk: the runs of its members, and a small file that names them.

runs/<name>-<8 hex>/sweep.toml     the swept keys, and for each member its values and the folder of its run
runs/<name>-<8 hex>/report/        the members on one page
runs/<name>-<id of a member>/      the run of a member: as if the member had been run alone
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w
from torch import nn

from tombola.data.dataset import Dataset
from tombola.errors import UserError
from tombola.files import write_bytes
from tombola.runs.folder import Run
from tombola.runs.progress import Progress
from tombola.runs.results import results_of
from tombola.runs.runner import run_study
from tombola.runs.trackers.base import open_trackers
from tombola.study.load import read_text
from tombola.study.plan import bind, make_plan
from tombola.study.sweep import Member, Sweep, label_of, require_different, shown
from tombola.training.device import pick_device, prepare

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
            table = tomllib.loads(read_text(file))
            title, listed = (
                str(table["title"]),
                [(dict(m["values"]), str(m["run"])) for m in table["members"]],
            )
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as problem:
            raise UserError(f"{file}: not the file of a sweep ({problem!r})") from None
        for _, name in listed:
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
        write_bytes(self.path / FILE, tomli_w.dumps({"title": self.title, "members": members}).encode())


def run_sweep(
    sweep: Sweep,
    out: Path = Path("runs"),
    *,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
    progress: Progress | None = None,
    beginning: Callable[[Member], None] = lambda member: None,
    track: Sequence[str] = (),
) -> SweepRun:
    """Run every member of a sweep, from wherever an earlier run of it stopped; see `tombola.runs.runner.run_study`.

    Each is in the folder that it would have alone, with the same bits; a dense network that several share is trained
    once and copied. `beginning` is told of each member in turn. Raises UserError before anything is trained where
    any of them cannot be.
    """
    open_trackers(track)
    prepare(threads)
    pick_device(device)
    sweep = bound(sweep, data_dir, dataset, model)
    folders = [Run(out / member.study.folder) for member in sweep.members]
    values = [member.values for member in sweep.members]
    found = SweepRun(out / sweep.folder, sweep.title, tuple(zip(values, folders, strict=True)))
    for member, folder in zip(sweep.members, folders, strict=True):
        _announce(folder, member)
    found.save()
    for index, member in enumerate(sweep.members):
        beginning(member)
        run_study(
            member.study,
            out,
            device=device,
            engine=engine,
            threads=threads,
            data_dir=data_dir,
            dataset=dataset,
            model=model,
            progress=progress,
            dense_from=folders[:index],
            track=track,
        )
    return found


def bound(
    sweep: Sweep,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    model: nn.Module | Callable[..., nn.Module] | None = None,
) -> Sweep:
    """The sweep with its members bound to their data and networks, and planned. Raises UserError."""
    members = []
    for member in sweep.members:
        study, _, net = bind(member.study, data_dir, dataset, model)
        make_plan(study, net)
        members.append(replace(member, study=study))
    require_different(members, sweep.first.name)
    return replace(sweep, members=tuple(members))


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


def _announce(folder: Run, member: Member) -> None:
    """Write the study of a member that has no run yet, so that the sweep can be looked at before its turn comes."""
    folder.path.mkdir(parents=True, exist_ok=True)
    if folder.is_foreign():
        raise UserError(f"{folder.path}: is not empty and holds no study.toml; move it away first")
    if not (folder.path / "study.toml").exists():
        folder.write_study(member.study)
