"""Sources that another run has trained: copied where their bits are the same, sealed for their place, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.route_parts import travelling
from support.study_kit import Notes, contents, run_tiny
from tombola.errors import Notice
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs.cells.record import TIMING_FILE, place_of, timing_in
from tombola.runs.check.damage import damages_of
from tombola.runs.folder import Ladders, Run
from tombola.study.spec import Study

NARROW = {"model": {"name": "lenet-8-8"}}
SHORT = {"mode": "short-rounds", "search": {"every": 2, "window": 1, "threshold": 0.6}}
BIRD = {"mode": "early-bird", "search": {"every": 2, "window": 1, "threshold": 0.6}}


def first(source: dict[str, Any], levels: list[int] | None = None, **changes: Any) -> Study:
    table = {"kind": "elastic", "from": "narrow", "levels": levels}
    return travelling(table, sources={"narrow": source}, name="first", **changes)


def second(source: dict[str, Any], levels: list[int] | None = None, **changes: Any) -> Study:
    """Another study, whose source has another name and may be the same."""
    table = {"kind": "elastic", "from": "thin", "levels": levels, "options": {"blocks": "interpolation"}}
    return travelling(table, sources={"thin": source}, name="second", pruning={"rate": 0.5}, **changes)


def spelled(source: dict[str, Any], **pruning: Any) -> dict[str, Any]:
    """A source with the pruning of `first`, for `second`, which has another."""
    return {**source, "pruning": {"rate": 0.3, **source.get("pruning", {}), **pruning}}


def source(run: Run) -> Ladders:
    return run.ladders()[0]


def copied(run: Run) -> dict[Cell, str | None]:
    there = source(run)
    return {
        cell: timing_in(there.folder(cell) / TIMING_FILE, place_of(cell, there.ladder)).copied_from
        for cell in there.cells()
    }


@pytest.mark.parametrize("pruning", [{}, SHORT, BIRD, {"mode": "rigl", "search": {"every": 5}}])
def test_a_source_that_another_run_has_trained_is_copied_with_the_same_bits(
    pruning: dict[str, Any], tmp_path: Path
) -> None:
    table = {**NARROW, "pruning": pruning}
    one = run_tiny(tmp_path / "here", first(table))
    alone = run_tiny(tmp_path / "alone", second(spelled(table)))
    notes = Notes()
    with pytest.warns(
        Notice, match=f"networks of it copied from {one.path.name}/sources/narrow, where"
    ) as said:
        two = run_tiny(tmp_path / "here", second(spelled(table)), progress=notes)
    trained = [cell for cell in source(two).cells() if source(two).record(cell).iterations]
    assert [str(each.message).partition(" of it")[0] for each in said] == [
        f"[sources.thin]: {len(trained)} networks"
    ]
    assert {cell for cell, name in copied(two).items() if name} == set(trained)
    assert contents(two.path) == contents(alone.path)
    assert damages_of(two) == []
    assert notes.advanced == 2 * (20 * 3 + 20 * 2), "the ladder and the route alone"
    assert [source(two).seconds(cell) for cell in trained] == [source(one).seconds(cell) for cell in trained]


def test_a_study_of_its_own_may_be_a_source(tmp_path: Path) -> None:
    """What was trained further there than is asked for here is not taken."""
    plain = first(NARROW).source("narrow")
    own = run_tiny(tmp_path, Study.model_validate({**plain.model_dump(), "name": "home"}))
    with pytest.warns(Notice, match=f"4 networks of it copied from {own.path.name}, where"):
        run = run_tiny(tmp_path, first(NARROW))
    assert copied(run) == {
        Cell(r, level, TICKET, 0): own.path.name if level < 2 else None for r in (0, 1) for level in range(3)
    }
    assert damages_of(run) == []


@pytest.mark.parametrize(
    ("changes", "table"),
    [
        ({"recipe": {"iterations": 21}}, NARROW),
        ({}, {**NARROW, "pruning": {"rate": 0.4}}),
        ({"seed": 1}, NARROW),
        ({}, {**NARROW, "recipe": {"lr": 0.02}}),
    ],
)
def test_a_source_that_differs_is_not_believed(
    changes: dict[str, Any], table: dict[str, Any], tmp_path: Path
) -> None:
    run_tiny(tmp_path, first(NARROW))
    run = run_tiny(tmp_path, second(spelled(table), **changes))
    assert set(copied(run).values()) == {None}


def test_nor_one_of_another_engine_or_one_that_was_watched_for_fewer_masks(tmp_path: Path) -> None:
    run_tiny(tmp_path, first(NARROW), engine="modules")
    assert set(copied(run_tiny(tmp_path, second(spelled(NARROW)))).values()) == {None}
    table = {**NARROW, "pruning": BIRD}
    run_tiny(tmp_path / "birds", first(table, [1]))
    assert set(copied(run_tiny(tmp_path / "birds", second(spelled(table), [2]))).values()) == {None}


def test_a_damaged_source_is_trained_anew_and_said(tmp_path: Path) -> None:
    one = run_tiny(tmp_path, first(NARROW))
    whole = run_tiny(tmp_path / "alone", second(spelled(NARROW)))
    file = source(one).folder(Cell(1, 0, TICKET, 0)) / "end.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.warns(Notice) as said:
        run = run_tiny(tmp_path, second(spelled(NARROW)))
    assert any("sources/thin: not copied from another run (" in str(each.message) for each in said)
    assert contents(run.path) == contents(whole.path)
    assert {cell.level for cell, name in copied(run).items() if name} == {1}


def test_one_that_was_stopped_lends_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, first(NARROW), progress=Notes(stop_after=45))
    whole = run_tiny(tmp_path / "alone", second(spelled(NARROW)))
    with pytest.warns(Notice, match="2 networks of it copied"):
        run = run_tiny(tmp_path, second(spelled(NARROW)))
    assert contents(run.path) == contents(whole.path)
    assert len([name for name in copied(run).values() if name]) == 2
