"""Running a sweep: each member in the folder that it would have alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from tombola.data.dataset import Dataset
from tombola.errors import UserError
from tombola.runs.folder import Run
from tombola.runs.progress import Progress
from tombola.runs.runner import run_study
from tombola.runs.sweeps import SweepRun
from tombola.runs.trackers.base import open_trackers
from tombola.study.plan import bind, make_plan
from tombola.study.sweep import Member, Sweep, require_different
from tombola.training.device import pick_device, prepare


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


def _announce(folder: Run, member: Member) -> None:
    """Write the study of a member that has no run yet, so that the sweep can be looked at before its turn comes."""
    folder.path.mkdir(parents=True, exist_ok=True)
    if folder.is_foreign():
        raise UserError(f"{folder.path}: is not empty and holds no study.toml; move it away first")
    if not (folder.path / "study.toml").exists():
        folder.write_study(member.study)
