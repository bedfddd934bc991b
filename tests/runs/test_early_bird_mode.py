"""Early-bird tickets through a whole run: what is stored, extended, stopped and taken up again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tombola
from support.study_kit import Notes, cells_of, contents, no_leftovers, run_tiny, times, tiny, toy_data
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.runs import stacks
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.study.load import load_study
from tombola.study.pruning import Pruning
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint
from tombola.training.recipe import Recipe

EVERY = {"every": 2}
NEVER = {"every": 4, "threshold": 1e-9}


def birds(search: dict[str, Any] | None = None, **changes: Any) -> Study:
    pruning = {"mode": "early-bird", "search": EVERY if search is None else search}
    return tiny(pruning={**pruning, **changes.pop("pruning", {})}, **changes)


def test_tickets_have_the_masks_that_were_seen_in_the_dense_training(tmp_path: Path) -> None:
    study = birds(pruning={"rewind": 5}, store={"keep": "all"})
    folder = run_tiny(tmp_path, study)
    assert set(folder.cells()) == set(study.cells()), "no cell more than of any other mode"
    one_shot = run_tiny(tmp_path, tiny(pruning={"mode": "one-shot"}))
    for r in (0, 1):
        seen = folder.birds(r)
        assert [bird.level for bird in seen] == [1, 2]
        for bird in seen:
            ticket = Cell(r, bird.level, TICKET, 0)
            assert folder.mask(ticket) == folder.mask(Cell(r, bird.level, "reinit", 0)) == bird.mask
            assert bird.mask.counts() == one_shot.mask(ticket).counts(), "the exact ladder"
            assert bird.iterations == tuple(range(2, 21, 2))
            steps = np.diag(bird.distances, 1)
            first = next((i + 5 for i in range(len(steps) - 4) if (steps[i : i + 5] < 0.1).all()), None)
            assert bird.drawn is (first is not None)
            assert bird.iteration == (20 if first is None else 2 * (first + 1))
            record = folder.record(ticket)
            assert record.found_iteration == bird.iteration
            assert ("never" in record.found_because) is not bird.drawn
            assert record.iterations == 15
            start, initial = folder.start(ticket), folder.start(Cell(r, 0, TICKET, 0))
            assert start.keys() == initial.keys()
    assert any(bird.drawn for r in (0, 1) for bird in folder.birds(r)), "or this shows little"


def test_the_dense_network_is_that_of_any_other_mode(tmp_path: Path) -> None:
    folder, other = run_tiny(tmp_path, birds()), run_tiny(tmp_path, tiny())
    mine, theirs = (
        {name: kept for name, kept in contents(each.path).items() if name.startswith("cells/r0/L00")}
        for each in (folder, other)
    )
    assert {name: kept for name, kept in mine.items() if "early-bird" not in name} == theirs
    assert mine.keys() - theirs.keys() == {
        f"cells/r0/L00/ticket/0/early-bird-L0{level}.safetensors" for level in (1, 2)
    }


def test_masks_that_never_stand_still_are_those_of_one_shot_pruning(tmp_path: Path) -> None:
    fast = {"recipe": {"lr": 0.1}}
    folder = run_tiny(tmp_path, birds(NEVER, **fast))
    one_shot = run_tiny(tmp_path, tiny(pruning={"mode": "one-shot"}, **fast))
    for cell in one_shot.cells():
        assert folder.mask(cell) == one_shot.mask(cell)
        if cell.arm == TICKET and cell.level:
            record = folder.record(cell)
            assert record.found_iteration == 20
            assert record.found_because == "masks never stood still, so the last one was taken"


def test_results_say_when_masks_were_found(tmp_path: Path) -> None:
    folder = run_tiny(tmp_path, birds())
    for row in results_of(folder).to_dicts():
        expected = None
        if row["arm"] == TICKET and row["level"]:
            expected = folder.birds(row["replicate"])[row["level"] - 1].iteration
        assert row["found_iteration"] == expected
    plain = run_tiny(tmp_path, tiny())
    assert results_of(plain)["found_iteration"].to_list() == [None] * len(plain.cells())
    assert "found_iteration" not in plain.record(Cell(0, 1, TICKET, 0)).table()


@pytest.mark.parametrize("keep", ["living", "masks"])
def test_a_run_that_is_extended_ends_with_the_same_bits(keep: str, tmp_path: Path) -> None:
    """Levels that nobody looked for are looked for then: the dense network is trained again, and not written."""
    study = birds(store={"keep": keep})
    alone = {"engine": "modules"}  # networks one by one: their bits do not depend on who was there when
    whole = run_tiny(tmp_path / "whole", study, **alone)
    if keep == "living":
        short = birds(store={"keep": keep}, levels=1, replicates=1, arms=[])
        first = run_tiny(tmp_path / "parts", short, **alone)
        before = times(first.path)
        assert [bird.level for bird in first.birds(0)] == [1]
        assert missing(first, short.model_copy(update={"levels": 2}))[0] == Cell(0, 0, TICKET, 0)
        longer = run_tiny(tmp_path / "parts", short.model_copy(update={"levels": 2}), **alone)
        assert [bird.level for bird in longer.birds(0)] == [1, 2]
        after = times(first.path)
        assert all(after[name] == time for name, time in before.items() if name.startswith("cells/"))
    parts = run_tiny(tmp_path / "parts", study, **alone)
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    before = times(parts.path)
    notes = Notes()
    run_tiny(tmp_path / "parts", study, progress=notes, **alone)
    assert times(parts.path) == before, "nothing is done twice"
    assert notes.advanced == 0
    assert missing(parts, study) == []


@pytest.mark.parametrize("stop", [10, 25, 60, 110])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))
    whole = run_tiny(tmp_path / "whole", birds())
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", birds(), progress=Notes(stop_after=stop))
    notes = Notes()
    parts = run_tiny(tmp_path / "parts", birds(), progress=notes)
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    assert no_leftovers(parts.path)
    assert notes.done + notes.advanced <= notes.total


def test_tickets_drawn_one_by_one_are_watched_as_well() -> None:
    """Taken at iteration 4, when the first two masks are nearer than 1: as if the training had ended there."""

    def drawn(mode: str, iterations: int, **options: Any) -> list[Mask]:
        return [
            ticket.mask
            for ticket in tombola.draw(
                "lenet-8-6",
                toy_data(),
                levels=2,
                recipe=Recipe(iterations=iterations, batch=10, lr=0.05),
                pruning=Pruning.model_validate({"mode": mode, "rate": 0.3, **options}),
                device="cpu",
                engine="mlp",
            )
        ]

    search = {"every": 2, "window": 1, "threshold": 1.0}
    assert drawn("early-bird", 20, search=search) == drawn("one-shot", 4)
    assert drawn("one-shot", 4) != drawn("one-shot", 20)


def test_a_dense_network_that_diverges_has_no_birds(tmp_path: Path) -> None:
    study = birds(recipe={"optimizer": "sgd", "lr": 1e30})
    folder = run_tiny(tmp_path, study)
    assert folder.cells() == [Cell(r, 0, TICKET, 0) for r in (0, 1)]
    assert {folder.record(cell).status for cell in folder.cells()} == {"diverged"}
    assert missing(folder, study) == []


def test_the_id_stays_and_options_at_their_default_do_not_enter(tmp_path: Path) -> None:
    plain = tiny(pruning={"mode": "early-bird"})
    assert plain.identity() == birds({}).identity() == birds({"threshold": 0.1, "window": 5}).identity()
    assert len({study.identity() for study in (plain, birds(), birds(NEVER), tiny())}) == 4
    assert [birds().identity(), plain.identity()] == ["da60e972", "60836dbd"]
    path = tmp_path / "s.toml"
    path.write_text(birds().to_toml())
    assert load_study(str(path)) == birds()
    path.write_text(plain.to_toml())
    assert load_study(str(path)) == plain


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"search": {"evry": 3}}, "mode 'early-bird' has no option 'evry'; did you mean 'every'"),
    ({"search": {"threshold": 0.0}}, "threshold is 0.0: input should be greater than 0"),
    ({"search": {"window": 0}}, "window is 0: input should be greater than 0"),
    ({"search": {"every": 20}}, "so that only the end would be seen"),
    ({"after": "fine-tune"}, "needs mode = 'iterative' or 'one-shot'"),
    ({"after": "learning-rate"}, "needs mode = 'iterative' or 'one-shot'"),
    ({"criterion": "grasp"}, "which criterion 'grasp' cannot"),
    ({"mode": "early-birds"}, "unknown mode 'early-birds'; did you mean 'early-bird'"),
]


@pytest.mark.parametrize(("pruning", "words"), WRONG)
def test_what_does_not_go_together_is_refused(pruning: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, UserError), match=words):
        birds(arms=[], pruning=pruning)
