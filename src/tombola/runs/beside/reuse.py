"""Dense networks that other runs have trained already: copied, where training them again would give the same bits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from tombola.files import new_folder, write_bytes, write_json
from tombola.lottery.cell import Cell
from tombola.runs.cells.record import TIMING_FILE, place_of, timing_in, timing_table
from tombola.runs.environment import EngineRecord
from tombola.runs.folder import Run
from tombola.runs.progress import is_whole
from tombola.study.spec import Study

PRUNING_MODES = ("iterative", "continued", "one-shot", "at-init")
"""Modes that leave the dense training to itself; a search may watch it, and store what it saw."""


def take_dense(folder: Run, study: Study, record: EngineRecord, size: int, donors: Sequence[Run]) -> int:
    """Copy dense cells from `donors`, stack by stack; returns how many were copied.

    A stack is copied from a run that trained it whole, of the same networks in the same order, with equal engine,
    machine, versions, code and network (the two environments are the same but for their stacks and studies), and a
    study that is the same in all that dense training depends on: so the bits are those that training here would give.
    Each cell is whole or not there, so that a copy that was cut off goes on.
    """
    fitting = [donor for donor in donors if _trains_the_same(donor, study, record)]
    if not fitting:
        return 0
    copied = 0
    dense = [cell for cell in study.cells() if cell.level == 0]
    for stack in record.stacks(dense, folder.has, size):
        donor = next((run for run in fitting if _has_stack(run, stack)), None)
        for cell in stack if donor else ():
            if donor and not folder.has(cell):
                _copy(donor, folder, cell)
                copied += 1
    return copied


def shares_dense(a: Study, b: Study) -> bool:
    """Whether the dense networks of two studies are the same trainings."""

    def deciding(study: Study) -> tuple[Any, ...]:
        return study.seed, study.model, study.data, study.recipe_at(0), study.pruning.rewind, study.store

    return deciding(a) == deciding(b) and {a.pruning.mode, b.pruning.mode} <= set(PRUNING_MODES)


def _trains_the_same(donor: Run, study: Study, record: EngineRecord) -> bool:
    environment = donor.environment
    known = "record" in environment and shares_dense(donor.study, study)
    return known and _for_any_study(environment) == _for_any_study(record.environment)


def _for_any_study(environment: dict[str, Any]) -> dict[str, Any]:
    """What two studies may have in common: all but their stacks and what they are."""
    return {**environment, "study": None, "record": {**environment["record"], "stacks": None}}


def _has_stack(donor: Run, stack: Sequence[Cell]) -> bool:
    """Whether a run has trained this very stack, and still has all of it, weights and all."""
    names = [str(cell) for cell in stack]
    if names not in donor.environment["record"]["stacks"]:
        return False
    return all(is_whole(donor, cell) and donor.keeps_weights(cell) for cell in stack)


def _copy(donor: Run, folder: Run, cell: Cell) -> None:
    """Copy a cell and the weights it starts from, and note in its timing where it is from."""
    for digest in donor.record(cell).starts:
        if not folder.start_file(digest).exists():
            write_bytes(folder.start_file(digest), donor.start_file(digest).read_bytes())
    with new_folder(folder.folder(cell)) as place:
        shutil.copytree(donor.folder(cell), place, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        own = place_of(cell, folder.ladder)
        seconds = timing_in(place / TIMING_FILE, own).seconds
        write_json(place / TIMING_FILE, timing_table(seconds, own, donor.path.name))
