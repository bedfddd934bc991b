"""Dense networks and sources of routes that other runs have trained already: copied, where training them again would
give the same bits."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tombola.errors import UserError, notice
from tombola.files import new_folder, write_bytes, write_json
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs.cells.record import TIMING_FILE, place_of, timing_in, timing_table
from tombola.runs.environment import EngineRecord
from tombola.runs.environment_file import ENVIRONMENT_FILE
from tombola.runs.folder import Ladders, Run
from tombola.runs.progress import is_done, is_whole
from tombola.study.ladders import SOURCES, ends_when_still, goes_to, steps_at_most
from tombola.study.spec import Study
from tombola.text import counted
from tombola.training.search.bird import Bird, seen_from

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
    dense = [cell for cell in study.cells() if cell.level == 0]
    return _take(folder, dense, record, size, fitting, folder.has).total()


def take_source(folder: Ladders, record: EngineRecord, size: int, out: Path) -> int:
    """Copy what other runs in `out` have trained of a source, as `take_dense` does, and say so; returns how many cells.

    A source is known by all that decides its cells, whatever it is called there; a study without arms may be one, too.
    What is not trained at all is not copied either, nor what was trained further than is asked for here.
    """
    study, cells, own = folder.study, folder.study.cells(), _for_any_study(record.environment)

    def done(cell: Cell) -> bool:
        return is_done(folder, study, cell) or not steps_at_most(study, cell)

    if all(done(cell) for cell in cells):
        return 0
    fitting = [donor for donor in _others(folder, out) if _for_any_study(donor.environment) == own]
    taken = Counter[str]()
    for level in range(study.levels + 1):  # in order, since each level is read as its source has it
        taken += _take(folder, [c for c in cells if c.level == level], record, size, fitting, done)
    for name, count in taken.items():
        said = f"{counted(count, 'network')} of it copied from {name}, where it was trained already"
        notice(f"[{folder.kind.replace('/', '.')}]: {said}")
    return taken.total()


def _others(folder: Ladders, out: Path) -> Iterator[Run]:
    """Sources and studies in `out` that say of themselves that they are of the very study that a source is."""
    for path in sorted((*out.glob(f"*/{ENVIRONMENT_FILE}"), *out.glob(f"*/{SOURCES}/*/{ENVIRONMENT_FILE}"))):
        place = path.parent
        beside = place.parent.name == SOURCES
        other = (
            Ladders(Run(place.parents[1]), f"{SOURCES}/{place.name}", folder.study) if beside else Run(place)
        )
        try:
            facts = other.environment.get("study") or {}
            if place != folder.path and facts.get("deciding") == folder.study.deciding():
                yield other
        except UserError:  # whoever reads that run is told
            continue


def _take(
    folder: Run,
    cells: Sequence[Cell],
    record: EngineRecord,
    size: int,
    donors: Sequence[Run],
    done: Callable[[Cell], bool],
) -> Counter[str]:
    """Copy the stacks of these cells that donors have; returns how many cells of which donor."""
    copied = Counter[str]()
    for stack in record.stacks(cells, done, size) if donors else ():
        donor = next((run for run in donors if _has_stack(run, folder, stack)), None)
        for cell in stack if donor else ():
            if donor and not done(cell):
                _copy(donor, folder, cell)
                copied[_named(donor)] += 1
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


def _named(donor: Run) -> str:
    """What a run, or a source of one, is called."""
    return f"{donor.path.parents[1].name}/{donor.ladder}" if donor.ladder else donor.path.name


def _has_stack(donor: Run, folder: Run, stack: Sequence[Cell]) -> bool:
    """Whether a run has trained this very stack as it would be trained in the folder, and still has all of it, weights
    and all, as it was stored."""
    names = [str(cell) for cell in stack]
    if names not in donor.environment["record"]["stacks"]:
        return False
    if not all(is_whole(donor, cell) and donor.keeps_weights(cell) for cell in stack):
        return False
    try:
        for cell in stack:
            _require_sound(donor, cell)
        return not isinstance(folder, Ladders) or _is_as_long(donor, folder.study, stack)
    except UserError as problem:
        notice(f"{folder.path}: not copied from another run ({problem})")
        return False


def _require_sound(donor: Run, cell: Cell) -> None:
    """Read all of a cell. Raises UserError where a file is not what was stored."""
    record = donor.record(cell)
    for name in record.digests or ():
        donor.file(cell, name)
    for digest in record.starts:
        donor.start_weights(digest)


def _is_as_long(donor: Run, study: Study, stack: Sequence[Cell]) -> bool:
    """Whether the trainings of a stack of a source went as far as this one's would: where they end when masks stand
    still, to where the last of their masks does."""
    first, last = study.first_iteration(stack[0]), goes_to(study, stack[0])
    if ends_when_still(study, stack[0]):
        wanted = [*seen_from(study.pruning.mode, stack[0].level, study.levels)]
        seen = [_birds(donor, cell) for cell in stack]
        if any([bird.level for bird in birds] != wanted for birds in seen):
            return False
        if all(bird.drawn for birds in seen for bird in birds):
            back = study.pruning.rewind if stack[0].level == 0 else 0
            last = max(back, *(bird.iteration for birds in seen for bird in birds))
    return all(donor.record(cell).iterations == last - first for cell in stack)


def _birds(donor: Run, cell: Cell) -> list[Bird]:
    """What was seen of one cell while it trained, by level."""
    watched = cell.arm == TICKET
    return [
        bird for bird in donor.birds(cell.replicate) if watched and donor.bird_file(cell, bird.level).exists()
    ]


def _copy(donor: Run, folder: Run, cell: Cell) -> None:
    """Copy a cell and the weights it starts from, sealed for its place, and note in its timing where it is from."""
    record, own = donor.record(cell), place_of(cell, folder.ladder)
    for digest in record.starts:
        if not folder.start_file(digest).exists():
            write_bytes(folder.start_file(digest), donor.start_file(digest).read_bytes())
    folder.forget(cell)
    with new_folder(folder.folder(cell)) as place:
        shutil.copytree(donor.folder(cell), place, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        seconds = timing_in(place / TIMING_FILE, place_of(cell, donor.ladder)).seconds
        write_json(place / TIMING_FILE, timing_table(seconds, own, _named(donor)))
        if folder.ladder != donor.ladder:
            write_json(place / "cell.json", record.sealed(record.digests or {}, folder.ladder).table())
            for bird in _birds(donor, cell):
                name = donor.bird_file(cell, bird.level).name
                bird.save(place / name, f"{own}/{name}")
