"""Modes that train scores over frozen weights, through a whole run: extended, stopped and taken up again."""

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
from tombola.models.state import State
from tombola.runs import stacks
from tombola.runs.progress import missing
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_study
from tombola.study.load import load_study
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint

MODES = ("edge-popup", "supermask")


def scoring(mode: str, **changes: Any) -> Study:
    return tiny(pruning={"mode": mode, **changes.pop("pruning", {})}, **changes)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("mode", MODES)
def test_tickets_begin_with_weights_that_were_never_scaled_or_trained(mode: str, tmp_path: Path) -> None:
    study = scoring(mode, store={"keep": "all"})
    folder = run_tiny(tmp_path, study)
    assert set(folder.cells()) == set(study.cells())
    iterative = run_tiny(tmp_path, tiny())
    for r in (0, 1):
        initial = folder.start(Cell(r, 0, TICKET, 0))
        for level in (1, 2):
            search, ticket = Cell(r, level, mode, 0), Cell(r, level, TICKET, 0)
            mask = folder.mask(search)
            assert mask == folder.mask(ticket) == folder.mask(Cell(r, level, "reinit", 0))
            assert mask.counts() == iterative.mask(ticket).counts(), "the exact ladder"
            assert same(folder.start(ticket), mask.apply(initial))
            assert same(folder.start(search), mask.apply(initial))
            end = folder.weights(search, "end")
            for name, value in initial.items():
                if name not in mask:
                    assert torch.equal(end[name], value), "biases are never trained"
                    continue
                scale = torch.tensor(mask.size(name)) / torch.tensor(mask.count(name))
                scaled = value * scale if mode == "supermask" else value
                assert torch.equal(end[name], torch.where(mask[name], scaled, 0.0))


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_extended_ends_with_the_same_bits(mode: str, tmp_path: Path) -> None:
    alone = {"engine": "modules"}  # networks one by one: their bits do not depend on who was there when
    whole = run_tiny(tmp_path / "whole", scoring(mode), **alone)
    short = scoring(mode, levels=1, replicates=1, arms=[])
    run_tiny(tmp_path / "parts", short, **alone)
    run_tiny(tmp_path / "parts", short.model_copy(update={"levels": 2}), **alone)
    parts = run_tiny(tmp_path / "parts", scoring(mode), **alone)
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    before = times(parts.path)
    run_tiny(tmp_path / "parts", scoring(mode), **alone)
    assert times(parts.path) == before, "nothing is done twice"
    assert missing(parts, scoring(mode)) == []


@pytest.mark.parametrize("stop", [50, 75])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    mode: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))
    study = scoring(mode, levels=1)
    whole = run_tiny(tmp_path / "whole", study)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", study, progress=Notes(stop_after=stop))
    parts = run_tiny(tmp_path / "parts", study)
    assert cells_of(contents(whole.path)) == cells_of(contents(parts.path))
    assert no_leftovers(parts.path)


def test_on_digits_a_supermask_computes_and_its_ticket_learns(tmp_path: Path) -> None:
    study = Study.model_validate(
        {
            "name": "digits",
            "replicates": 1,
            "levels": 1,
            "model": {"name": "lenet-32-24"},
            "data": {"name": "digits"},
            "recipe": {"iterations": 200, "batch": 60, "lr": 0.005, "evaluate_every": 100},
            "pruning": {"mode": "supermask", "rate": 0.5},
        }
    )
    folder = run_study(study, RunOptions(tmp_path, device="cpu", threads=1))
    accuracy = {cell.arm: folder.record(cell).final_test_accuracy for cell in folder.cells() if cell.level}
    assert accuracy["supermask"] > 0.7
    assert accuracy[TICKET] > accuracy["supermask"]


def test_ids_stay() -> None:
    assert [scoring(mode).identity() for mode in MODES] == ["afcaf67e", "8f582b9b"]
    explicit = scoring("edge-popup", pruning={"search": {"lr": 0.1, "momentum": 0.9, "schedule": "cosine"}})
    assert explicit.identity() == scoring("edge-popup").identity()
    assert (
        scoring("supermask", pruning={"search": {"rescale": False}}).identity()
        != scoring("supermask").identity()
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_resolved_spec_comes_back(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(scoring(mode).to_toml())
    assert load_study(str(path)) == scoring(mode)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "edge-popup", "search": {"k": 3}}, "mode 'edge-popup' has no option 'k'"),
    ({"mode": "supermask", "search": {"rescal": True}}, "no option 'rescal'; did you mean 'rescale'"),
    ({"mode": "supermask", "search": {"lr": 0.0}}, "lr is 0.0: input should be greater than 0"),
    ({"mode": "edge-popup", "search": {"momentum": 1.0}}, "momentum is 1.0: input should be less than 1"),
    ({"mode": "edge-popup", "search": {"schedule": "milestones"}}, "schedule is 'milestones'"),
    (
        {"mode": "supermask", "criterion": "magnitude-increase"},
        "found criterion 'magnitude-increase'; leave it out",
    ),
    ({"mode": "edge-popup", "structure": "channels"}, "found structure 'channels'"),
    ({"mode": "supermask", "after": "fine-tune"}, "needs mode = 'iterative' or 'one-shot'"),
    ({"mode": "edge-popup", "after": "learning-rate"}, "needs mode = 'iterative' or 'one-shot'"),
    ({"mode": "supermasks"}, "unknown mode 'supermasks'; did you mean 'supermask'"),
]


@pytest.mark.parametrize(("pruning", "words"), WRONG)
def test_what_does_not_go_together_is_refused(pruning: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, UserError), match=words):
        tiny(pruning=pruning, arms=[])
