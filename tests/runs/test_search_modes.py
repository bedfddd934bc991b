"""Modes whose masks are found by a training of its own: through a whole run, extended, stopped and taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tombola
from support.cases import also_slow
from support.study_kit import Notes, cells_of, contents, no_leftovers, run_tiny, times, tiny, toy_data
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell, level_cells
from tombola.models.architecture import architecture
from tombola.runs import stacks
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.seeds import Seeds
from tombola.study.load import load_study
from tombola.study.plan import make_plan
from tombola.study.pruning import Pruning
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint
from tombola.training.loop import train_stack
from tombola.training.search.base import Search
from tombola.training.start import Start
from tombola.training.trained import Trained

MODES = ("gradual", "set", "rigl")
EVERY = {"every": 3}


def searching(mode: str, **changes: Any) -> Study:
    pruning = {"mode": mode, "search": EVERY, **changes.pop("pruning", {})}
    return tiny(pruning=pruning, **changes)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("mode", MODES)
def test_the_mask_that_is_found_is_that_of_the_level(mode: str, tmp_path: Path) -> None:
    study = searching(mode, pruning={"rewind": 5}, store={"keep": "all"})
    folder = run_tiny(tmp_path, study)
    assert set(folder.cells()) == set(study.cells())
    iterative = run_tiny(tmp_path, tiny(pruning={"rewind": 5}))
    for r in (0, 1):
        for level in (1, 2):
            search, ticket = Cell(r, level, mode, 0), Cell(r, level, TICKET, 0)
            mask = folder.mask(search)
            assert mask == folder.mask(ticket) == folder.mask(Cell(r, level, "reinit", 0))
            assert mask.counts() == folder.mask(Cell(r, level, "random-mask", 0)).counts()
            assert mask.counts() == iterative.mask(ticket).counts(), "the exact ladder"
            assert same(mask.apply(folder.weights(search, "end")), folder.weights(search, "end"))
            assert folder.record(search).iterations == 20, "a search begins at iteration 0"
            assert folder.record(ticket).iterations == 15
            assert folder.record(search).density == folder.record(ticket).density == mask.density()
            initial = folder.start(Cell(r, 0, TICKET, 0))
            assert same(folder.start(search), mask.apply(initial))
    assert folder.mask(Cell(0, 1, mode, 0)) != folder.mask(Cell(1, 1, mode, 0))


@pytest.mark.parametrize(
    ("mode", "keep"),
    also_slow(
        [*((mode, "living") for mode in MODES), ("set", "masks")],
        [(mode, "masks") for mode in MODES],
    ),
)
def test_a_run_that_is_extended_ends_with_the_same_bits(mode: str, keep: str, tmp_path: Path) -> None:
    brief = {"iterations": 8, "evaluate_every": 4, "curve_every": 4}
    study = searching(mode, store={"keep": keep}, recipe=brief)
    alone = {"engine": "modules"}  # networks one by one: their bits do not depend on who was there when
    whole = run_tiny(tmp_path / "whole", study, **alone)
    if keep == "living":
        short = searching(mode, store={"keep": keep}, recipe=brief, levels=1, replicates=1, arms=[])
        run_tiny(tmp_path / "parts", short, **alone)
        run_tiny(tmp_path / "parts", short.model_copy(update={"levels": 2}), **alone)
    parts = run_tiny(tmp_path / "parts", study, **alone)
    assert whole.path.name == parts.path.name
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    assert (whole.path / "cells/r1/L02" / mode / "0/end.safetensors").exists() is (keep == "living")
    before = times(parts.path)
    run_tiny(tmp_path / "parts", study, **alone)
    assert times(parts.path) == before, "nothing is done twice"
    assert missing(parts, study) == []


def test_the_best_of_a_search_is_kept_whole(tmp_path: Path) -> None:
    """Its mask may have been another one: with what was found it would be no network that ever was."""
    folder = run_tiny(tmp_path, searching("set", recipe={"lr": 3.0}))
    others = 0
    for cell in folder.cells():
        if cell.arm == "set":
            best, mask = folder.weights(cell, "best"), folder.mask(cell)
            others += not same(mask.apply(best), best)
            assert sum(int((best[name] != 0).sum()) for name in mask) <= mask.count()
            assert folder.ticket(cell).mask == mask
    assert others, "or this shows nothing"


@pytest.mark.parametrize(
    ("mode", "stop"),
    also_slow(
        [("gradual", 50), ("set", 75), ("rigl", 75), ("rigl", 150)],
        [(mode, stop) for mode in MODES for stop in (50, 75, 150)],
    ),
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    mode: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))
    study = searching(mode, levels=1)
    whole = run_tiny(tmp_path / "whole", study)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", study, progress=Notes(stop_after=stop))
    notes = Notes()
    parts = run_tiny(tmp_path / "parts", study, progress=notes)
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    assert no_leftovers(parts.path)
    assert notes.done + notes.advanced <= notes.total


def test_progress_knows_the_searches(tmp_path: Path) -> None:
    notes = Notes()
    run_tiny(tmp_path, searching("rigl", pruning={"rewind": 5}), progress=notes)
    # Per replicate a dense network of 20 steps; at each of two levels a search of 20, and 3 networks of 15.
    assert notes.total == 2 * (20 + 2 * (20 + 3 * 15))
    assert notes.advanced == notes.total
    assert {cell.arm for cell in notes.landed_cells} == {TICKET, "rigl", "reinit", "random-mask"}


@pytest.mark.parametrize("mode", MODES)
def test_on_digits_it_learns(mode: str, tmp_path: Path) -> None:
    study = Study.model_validate(
        {
            "name": "digits",
            "replicates": 1,
            "levels": 1,
            "model": {"name": "lenet-16-12"},
            "data": {"name": "digits"},
            "recipe": {"iterations": 150, "batch": 30, "lr": 0.005, "evaluate_every": 50},
            "pruning": {"mode": mode, "rate": 0.5, "search": {"every": 20}},
        }
    )
    folder = run_study(study, RunOptions(tmp_path, device="cpu", threads=1))
    assert folder.environment["record"]["engine"] == "mlp", "the engine of choice holds masks that move"
    for row in results_of(folder).to_dicts():
        assert row["final_test_accuracy"] > 0.6, row


def failing(cell: Cell) -> Any:
    """`train_stack`, with one search that diverges."""

    def train(*args: Any, search: Search | None = None, **options: Any) -> list[Trained]:
        starts: Sequence[Start] = args[1]
        trained = train_stack(*args, search=search, **options)
        broken = Seeds.replicate(0, cell.replicate), cell.level
        return [
            replace(each, diverged=True) if search and (start.seeds, start.level) == broken else each
            for each, start in zip(trained, starts, strict=True)
        ]

    return train


def test_a_search_that_diverges_ends_the_ladder_of_its_replicate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = searching("rigl")
    whole = run_tiny(tmp_path / "whole", study)
    monkeypatch.setattr(stacks, "train_stack", failing(Cell(1, 1, "rigl", 0)))
    folder = run_tiny(tmp_path / "broken", study)
    assert {str(cell) for cell in folder.cells() if cell.replicate == 1} == {
        "r1/L00/ticket/0",
        "r1/L01/rigl/0",
    }
    assert folder.record(Cell(1, 1, "rigl", 0)).status == "diverged"
    mine = [cell for cell in whole.cells() if cell.replicate == 0]
    assert mine == [cell for cell in folder.cells() if cell.replicate == 0]
    assert all(folder.mask(cell) == whole.mask(cell) for cell in mine)
    assert missing(folder, study) == []
    before = times(folder.path)
    run_tiny(tmp_path / "broken", study)
    assert times(folder.path) == before, "also when it is remembered"


def test_the_plan_counts_the_searches() -> None:
    study = searching("gradual", pruning={"rewind": 5})
    net = architecture("lenet-8-6", (6,), 3)
    plan = make_plan(study, net)
    own = [cell for cell in plan.cells() if cell.replicate == 0 and cell.level == 2]
    assert [cell.arm for cell in own] == ["gradual", TICKET, "reinit", "random-mask"]
    assert [plan.network_iterations(cell) for cell in own] == [20, 15, 15, 15]
    assert plan.moving
    assert not make_plan(tiny(), net).moving
    assert level_cells(0, 0, [], "gradual") == [Cell(0, 0, TICKET, 0)]


def test_the_size_that_is_planned_is_about_right(tmp_path: Path) -> None:
    study = searching("set", model={"name": "lenet-60-40"}, levels=1, arms=[])
    folder = run_tiny(tmp_path, study)
    files = [p for name in ("cells", "starts") for p in (folder.path / name).rglob("*") if p.is_file()]
    planned = make_plan(folder.study, architecture("lenet-60-40", (6,), 3)).bytes_on_disk()
    assert planned == pytest.approx(sum(p.stat().st_size for p in files), rel=0.35)


def test_gradual_pruning_by_hand_through_a_run(tmp_path: Path) -> None:
    """Where nothing is learnt, what is left are the largest initial weights."""
    study = searching("gradual", recipe={"lr": 1e-12}, replicates=1, arms=[])
    folder = run_tiny(tmp_path, study)
    initial = folder.start(Cell(0, 0, TICKET, 0))
    for level in (1, 2):
        mask = folder.mask(Cell(0, level, TICKET, 0))
        for name, bits in mask.items():
            border = initial[name].abs().flatten().sort(descending=True).values[mask.count(name) - 1]
            assert torch.equal(bits, initial[name].abs() >= border)


def test_tickets_of_searches_are_drawn_one_by_one_too(tmp_path: Path) -> None:
    pruning = Pruning.model_validate({"mode": "rigl", "rate": 0.3, "search": EVERY, "rewind": 5})
    recipe = tiny().recipe
    drawn = list(
        tombola.draw(
            "lenet-8-6",
            toy_data(),
            levels=2,
            recipe=recipe,
            pruning=pruning,
            validation=30,
            device="cpu",
            engine="mlp",
        )
    )
    assert [ticket.provenance["level"] for ticket in drawn] == [0, 1, 2]
    # Layers of 48, 48 and 18 weights lose 30% at each level.
    assert [ticket.mask.counts() for ticket in drawn[1:]] == [
        {"fc1.weight": 34, "fc2.weight": 34, "out.weight": 13},
        {"fc1.weight": 24, "fc2.weight": 24, "out.weight": 9},
    ]
    assert not drawn[2].mask <= drawn[1].mask, "each level is found for itself"


# --- specs ---------------------------------------------------------------------------------------------


def test_options_at_their_default_do_not_change_the_id() -> None:
    plain = tiny(pruning={"mode": "gradual"})
    assert plain.identity() == tiny(pruning={"mode": "gradual", "search": {}}).identity()
    unsaid = plain.model_copy(update={"pruning": plain.pruning.model_copy(update={"search": None})})
    assert plain.identity() == unsaid.identity()
    assert (
        plain.identity()
        == tiny(pruning={"mode": "gradual", "search": {"every": 100, "end": 0.75}}).identity()
    )
    others = [searching("gradual"), searching("set"), searching("rigl"), tiny()]
    assert len({study.identity() for study in (plain, *others)}) == 5


def test_ids_of_searches_stay() -> None:
    """Literal ids: a change means that old runs are no longer found."""
    assert [searching(mode).identity() for mode in MODES] == ["b8973d9a", "93c284ec", "1a2f7722"]


def test_the_resolved_spec_holds_the_options_and_comes_back(tmp_path: Path) -> None:
    study = searching("rigl")
    assert "[pruning.search]\nevery = 3\nfraction = 0.3\nuntil = 0.75" in study.to_toml()
    path = tmp_path / "s.toml"
    path.write_text(study.to_toml())
    assert load_study(str(path)) == study
    changed = load_study(str(path), ["pruning.search.every=4"])
    assert changed.pruning.search is not None
    assert changed.pruning.search.model_dump() == {"every": 4, "fraction": 0.3, "until": 0.75}
    assert "search" not in tiny().to_toml()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "rigl", "search": {"evry": 3}}, "mode 'rigl' has no option 'evry'; did you mean 'every'"),
    ({"mode": "rigl", "search": {"begin": 0.1}}, "mode 'rigl' has no option 'begin'"),
    ({"mode": "rigl", "search": {"every": 0}}, "every is 0: input should be greater than or equal to 2"),
    ({"mode": "gradual", "search": {"every": "3"}}, "every is '3': input should be a valid integer"),
    ({"mode": "rigl", "search": 3}, "is 3, expected a table with every, fraction, until"),
    ({"search": {"every": 3}}, "mode = 'iterative' does not search; expected mode = .*'rigl'"),
    ({"mode": "rigle"}, "unknown mode 'rigle'; did you mean 'rigl'"),
    ({"mode": "rigl", "search": EVERY, "after": "fine-tune"}, "needs mode = 'iterative' or 'one-shot'"),
    ({"mode": "gradual", "search": EVERY, "after": "learning-rate"}, "needs mode"),
    ({"mode": "rigl", "search": EVERY, "criterion": "snip"}, "found criterion 'snip'"),
    ({"mode": "set", "search": {"every": 100}}, "so that no mask would change"),
]


@pytest.mark.parametrize(("pruning", "words"), WRONG)
def test_what_does_not_go_together_is_refused(pruning: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, UserError), match=words):
        tiny(pruning=pruning, arms=[])


@pytest.mark.parametrize("name", MODES)
def test_no_arm_is_called_like_a_search(name: str) -> None:
    with pytest.raises((ValueError, UserError), match="give the arm another name"):
        tiny(arms=[{"name": name, "mask": "shuffle"}])


def test_an_engine_that_cannot_hold_moving_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="engine 'sparse' cannot train networks whose masks change"):
        run_tiny(tmp_path, searching("set"), engine="sparse")
    assert not list(tmp_path.rglob("cell.json"))
