"""Ladders whose rounds are as long as they need to be: which trainings are cut, what is pruned, what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.study_kit import Notes, cells_of, contents, no_leftovers, run_tiny, tiny, toy_data
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs import stacks
from tombola.runs.beside.reuse import shares_dense
from tombola.study.bind import bind
from tombola.study.plan import make_plan
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint


def cut(rounds: int = 10, whole: Any = (2,), **changes: Any) -> Study:
    pruning = {"rounds": rounds, "whole": whole, **changes.pop("pruning", {})}
    return tiny(pruning=pruning, **changes)


def test_rounds_are_those_of_a_shorter_study_and_whole_levels_have_the_whole_recipe(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, cut())
    shorter = run_tiny(tmp_path, tiny(recipe={"iterations": 10}))
    for cell in run.cells():
        assert run.mask(cell) == shorter.mask(cell)
        assert run.record(cell).iterations == (20 if cell.level == 2 else 10)
    below = {name: kept for name, kept in cells_of(contents(run.path)).items() if "L02" not in name}
    assert below == {
        name: kept for name, kept in cells_of(contents(shorter.path)).items() if "L02" not in name
    }
    last = run.history(Cell(0, 2, TICKET, 0))["iteration"].max()
    assert (run.history(Cell(0, 1, TICKET, 0))["iteration"].max(), last) == (10, 20)


def test_dense_may_be_whole_and_rounds_begin_where_tickets_are_rewound_to(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, cut(whole=[0, 2], pruning={"rewind": 5}))
    found = [run.record(Cell(0, level, TICKET, 0)).iterations for level in range(3)]
    assert found == [20, 5, 15]


def test_the_plan_counts_what_is_trained() -> None:
    study, _, net = bind(cut(arms=[]), dataset=toy_data())
    plan = make_plan(study, net)
    assert [plan.network_iterations(Cell(0, level, TICKET, 0)) for level in range(3)] == [10, 10, 20]
    assert make_plan(bind(tiny(arms=[]), dataset=toy_data())[0], net).bytes_on_disk() > plan.bytes_on_disk()


def test_dense_networks_are_shared_where_they_are_the_same_trainings() -> None:
    assert not shares_dense(cut(), tiny())
    assert shares_dense(cut(whole=[0, 2]), tiny())
    assert shares_dense(cut(), cut(whole=[1]))


@pytest.mark.parametrize("stop", [10, 50, 110])
def test_stopped_or_extended_it_ends_with_the_same_bits(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))
    whole = run_tiny(tmp_path / "whole", cut())
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", cut(), progress=Notes(stop_after=stop))
    run_tiny(tmp_path / "parts", cut(levels=1))
    parts = run_tiny(tmp_path / "parts", cut())
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    assert no_leftovers(parts.path)


def test_ids_stay() -> None:
    assert tiny(pruning={"whole": []}).identity() == tiny().identity()
    assert len({cut().identity(), cut(9).identity(), cut(whole=[1]).identity(), tiny().identity()}) == 4


@pytest.mark.parametrize(
    ("pruning", "words"),
    [
        ({"rounds": None}, "rounds is missing"),
        ({"whole": ()}, "whole lists no level that is trained to the end"),
        ({"rounds": 21}, "pruning.rounds is 21, expected at most the recipe's 20 iterations"),
        ({"rewind": 10}, r"rounds is 10, expected more than rewind \(10\)"),
        ({"mode": "one-shot"}, "it needs mode = 'iterative' and after = 'rewind', found 'one-shot' and 'rewind'"),
        ({"mode": "short-rounds"}, "found 'short-rounds' and 'rewind'"),
        ({"after": "learning-rate"}, "found 'iterative' and 'learning-rate'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(pruning: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cut(pruning=pruning)
