"""The index of cells: with it every answer is what it is without it, whatever became of the cells or of it."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.archive import closed
from support.damage import with_index
from support.study_kit import run_tiny, tiny
from tombola.errors import UserError
from tombola.files import write_json
from tombola.lottery.cell import Cell
from tombola.runs.cells import cells, index
from tombola.runs.cells.record import TIMING_FILE, CellRecord, place_of, timing_table
from tombola.runs.check.damage import damages_of
from tombola.runs.folder import Run
from tombola.runs.results import results_of

pytestmark = pytest.mark.filterwarnings("ignore::tombola.errors.Notice")

REPLICATES = 4
clock = itertools.count(1_000_000_000, 10)


@pytest.fixture(autouse=True)
def of_few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    with_index(monkeypatch.setattr)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a dense network, a ticket and a control for each replicate."""
    study = tiny(levels=1, replicates=REPLICATES, arms=[{"name": "reinit"}])
    return run_tiny(tmp_path_factory.mktemp("whole"), study).path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / whole.name))


def answers(path: Path) -> list[Any]:
    """The results of a run and its records, or the sentences that they end with."""
    found: list[Any] = []
    asked: list[Callable[[Run], Any]] = [
        lambda run: results_of(run).to_dicts(),
        lambda run: list(run.records().items()),
    ]
    for ask in asked:
        try:
            found.append(ask(Run(path)))
        except UserError as problem:
            found.append(str(problem))
    return found


def without(path: Path) -> list[Any]:
    """The same without an index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "MANY", 1_000_000)
        return answers(path)


def noted(path: Path) -> set[str]:
    """The cells that the index has something of."""
    found = index.Index(path)
    return {str(cell) for cell in Run(path).cells() if found.entry(cell)}


def aged(path: Path) -> None:
    """Give a file a time of change that it has not had: the clock's ticks are too long for a test."""
    os.utime(path, (next(clock), next(clock)))


# --- what can become of cells and of the index ------------------------------------------------------------------


def add(run: Run, chance: random.Random) -> None:
    """A cell of a further replicate."""
    there = run.cells()
    if not there:
        return
    cell = chance.choice(there)
    new = replace(cell, replicate=max(each.replicate for each in there) + 1)
    try:
        record = CellRecord.read(run.folder(cell) / "cell.json", cell)
    except UserError:
        return
    shutil.copytree(run.folder(cell), run.folder(new))
    sealed = replace(record, cell=new).sealed(record.digests or {}, "")
    write_json(run.folder(new) / "cell.json", sealed.table())
    write_json(run.folder(new) / TIMING_FILE, timing_table(chance.random(), place_of(new, "")))


def delete(run: Run, chance: random.Random) -> None:
    """A cell."""
    shutil.rmtree(run.folder(chance.choice(run.cells())), ignore_errors=True)


def a_file(run: Run, chance: random.Random) -> Path | None:
    files = sorted(
        path for place in ("cells", "starts") for path in (run.path / place).rglob("*") if path.is_file()
    )
    return chance.choice(files) if files else None


def lose(run: Run, chance: random.Random) -> None:
    """A file of a cell, or a start."""
    if path := a_file(run, chance):
        path.unlink()


def turn(run: Run, chance: random.Random) -> None:
    """A bit of a file of a cell, where it lies."""
    path = a_file(run, chance)
    if path and (data := bytearray(path.read_bytes())):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        aged(path)


def cut(run: Run, chance: random.Random) -> None:
    """A file of a cell short, with the time of change that it had."""
    if path := a_file(run, chance):
        before = path.stat()
        path.write_bytes(path.read_bytes()[: before.st_size // 2])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(run: Run, chance: random.Random) -> None:
    """Two cells of an arm and level."""
    there = run.cells()
    one = chance.choice(there) if there else None
    alike = [cell for cell in there if one and (cell.level, cell.arm) == (one.level, one.arm)]
    if one and len(alike) > 1:
        first, second = run.folder(one), run.folder(chance.choice(alike))
        if first != second:
            first.rename(aside := first.with_name("aside"))
            second.rename(first)
            aside.rename(second)


def spoil(run: Run, chance: random.Random) -> None:
    """A bit of the index, or its end."""
    path = run.path / index.INDEX
    if path.exists() and (data := bytearray(path.read_bytes())):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data if chance.random() < 0.5 else data[: len(data) // 2])


def forget(run: Run, _: random.Random) -> None:
    """The index."""
    (run.path / index.INDEX).unlink(missing_ok=True)


def put_back(run: Run, _: random.Random) -> None:
    """An index that was true when it was stored."""
    kept = run.path.parent / "kept"
    if kept.exists():
        shutil.copy(kept, run.path / index.INDEX)
    elif (run.path / index.INDEX).exists():
        shutil.copy(run.path / index.INDEX, kept)


CHANGES = [add, delete, lose, turn, cut, swap, spoil, forget, put_back]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=5), st.integers(0, 2**32))
def test_no_answer_depends_on_the_index(
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[Callable[[Run, random.Random], None]],
    number: int,
) -> None:
    folder, chance = tmp_path_factory.mktemp("random"), random.Random(number)
    path = Path(shutil.copytree(whole, folder / whole.name))
    assert answers(path) == without(path)
    for change in changes:
        if not Run(path).cells():
            break
        change(Run(path), chance)
        assert answers(path) == without(path), change.__name__
    assert answers(path) == without(path)
    shutil.rmtree(folder)


# --- one by one -------------------------------------------------------------------------------------------------

TICKET = Cell(1, 1, "ticket", 0)


def test_it_is_written_once_and_used_from_then_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answers(path)
    assert noted(path) == {str(cell) for cell in Run(path).cells()}
    monkeypatch.setattr(CellRecord, "read", lambda *_: pytest.fail("a cell.json is read"))
    monkeypatch.setattr(cells, "fault", lambda *_: pytest.fail("a start is opened"))
    assert answers(path) == first


def test_what_cannot_be_seen_by_it_is_found_by_who_reads_the_file(path: Path) -> None:
    """A bit that turns on the disk changes no time."""
    answers(path)
    mask = Run(path).folder(TICKET) / "mask.safetensors"
    before, data = mask.stat(), bytearray(mask.read_bytes())
    data[-1] ^= 1
    mask.write_bytes(data)
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    run = Run(path)
    run.records()
    assert str(TICKET) in noted(path)
    with pytest.raises(UserError, match=r"mask.safetensors: is damaged"):
        run.mask(TICKET)


def test_of_a_record_that_decays_unseen_the_one_that_was_stored_is_used_and_verify_names_it(
    path: Path,
) -> None:
    before = answers(path)
    record = Run(path).folder(TICKET) / "cell.json"
    state, data = record.stat(), record.read_bytes()
    record.write_bytes(data.replace(b'"status": "ok"', b'"status": "oK"'))
    os.utime(record, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert answers(path) == before
    assert [each.path for each in damages_of(Run(path))] == [record]


def test_a_file_put_in_the_place_of_another_is_seen_by_its_inode(path: Path) -> None:
    answers(path)
    record = Run(path).folder(TICKET) / "cell.json"
    before, other = record.stat(), record.with_name("other")
    other.write_bytes(record.read_bytes().replace(b"ok", b"no"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(record)
    with pytest.raises(UserError, match=r"cell\.json"):
        Run(path).records()


def test_what_has_just_changed_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SETTLED", 1000.0)
    old = {cell for cell in Run(path).cells() if cell.replicate}
    for cell in old:
        for file in Run(path).folder(cell).iterdir():
            aged(file)
    answers(path)
    assert noted(path) == {str(cell) for cell in old}


def test_an_archive_is_read_without_one(path: Path) -> None:
    expected = without(path)
    with closed(path):
        assert answers(path) == expected
    assert not (path / index.INDEX).exists()


def test_few_cells_have_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MANY", 13)
    answers(path)
    assert not (path / index.INDEX).exists()


def test_a_few_more_cells_do_not_have_it_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(path)
    before = (path / index.INDEX).read_bytes()
    monkeypatch.setattr(cells, "MANY", 2)
    add(Run(path), random.Random(0))
    assert answers(path) == without(path)
    assert (path / index.INDEX).read_bytes() == before


def test_what_is_no_more_is_forgotten(path: Path) -> None:
    answers(path)
    run = Run(path)
    shutil.rmtree(run.folder(TICKET))
    for file in run.folder(Cell(0, 0, "ticket", 0)).iterdir():
        aged(file)
    answers(path)
    assert str(TICKET).encode() not in (path / index.INDEX).read_bytes()


def test_cells_of_old_are_told_of_with_it_as_well(path: Path) -> None:
    run = Run(path)
    for cell in run.cells():
        record = replace(run.record(cell), digests=None, seal=None)
        write_json(run.folder(cell) / "cell.json", record.table())
    for _ in range(2):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            Run(path).records()
        assert sum("without digests" in str(each.message) for each in said) == 1
    assert noted(path)


def test_a_killed_writer_leaves_nothing_for_long(path: Path) -> None:
    litter = path / f".{index.INDEX}.0123abcd.tmp"
    litter.write_bytes(b"half")
    aged(litter)
    answers(path)
    assert not litter.exists()
