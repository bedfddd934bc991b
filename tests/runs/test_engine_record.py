"""The engine record: how cells are packed into stacks, and that a make-up, once recorded, is used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.study_kit import run_tiny, tiny
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs import stacks
from tombola.runs.environment import EngineRecord, packed
from tombola.runs.folder import Run
from tombola.training.engines.base import ENGINES


def cells(replicates: int, draws: int) -> list[Cell]:
    """The tickets and their reinits of a level."""
    return [
        cell
        for r in range(replicates)
        for cell in (Cell(r, 1, "ticket", 0), *(Cell(r, 1, "reinit", d) for d in range(draws - 1)))
    ]


def shape(stacks: list[list[Cell]]) -> list[list[int]]:
    """The replicate of each cell of each stack."""
    return [[cell.replicate for cell in stack] for stack in stacks]


@pytest.mark.parametrize(
    ("replicates", "draws", "size", "expected"),
    [
        (3, 2, 6, [[0, 0, 1, 1, 2, 2]]),
        (3, 2, 5, [[0, 0, 1, 1], [2, 2]]),
        (3, 2, 4, [[0, 0, 1, 1], [2, 2]]),
        (3, 2, 3, [[0, 0], [1, 1], [2, 2]]),
        (2, 1, 8, [[0, 1]]),
        # A replicate that does not fit is cut; the next one may fill up its last stack.
        (2, 3, 2, [[0, 0], [0], [1, 1], [1]]),
        (2, 5, 3, [[0, 0, 0], [0, 0], [1, 1, 1], [1, 1]]),
        (0, 1, 4, []),
    ],
)
def test_packing_keeps_replicates_whole_where_they_fit(
    replicates: int, draws: int, size: int, expected: list[list[int]]
) -> None:
    stacks = packed(cells(replicates, draws), size)
    assert shape(stacks) == expected
    assert [cell for stack in stacks for cell in stack] == cells(replicates, draws)
    assert all(len(stack) <= size for stack in stacks)


def record_in(folder: Path, stacks: list[list[str]]) -> EngineRecord:
    folder.mkdir(exist_ok=True)
    environment: dict[str, Any] = {"record": {"stacks": stacks}}
    return EngineRecord(Run(folder), environment)


def test_stacks_are_written_down_before_they_are_trained(tmp_path: Path) -> None:
    record = record_in(tmp_path, [])
    stacks = record.stacks(cells(2, 2), lambda cell: False, 2)
    assert shape(stacks) == [[0, 0], [1, 1]]
    assert Run(tmp_path).environment["record"]["stacks"] == [[str(c) for c in stack] for stack in stacks]


def test_a_recorded_make_up_is_used_again_whatever_the_size_now(tmp_path: Path) -> None:
    level = cells(2, 2)
    whole = [[str(cell) for cell in level]]
    record = record_in(tmp_path, whole)
    assert record.stacks(level, lambda cell: False, 1) == [level]
    # One cell of it is missing: the stack is trained whole, since alone it would round otherwise.
    assert record.stacks(level, lambda cell: cell != level[3], 1) == [level]
    assert record.stacks(level, lambda cell: True, 1) == []
    assert record.record["stacks"] == whole


def test_new_cells_form_stacks_of_their_own(tmp_path: Path) -> None:
    record = record_in(tmp_path, [[str(cell) for cell in cells(2, 2)]])
    more = cells(3, 3)
    stacks = record.stacks(more, lambda cell: cell.replicate < 2 and cell.draw < 1, 8)
    new = [Cell(0, 1, "reinit", 1), Cell(1, 1, "reinit", 1), *(c for c in more if c.replicate == 2)]
    assert stacks == [new]
    assert len(record.record["stacks"]) == 2


def test_a_cell_that_is_done_without_a_record_is_left_alone(tmp_path: Path) -> None:
    level = cells(1, 3)
    assert record_in(tmp_path, []).stacks(level, lambda cell: cell.draw == 0, 8) == [[level[2]]]


def test_a_run_trains_in_the_stacks_that_it_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENGINES["mlp"], "stack_size", 3)
    trained: list[int] = []
    real = stacks.train_stack

    def train_stack(architecture: Any, starts: Any, *args: Any, **options: Any) -> Any:
        trained.append(len(starts))
        return real(architecture, starts, *args, **options)

    monkeypatch.setattr(stacks, "train_stack", train_stack)
    run = run_tiny(tmp_path)
    made = run.environment["record"]["stacks"]
    assert [len(stack) for stack in made] == trained == [2, 3, 3, 3, 3]
    assert sorted(name for stack in made for name in stack) == sorted(str(cell) for cell in run.cells())

    trained.clear()
    monkeypatch.setattr(ENGINES["mlp"], "stack_size", 100)
    run_tiny(tmp_path, tiny(levels=3))
    assert trained == [6], "only the new level, in a stack of today's size"
    assert run.environment["record"]["stacks"][:5] == made


def test_a_finished_stack_is_left_alone_whatever_else_is_asked_for(tmp_path: Path) -> None:
    """A replicate whose weights were dropped has no cells below dense when another is taken up again."""
    stack = ["r0/L01/ticket/0", "r1/L01/ticket/0"]
    record = EngineRecord(Run(tmp_path), {"record": {"stacks": [stack]}})
    asked = [Cell(1, 1, "ticket", 0)]
    assert record.stacks(asked, lambda cell: True, 4) == []
    with pytest.raises(UserError, match="the weights that this was pruned from are gone"):
        record.stacks(asked, lambda cell: cell not in asked, 4)


def test_a_cell_whose_ladder_ended_is_left_out_of_the_stack_that_was_settled_for_it(tmp_path: Path) -> None:
    level = cells(2, 2)
    record = record_in(tmp_path, [])
    record.settle([level], lambda cell: False, 4)
    assert Run(tmp_path).environment["record"]["stacks"] == [[str(cell) for cell in level]]
    goes_on = [cell for cell in level if cell.replicate == 1]
    assert record.stacks(goes_on, lambda cell: False, 1, planned=level) == [goes_on]
    with pytest.raises(UserError, match="a stack holds r0/L01/ticket/0, which the study does not draw"):
        record.stacks(goes_on, lambda cell: False, 1)
