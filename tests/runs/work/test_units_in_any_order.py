"""Units of a run, trained in any order that their edges allow, by several workers: the bits are a local run's."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from support.cases import also_slow
from support.route_parts import ROUTE_TABLES, by, travelling
from support.study_kit import contents, no_leftovers, run_tiny, tiny
from support.worker_parts import prepared_in, run_by_several
from tombola.lottery.cell import Cell
from tombola.models.initializers import glorot
from tombola.runs.folder import Run
from tombola.runs.work.units import Units
from tombola.study.spec import Study
from tombola.training.engines.base import ENGINES

PLAIN = {"recipe": {"iterations": 10, "evaluate_every": 5, "curve_every": 5}, "replicates": 4}
LADDERS: dict[str, Any] = {"data": {"split": "study"}, "donors": 3}
STUDIES: dict[str, Study] = {
    "arms": tiny(**PLAIN, levels=3),
    "partners and own ladders": tiny(
        **PLAIN, levels=3, arms=[{"name": "partner"}, {"name": "fresh", "draws": 2}]
    ),
    "donors and twins": tiny(
        **PLAIN | LADDERS,
        arms=[{"name": "donor"}, {"name": "core", "levels": [2]}, {"name": "twin", "levels": [1]}],
    ),
    "a ticket that is not rewound": tiny(
        **PLAIN,
        arms=[{"name": "reinit"}, {"name": "again", "weights": "trained"}],
        pruning={"after": "learning-rate"},
    ),
    "continued": tiny(**PLAIN, pruning={"mode": "continued"}),
    "a search": tiny(**PLAIN, pruning={"mode": "gradual"}, arms=[{"name": "reinit"}, {"name": "partner"}]),
    "one-shot, rewound, masks only": tiny(
        **PLAIN, pruning={"mode": "one-shot", "rewind": 5}, store={"keep": "masks"}
    ),
    "early birds": tiny(**PLAIN, pruning={"mode": "early-bird"}),
    "short rounds": tiny(**PLAIN, pruning={"mode": "short-rounds"}),
    "routes, from sources too": travelling(*(by(kind) for kind in ROUTE_TABLES)),
    **{
        f"a source, {mode}, taken at two levels": travelling(
            by("carry", levels=[1, 3], controls=[]),
            sources={"other": {"pruning": {"mode": mode, "search": {"every": 2}}}},
            levels=3,
        )
        for mode in ("rigl", "early-bird", "short-rounds")
    },
}


@pytest.fixture(autouse=True)
def small_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a level of a replicate is not one unit."""
    monkeypatch.setattr(ENGINES["mlp"], "stack_size", 2)


@pytest.mark.parametrize("seed", also_slow([0], range(1, 6)))
@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_the_bits_are_those_of_a_run_in_one_process(study: Study, seed: int, tmp_path: Path) -> None:
    whole = run_tiny(tmp_path / "one", study)
    shared = run_by_several(tmp_path / "several", study, seed)
    assert contents(shared.path) == contents(whole.path)
    assert stacks_of(shared) == stacks_of(whole)
    assert no_leftovers(shared.path)
    assert not (shared.path / ".work").exists()


def test_a_run_is_begun_in_one_process_and_finished_by_several_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    study = STUDIES["donors and twins"]
    whole = contents(run_tiny(tmp_path / "whole", study).path)
    run_tiny(tmp_path / "on", study.model_copy(update={"levels": 1}))
    assert contents(run_by_several(tmp_path / "on", study, 3).path) == whole
    begun = run_by_several(tmp_path / "back", study, 4, stop_after=9)
    assert 0 < len(begun.cells()) < len(study.cells())
    assert contents(run_tiny(tmp_path / "back", study).path) == whole


@pytest.mark.parametrize("seed", [0, 1])
def test_ladders_that_end_are_left_by_all(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some replicates begin with an output layer that global pruning takes all of (see test_ladder_ends.py)."""

    def shrunk(module: Any, rng: Any) -> Any:
        state = glorot(module, rng)
        if float(state["fc1.weight"][0, 0]) < 0:
            state["out.weight"] = state["out.weight"] * 1e-6
        return state

    monkeypatch.setattr(importlib.import_module("tombola.models.architecture"), "glorot", shrunk)
    study = tiny(
        replicates=4,
        levels=3,
        recipe={"iterations": 4, "evaluate_every": 4, "curve_every": 4, "lr": 1e-6},
        pruning={"allocation": "global"},
        arms=[{"name": "partner"}, {"name": "random-mask-global"}],
    )
    whole = run_tiny(tmp_path / "one", study)
    ended = {cell.replicate for cell in whole.cells() if whole.record(cell).status != "ok"}
    assert ended
    assert any(
        set(stack) - {str(cell) for cell in whole.cells()} for stack in stacks_of(whole) if "L03" in stack[0]
    )
    shared = run_by_several(tmp_path / "several", study, seed)
    assert contents(shared.path) == contents(whole.path)


def stacks_of(run: Run) -> list[list[str]]:
    stacks: list[list[str]] = run.environment["record"]["stacks"]
    return stacks


def test_a_level_waits_for_its_own_replicates_alone(tmp_path: Path) -> None:
    prepared = prepared_in(tmp_path, STUDIES["arms"])
    workers = prepared.workers()
    units = Units(workers)
    dense = units.ready()
    assert {unit.cells[0].level for unit in dense} == {0}
    workers[""].unit(dense[0].cells)
    ready = units.ready()
    assert ready[0] == dense[1]
    assert {unit.replicates for unit in ready[1:]} == {frozenset({r}) for r in dense[0].replicates}
    assert {unit.cells[0].level for unit in ready[1:]} == {1}
    assert Cell(3, 1, "ticket", 0) not in {cell for unit in ready for cell in unit.cells}
