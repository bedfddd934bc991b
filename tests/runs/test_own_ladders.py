"""Arms that prune: refused where they cannot work, and runs of them stopped, extended, forgotten and ended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from support.cases import also_slow
from support.study_kit import Notes, bound, cells_of, contents, run_tiny, times, tiny
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.models.architecture import architecture
from tombola.runs import stacks
from tombola.runs.folder import Run
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.study.arm_spec import ArmSpec
from tombola.study.load import load_study
from tombola.study.plan import make_plan
from tombola.study.spec import Study

PRUNED = ["one-shot", "magnitude-at-init", "snip-at-init", "grasp-at-init", "synflow-at-init"]
ARMS = [{"name": "fresh", "draws": 2}, *({"name": name} for name in PRUNED)]


def fresh(level: int, draw: int = 0, r: int = 0) -> Cell:
    return Cell(r, level, "fresh", draw)


def largest(run: Run, source: Cell, like: Cell) -> dict[str, torch.Tensor]:
    """The largest living weights of a cell's end, as many a layer as another cell has."""
    end, mask, counts = run.weights(source, "end"), run.mask(source), run.mask(like).counts()
    bits = {}
    for name, count in counts.items():
        flat = (end[name].abs() * mask[name]).reshape(-1)
        bits[name] = torch.zeros(len(flat), dtype=torch.bool)
        bits[name][flat.argsort(descending=True)[:count]] = True
        bits[name] = bits[name].view(mask[name].shape)
    return bits


def test_a_run_of_every_arm_that_prunes(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(arms=ARMS, levels=3))
    assert {run.record(cell).status for cell in run.cells()} == {"ok"}
    assert len(run.cells()) == 2 * (1 + 3 * (1 + 2 + 5))
    for r in (0, 1):
        for level in (1, 2, 3):
            ticket = Cell(r, level, "ticket", 0)
            for name in PRUNED:
                assert run.mask(Cell(r, level, name, 0)).counts() == run.mask(ticket).counts()
            once = run.mask(Cell(r, level, "one-shot", 0))
            assert all(
                map(torch.equal, once.values(), largest(run, Cell(r, 0, "ticket", 0), ticket).values())
            )
            for draw in (0, 1):
                source = fresh(level - 1, draw, r) if level > 1 else Cell(r, 0, "ticket", 0)
                found = run.mask(fresh(level, draw, r))
                assert all(map(torch.equal, found.values(), largest(run, source, ticket).values()))


KEPT = ("living", "masks", "all")


@pytest.mark.parametrize(
    ("criterion", "keep"),
    also_slow(
        [*(("magnitude-increase", keep) for keep in KEPT), ("large-final", "masks"), ("snip", "masks")],
        [(criterion, keep) for criterion in ("large-final", "magnitude-increase", "snip") for keep in KEPT],
    ),
)
def test_a_run_taken_up_again_ends_with_the_same_bits(keep: str, criterion: str, tmp_path: Path) -> None:
    """Stopped in the middle of a level; magnitude-increase asks what each network of the ladder began with."""
    study = tiny(arms=ARMS[:2], levels=3, store={"keep": keep}, pruning={"criterion": criterion})
    whole = run_tiny(tmp_path / "whole", study)
    stopped = []
    for steps in (100, 200, 200):  # in levels 1, 2 and 3
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path / "parts", study, progress=Notes(stop_after=steps))
        stopped.append(max(cell.level for cell in Run(tmp_path / "parts" / whole.path.name).cells()))
    assert stopped == [0, 1, 2]
    parts = run_tiny(tmp_path / "parts", study)
    assert contents(parts.path) == contents(whole.path)


def test_levels_and_draws_are_added_to_a_ladder(tmp_path: Path) -> None:
    short, arms = tiny(arms=[{"name": "fresh"}], levels=1), [{"name": "fresh", "draws": 2}]
    run = run_tiny(tmp_path, short)
    before = cells_of(contents(run.path))
    longer = tiny(arms=arms, levels=3)
    run = run_tiny(tmp_path, longer)
    after = cells_of(contents(run.path))
    assert {name: after[name] for name in before} == before
    assert {cell.level for cell in run.cells() if cell.arm == "fresh"} == {1, 2, 3}
    assert {cell.draw for cell in run.cells() if cell.arm == "fresh"} == {0, 1}
    assert not missing(run, run.study)
    stamps = times(run.path)
    run_tiny(tmp_path, longer)
    assert times(run.path) == stamps


def test_a_run_that_kept_masks_only_says_what_is_gone(tmp_path: Path) -> None:
    study = tiny(arms=[{"name": "fresh"}], store={"keep": "masks"})
    run = run_tiny(tmp_path, study)
    assert not any(run.keeps_weights(cell) for cell in run.cells())
    stamps = times(run.path)
    run_tiny(tmp_path, study)
    assert times(run.path) == stamps, "a finished run is left as it is"
    with pytest.raises(UserError, match="the weights that level 1 was pruned from are gone"):
        run_tiny(tmp_path, study.model_copy(update={"levels": 3}))


def test_weights_of_a_ladder_that_somebody_removed_are_missed(tmp_path: Path) -> None:
    study = tiny(arms=[{"name": "fresh"}])
    run = run_tiny(tmp_path, study)
    bits = contents(run.path)
    run.forget_weights(fresh(1, r=1))
    with pytest.raises(
        UserError, match=r"r1/L01/fresh/0/end\.safetensors: is missing; delete .*r1/L01/fresh/0 and"
    ):
        run_tiny(tmp_path, study.model_copy(update={"levels": 3}))
    shutil.rmtree(run.folder(fresh(1, r=1)))
    run_tiny(tmp_path, study)
    assert contents(run.path) == bits


def test_a_ladder_that_diverges_ends_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of the fresh ladder of replicate 0 begin beyond all bounds at level 2."""
    real = stacks.train_stack

    def wild(net: Any, starts: Any, *rest: Any, **options: Any) -> Any:
        trained = real(net, starts, *rest, **options)
        cells = wild.cells  # type: ignore[attr-defined]
        return [
            type(result)(**{**vars(result), "diverged": True}) if cell == fresh(2) else result
            for cell, result in zip(cells, trained, strict=True)
        ]

    inner = stacks.StackTrainer._train_starts

    def noted(self: Any, cells: Any, wanted: Any, starts: Any) -> Any:
        wild.cells = cells  # type: ignore[attr-defined]
        return inner(self, cells, wanted, starts)

    monkeypatch.setattr(stacks, "train_stack", wild)
    monkeypatch.setattr(stacks.StackTrainer, "_train_starts", noted)
    study = tiny(arms=[{"name": "fresh", "draws": 2}], levels=4)
    run = run_tiny(tmp_path, study)
    monkeypatch.undo()
    gone = {fresh(3), fresh(4)}
    planned = set(make_plan(bound(study), architecture(study.model, (6,), 3)).cells())
    assert set(run.cells()) == planned - gone
    assert {cell for cell in run.cells() if run.record(cell).status != "ok"} == {fresh(2)}
    assert missing(run, run.study) == []
    stamps, notes = times(run.path), Notes()
    run_tiny(tmp_path, study, progress=notes)
    assert times(run.path) == stamps
    assert notes.total == notes.done, "what lies beyond the end is not promised"
    run = run_tiny(tmp_path, study.model_copy(update={"levels": 5}))
    assert {cell for cell in run.cells() if cell.level == 5} == {
        *(Cell(r, 5, "ticket", 0) for r in (0, 1)), fresh(5, 1), fresh(5, 0, 1), fresh(5, 1, 1),
    }  # fmt: skip
    assert results_of(run).filter(status="diverged").height == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"levels": [2]}, r"starts at level 1 and leaves none out: found levels = \[2\], expected \[1, 2\]"),
    ({"levels": [1, 3, 4]}, r"found levels = \[1, 3, 4\], expected \[1, 2, 3, 4\]"),
    ({"levels": [1, 1, 2]}, r"found levels = \[1, 1, 2\], expected \[1, 2\]"),
]


@pytest.mark.parametrize(("entry", "words"), WRONG)
def test_a_ladder_with_gaps_is_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ArmSpec(name="fresh", **entry)
    with pytest.raises(UserError, match=f"arm 'mine' has a ladder of its own, .*{words}"):
        load_study("quick", [f"arms=[{{name = 'mine', mask = 'own-ladder', levels = {entry['levels']}}}]"])


@pytest.mark.parametrize(
    "other", [{"weights": "trained"}, {"weights": "zero-towards"}, {"dead": "zero-towards"}]
)
def test_an_own_ladder_and_the_tickets_training_do_not_mix(other: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match="its masks come from trainings of its own, and what it does to weights"
    ):
        ArmSpec(name="mine", mask="own-ladder", **other)
    assert ArmSpec(name="mine", mask="one-shot", **other).mask == "one-shot"
    assert ArmSpec(name="mine", mask="own-ladder", weights="reinit-signs", dead="freeze").draws == 1


def test_levels_of_a_ladder_that_are_not_refused() -> None:
    for levels in (None, [1], [2, 1], [1, 2, 3]):
        assert ArmSpec(name="fresh", levels=levels, draws=2).name == "fresh"
    assert ArmSpec(name="one-shot", levels=[3]).levels == (3,)


def net(study: Study) -> Any:
    return architecture(study.model, (6,), 3)


def test_an_own_ladder_wants_counts_that_only_fall() -> None:
    for mode, allocation in (("one-shot", "global"), ("at-init", "global")):
        study = tiny(arms=[{"name": "fresh"}], pruning={"mode": mode, "allocation": allocation})
        with pytest.raises(UserError, match=f"may rise .* allocation 'global' in mode '{mode}'"):
            make_plan(study, net(study))
    for mode, allocation in (("iterative", "global"), ("continued", "global"), ("one-shot", "erk")):
        study = tiny(arms=[{"name": "fresh"}], pruning={"mode": mode, "allocation": allocation})
        make_plan(study, net(study))
    study = tiny(arms=[{"name": "one-shot"}], pruning={"mode": "at-init", "allocation": "global"})
    make_plan(study, net(study))


def test_structures_that_cannot_give_a_count() -> None:
    ragged = tiny(levels=1, arms=[{"name": "one-shot"}], pruning={"structure": "block-4x4"})
    with pytest.raises(UserError, match=r"structure 'block-4x4' have 8 to 16 weights in 'fc1.weight'"):
        make_plan(ragged, net(ragged))
    make_plan(tiny(levels=1, arms=[{"name": "reinit"}], pruning={"structure": "block-4x4"}), net(ragged))
    even = architecture(lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6)), (6,), 6)
    make_plan(tiny(levels=1, arms=[{"name": "one-shot"}], pruning={"structure": "block-2x2"}), even)
    quarters = architecture(lambda: nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4)), (8,), 4)
    study = tiny(levels=1, arms=[{"name": "synflow-at-init"}], pruning={"structure": "2:4", "rate": 0.5})
    with pytest.raises(
        UserError, match="mask action 'synflow-at-init': criterion 'synflow' prunes little by little"
    ):
        make_plan(study, quarters)


@pytest.mark.parametrize("structure", ["channels", "2:4"])
def test_other_structures_run(structure: str, tmp_path: Path) -> None:
    pruning = {
        "structure": structure,
        "rate": 0.5,
        **({} if structure == "2:4" else {"rates": {"output": 0}}),
    }
    names = ["fresh", "one-shot", "snip-at-init"]

    def four() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    pruning = pruning | ({"rates": {"0.weight": 0}} if structure == "2:4" else {})
    study = tiny(levels=1, arms=[{"name": name} for name in names], pruning=pruning)
    run = run_tiny(tmp_path, study, model=four)
    ticket = run.mask(Cell(0, 1, "ticket", 0))
    assert ticket.density() < 1
    assert all(run.mask(Cell(0, 1, name, 0)).counts() == ticket.counts() for name in names)
