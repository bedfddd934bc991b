"""The processes that torchrun starts: the first runs the study, the others train each stack with it.

    torchrun --nproc-per-node 2 -m tombola run study.toml

Only the first has the run's folder, prints and reports; it says which stack comes next, and with that all of them call
`train_stack` alike.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.runs.run_options import RunOptions
from tombola.runs.stacks import Asked
from tombola.study.bind import bind
from tombola.study.load import parse_study
from tombola.study.plan import Plan, make_plan
from tombola.training.device import pick_device, prepare
from tombola.training.loop import train_stack
from tombola.training.parallel import Ranks, leave, ranks


def assists(options: RunOptions, dry_run: bool) -> bool:
    """Whether this process was there for the first one of torchrun, and is done. Raises UserError for options that
    say otherwise who trains."""
    here = ranks()
    if here is None:
        return False
    if options.on or options.shard:
        raise UserError("the processes of torchrun train together; expected no --on and no --shard beside it")
    if here.rank == 0:
        return False
    if not dry_run:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first process says what there is to say
            assist(here, options.data_dir)
    return True


def dismiss() -> None:
    """The first process has trained all there is."""
    here = ranks()
    if here:
        here.share(None)
        leave()


def assist(here: Ranks, data_dir: Path | None) -> None:
    """Train what the first process asks for, until it asks no more."""

    @cache
    def bound(study: str, device: str) -> tuple[Plan, Resident]:
        spec, dataset, net = bind(parse_study(study, "the study"), data_dir)
        return make_plan(spec, net), Resident(dataset, spec.data.normalisation, pick_device(device))

    while asked := here.share():
        assert isinstance(asked, Asked)
        prepare(asked.threads)
        plan, data = bound(asked.study, asked.device)
        lottery = replace(plan.lottery, asked=asked.levels) if asked.lottery else None
        train_stack(
            plan.architecture,
            asked.starts,
            data,
            plan.study.recipe_at(asked.first.level),
            plan.study.data.validation,
            engine="modules",
            search=lottery.search(asked.first) if lottery else None,
            watch=lottery.watch(asked.first) if lottery else None,
            snapshot_at=asked.snapshot_at,
            until=asked.until,
            ranks=here,
        )
    leave()
