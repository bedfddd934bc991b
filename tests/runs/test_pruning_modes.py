"""When masks are made and where tickets start from: every mode, through a whole run, stopped and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.study_kit import cells_of, contents, run_tiny, tiny
from tombola.errors import UserError
from tombola.lottery.arms.catalog import CONTINUED, TICKET
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.models.state import State
from tombola.runs.folder import Run
from tombola.study.spec import Study


def ticket(level: int, arm: str = TICKET) -> Cell:
    return Cell(0, level, arm, 0)


def prunable(state: State, mask: Mask) -> dict[str, Tensor]:
    return {name: state[name] for name in mask}


def largest(state: State, mask: Mask) -> Mask:
    """The mask with as many weights a layer as `mask` has, the largest of `state`."""
    bits = {}
    for name, count in mask.counts().items():
        flat = torch.zeros(mask.size(name), dtype=torch.bool)
        flat[state[name].abs().reshape(-1).argsort(descending=True)[:count]] = True
        bits[name] = flat.view(mask[name].shape)
    return Mask(bits)


def begun(run: Run, cell: Cell) -> State:
    """The weights that the training of a cell began from."""
    return run.mask(cell).apply(run.start(cell))


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


MODES: dict[str, dict[str, Any]] = {
    "continued": {"pruning": {"mode": "continued"}},
    "at-init": {"pruning": {"mode": "at-init"}},
    "one-shot": {"pruning": {"mode": "one-shot"}},
    "snip": {"pruning": {"mode": "at-init", "criterion": "snip", "allocation": "global"}},
    "synflow": {"pruning": {"mode": "at-init", "criterion": "synflow", "allocation": "global"}},
    "gradient": {"pruning": {"criterion": "gradient"}},
    "learning-rate": {"pruning": {"after": "learning-rate", "rewind": 5}},
    "fine-tune": {"pruning": {"after": "fine-tune", "rewind": 5}, "arms": []},
}


@pytest.mark.parametrize("mode", MODES)
def test_a_run_taken_up_again_ends_with_the_same_bits(mode: str, tmp_path: Path) -> None:
    whole = run_tiny(tmp_path / "whole", tiny(**MODES[mode]))
    short = run_tiny(tmp_path / "parts", tiny(**MODES[mode], levels=1))
    longer = run_tiny(tmp_path / "parts", tiny(**MODES[mode]))
    assert short.path == longer.path
    assert cells_of(contents(longer.path)) == cells_of(contents(whole.path))
    assert all(whole.record(cell).status == "ok" for cell in whole.cells())


def test_continued_training_is_never_reset_and_is_what_is_pruned(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"mode": "continued"}, arms=[]))
    dense = run.weights(ticket(0), "end")
    for level in (1, 2):
        on, own = ticket(level, CONTINUED), ticket(level)
        before = dense if level == 1 else run.weights(ticket(1, CONTINUED), "end")
        assert run.mask(on) == run.mask(own) == largest(before, run.mask(own))
        living = run.mask(on).apply(before)
        assert same(prunable(begun(run, on), run.mask(on)), prunable(living, run.mask(on))), "it goes on"
        assert same(begun(run, own), run.mask(own).apply(run.start(ticket(0)))), "a ticket starts afresh"


def test_masks_at_initialisation_do_not_depend_on_training(tmp_path: Path) -> None:
    runs = [
        run_tiny(tmp_path / f"{lr}", tiny(pruning={"mode": "at-init"}, recipe={"lr": lr}, arms=[]))
        for lr in (0.01, 0.1)
    ]
    for level in (1, 2):
        masks = [run.mask(ticket(level)) for run in runs]
        assert masks[0] == masks[1] == largest(runs[0].start(ticket(0)), masks[0])


@pytest.mark.parametrize("after", ["learning-rate", "fine-tune"])
def test_without_rewinding_a_ticket_trains_on(after: str, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"after": after, "rewind": 5}, arms=[]))
    for level in (1, 2):
        mask, before = run.mask(ticket(level)), run.weights(ticket(level - 1), "end")
        assert same(begun(run, ticket(level)), mask.apply(before))
        assert run.record(ticket(level)).iterations == 15


def test_fine_tuning_keeps_the_last_learning_rate() -> None:
    steps = {"schedule": "milestones", "milestones": [6, 12], "gamma": 0.1, "warmup": 3}
    study = tiny(recipe=steps, pruning={"after": "fine-tune"}, arms=[])
    assert study.recipe_at(0) == study.recipe
    assert {study.recipe_at(1).lr_at(t) for t in range(20)} == {study.recipe.lr_at(19)}
    assert study.recipe.lr_at(19) == pytest.approx(0.01 * 0.1**2)


def test_snip_keeps_what_the_loss_depends_on(tmp_path: Path) -> None:
    """Masks by |w * g| differ from those by magnitude, in what they keep and not in how much."""
    snip = run_tiny(tmp_path / "a", tiny(**MODES["snip"], arms=[]))
    other = tiny(pruning={"mode": "at-init", "allocation": "global"}, arms=[])
    magnitude = run_tiny(tmp_path / "b", other)
    a, b = snip.mask(ticket(2)), magnitude.mask(ticket(2))
    assert a.count() == b.count()
    assert a != b


WRONG = [
    ({"mode": "continued", "after": "learning-rate"}, "needs mode = 'iterative' or 'one-shot'"),
    ({"mode": "at-init", "after": "fine-tune"}, "needs mode"),
    ({"after": "fine-tune"}, "could not learn: expected weights = 'trained'"),
    ({"mode": "sometimes"}, "unknown mode 'sometimes'"),
    ({"criterion": "snipp"}, "did you mean 'snip'"),
]


@pytest.mark.parametrize(("pruning", "words"), WRONG)
def test_what_does_not_go_together_is_refused(pruning: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, UserError), match=words):
        tiny(pruning=pruning)


def test_the_listed_arm_is_trained_beside_any_ticket(tmp_path: Path) -> None:
    """As an arm of an iterative study, `continued` trains on from the ticket of the level before."""
    study: Study = tiny(arms=[{"name": CONTINUED, "levels": [2]}])
    run = run_tiny(tmp_path, study)
    cell = ticket(2, CONTINUED)
    assert same(begun(run, cell), run.mask(cell).apply(run.weights(ticket(1), "end")))
    assert cell in run.cells()
    assert ticket(1, CONTINUED) not in run.cells()


def test_frozen_weights_are_in_the_stored_start(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(arms=[{"name": "freeze"}]))
    initial, frozen = run.start(ticket(0)), ticket(2, "freeze")
    assert same(run.start(frozen), initial), "living and dead, all are where they were"
    dead = {name: ~bits for name, bits in run.mask(frozen).items()}
    end = run.weights(frozen, "end")
    assert all(torch.equal(end[name][bits], initial[name][bits]) for name, bits in dead.items())
    assert any(bits.any() for bits in dead.values())
    with pytest.raises(UserError, match="arm 'freeze' freezes dead weights"):
        run.ticket(frozen)
    assert run.ticket(ticket(2)).provenance["recipe"]["lr"] == 0.01
