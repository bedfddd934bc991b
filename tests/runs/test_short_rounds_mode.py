"""Rounds that are cut short where the next mask stands still: masks, records, extension, and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from support.study_kit import Notes, cells_of, contents, no_leftovers, run_tiny, times, tiny
from tombola.errors import UserError
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.runs import stacks
from tombola.runs.folder import Run
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint
from tombola.training.search.early_bird import distance_map, exchanged, first_calm


def short(search: dict[str, Any] | None = None, **changes: Any) -> Study:
    options = {"every": 2, "window": 2, "threshold": 0.3, **(search or {})}
    pruning = {"mode": "short-rounds", "search": options}
    return tiny(pruning={**pruning, **changes.pop("pruning", {})}, **changes)


def first(number: int) -> Mask:
    """Twenty weights of which the first so many live."""
    return Mask({"x": torch.arange(20) < number})


def test_distance_is_the_share_of_the_pruned_weights_that_are_exchanged() -> None:
    """Of 15 weights 10 stay; the second mask keeps two others of the 15 than the first: 2 of 5 are exchanged."""
    other = first(10) & ~first(2) | (first(12) & ~first(10))
    assert exchanged(first(10), first(10), first(15)) == 0
    assert exchanged(first(10), other, first(15)) == 2 / 5
    assert exchanged(first(15), first(15), first(15)) == 0, "nothing is pruned"
    masks = [first(10), other, other, other]
    near = partial(exchanged, before=first(15))
    assert first_calm(masks, 0.3, 2, near) == 3
    assert first_calm(masks, 0.41, 2, near) == 2
    assert distance_map(masks[:2], near).tolist() == [[0, 0.4], [0.4, 0]]


@pytest.mark.parametrize("rewind", [0, 5])
def test_each_mask_is_seen_in_the_ticket_above_it(rewind: int, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, short(pruning={"rewind": rewind}, store={"keep": "all"}))
    assert set(run.cells()) == set(run.study.cells()), "no cell more than of any other mode"
    plain = run_tiny(tmp_path, tiny(pruning={"rewind": rewind}))
    for r in (0, 1):
        assert [bird.level for bird in run.birds(r)] == [1, 2]
        for bird in run.birds(r):
            above, ticket = Cell(r, bird.level - 1, TICKET, 0), Cell(r, bird.level, TICKET, 0)
            assert run.bird_file(above, bird.level).exists()
            assert run.mask(ticket) == run.mask(Cell(r, bird.level, "reinit", 0)) == bird.mask
            assert bird.mask <= run.mask(above), "nested"
            assert bird.mask.counts() == plain.mask(ticket).counts(), "the exact ladder"
            begins = rewind if bird.level > 1 else 0
            assert bird.iterations == tuple(t for t in range(2, 21, 2) if t > begins)
            assert run.record(ticket).found_iteration == bird.iteration
            assert run.record(ticket).iterations == 20 - rewind, "tickets are trained whole"
        assert not run.bird_file(Cell(r, 0, TICKET, 0), 2).exists()
        assert not (run.folder(Cell(r, 1, "reinit", 0)) / "early-bird-L02.safetensors").exists()
    found = results_of(run).filter(arm=TICKET).sort("level")["found_iteration"].to_list()
    assert found[:2] == [None, None]
    assert all(isinstance(iteration, int) for iteration in found[2:])


def test_groups_of_unequal_size_keep_the_number_that_the_ladder_says(tmp_path: Path) -> None:
    """Rows of 6, 16 and 6 weights in one contest; which of them live decides what an average one has."""
    rule = {"structure": "channels", "allocation": "global", "rate": 0.4, "rates": {"output": 0.0}}
    kinds = {"model": {"name": "lenet-16-16"}, "levels": 3, "arms": []}
    run = run_tiny(tmp_path, short(pruning=rule, **kinds))
    plain = run_tiny(tmp_path, tiny(pruning=rule, **kinds))
    for cell in plain.cells():
        rows = [sum(int(bits.any(1).sum()) for bits in each.mask(cell).values()) for each in (run, plain)]
        assert rows[0] == rows[1], cell


def test_a_round_that_never_settles_is_an_ordinary_one(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, short({"threshold": 1e-9, "window": 11}))
    plain = run_tiny(tmp_path, tiny())
    for cell in plain.cells():
        assert run.mask(cell) == plain.mask(cell)
    record = run.record(Cell(0, 2, TICKET, 0))
    assert record.found_iteration == 20
    assert record.found_because == "masks never stood still, so the last one was taken"


def test_a_mask_taken_early_is_that_of_a_shorter_training(tmp_path: Path) -> None:
    """Any two masks of a round are nearer than 1.0 here, so that the second look, at iteration 4, decides."""
    early = run_tiny(tmp_path, short({"threshold": 1.0, "window": 1}, arms=[]))
    four = run_tiny(tmp_path, tiny(recipe={"iterations": 4, "evaluate_every": 2, "curve_every": 2}, arms=[]))
    whole = run_tiny(tmp_path, tiny(arms=[]))
    for r in (0, 1):
        for level in (1, 2):
            cell = Cell(r, level, TICKET, 0)
            assert early.record(cell).found_iteration == 4
            assert early.mask(cell) == four.mask(cell)
    assert any(early.mask(Cell(r, 2, TICKET, 0)) != whole.mask(Cell(r, 2, TICKET, 0)) for r in (0, 1))


def test_a_run_that_is_extended_ends_with_the_same_bits(tmp_path: Path) -> None:
    """The last ticket, whose training nobody watched, is trained again for the next level, and not written."""
    alone = {"engine": "modules"}
    whole = run_tiny(tmp_path / "whole", short(), **alone)
    part = short(levels=1, replicates=1, arms=[])
    first = run_tiny(tmp_path / "parts", part, **alone)
    before = times(first.path)
    assert [bird.level for bird in first.birds(0)] == [1]
    assert missing(first, part.model_copy(update={"levels": 2}))[0] == Cell(0, 1, TICKET, 0)
    parts = run_tiny(tmp_path / "parts", short(), **alone)
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    after = times(parts.path)
    assert all(after[name] == time for name, time in before.items() if name.startswith("cells/"))
    notes = Notes()
    run_tiny(tmp_path / "parts", short(), progress=notes, **alone)
    assert notes.advanced == 0


@pytest.mark.parametrize("stop", [10, 60, 110])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))
    whole = run_tiny(tmp_path / "whole", short())
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", short(), progress=Notes(stop_after=stop))
    parts = run_tiny(tmp_path / "parts", short())
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    assert no_leftovers(parts.path)


def test_other_arms_of_the_stack_are_not_looked_at(tmp_path: Path) -> None:
    """An arm with other counts in its layers could not give a mask of the ladder's."""
    run = run_tiny(tmp_path, short(arms=[{"name": "random-mask-global"}]))
    assert {run.record(cell).status for cell in run.cells()} == {"ok"}


def test_a_ticket_that_diverges_ends_its_ladder(tmp_path: Path) -> None:
    study = short(recipe={"optimizer": "sgd", "lr": 1e30})
    run: Run = run_tiny(tmp_path, study)
    assert run.cells() == [Cell(r, 0, TICKET, 0) for r in (0, 1)]
    assert missing(run, study) == []


@pytest.mark.parametrize(
    ("pruning", "words"),
    [
        ({"search": {"evry": 3}}, "mode 'short-rounds' has no option 'evry'; did you mean 'every'"),
        ({"after": "fine-tune"}, "needs mode = 'iterative' or 'one-shot'"),
        (
            {"criterion": "grasp"},
            "short-rounds masks are made of weights while they train, which criterion 'grasp'",
        ),
        ({"search": {"every": 20}}, "so that only the end would be seen"),
    ],
)
def test_what_does_not_go_together_is_refused(pruning: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, UserError), match=words):
        short(arms=[], pruning=pruning)
