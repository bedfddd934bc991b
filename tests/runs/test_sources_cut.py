"""Sources whose masks alone are taken: what of them is trained, with which bits, and what is said of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.route_parts import travelling
from support.study_kit import Notes, cells_of, contents, no_leftovers, run_tiny, tiny, tiny_options
from tombola.analysis.costs import costs_of
from tombola.files import digest_of
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell
from tombola.runs import stacks
from tombola.runs.check.damage import damages_of
from tombola.runs.check.repair import repair
from tombola.runs.folder import Ladders, Run
from tombola.runs.progress import missing
from tombola.study.ladders import SourceStudy, ladders_of
from tombola.study.spec import Study
from tombola.training.checkpoint import Checkpoint

SHORT = {"mode": "short-rounds", "search": {"every": 2, "window": 1, "threshold": 0.6}}
BIRD = {"mode": "early-bird", "search": {"every": 2, "window": 1, "threshold": 0.6}}
MODES: dict[str, dict[str, Any]] = {
    "iterative": {},
    "short-rounds": SHORT,
    "early-bird": BIRD,
    "one-shot": {"mode": "one-shot"},
    "at-init": {"mode": "at-init", "criterion": "snip"},
    "continued": {"mode": "continued"},
    "rigl": {"mode": "rigl", "search": {"every": 5}},
}


def carried(
    pruning: dict[str, Any], at: list[int] | None = None, kind: str = "carry", **changes: Any
) -> Study:
    """A study that takes the tickets of a source as they are; nothing of its own is trained above that."""
    table = {"kind": kind, "from": "other", "levels": at}
    return travelling(table, sources={"other": {"pruning": pruning}}, **{"levels": 3, **changes})


def source(run: Run) -> Ladders:
    return run.ladders()[0]


def trained(run: Run, r: int = 0) -> dict[tuple[str, int], int | None]:
    """(Arm, level) -> how many iterations the cells of a source were trained for."""
    there = source(run)
    return {(c.arm, c.level): there.record(c).iterations for c in there.cells() if c.replicate == r}


@pytest.mark.parametrize(
    ("mode", "levels", "expected"),
    [
        ("iterative", [3], {(TICKET, 0): 20, (TICKET, 1): 20, (TICKET, 2): 20, (TICKET, 3): None}),
        ("one-shot", [1, 3], {(TICKET, 0): 20, (TICKET, 1): None, (TICKET, 3): None}),
        ("at-init", [3], {(TICKET, 0): None, (TICKET, 3): None}),
        ("rigl", [2], {(TICKET, 0): None, ("rigl", 2): 20, (TICKET, 2): None}),
        (
            "continued",
            [2],
            {
                (TICKET, 0): 20,
                (TICKET, 1): 20,
                ("continued", 1): 20,
                ("continued", 2): None,
                (TICKET, 2): None,
            },
        ),
    ],
)
def test_what_no_mask_is_made_from_is_not_trained(
    mode: str, levels: list[int], expected: dict[Any, Any], tmp_path: Path
) -> None:
    run = run_tiny(tmp_path, carried(MODES[mode], levels))
    assert trained(run) == expected
    assert missing(source(run), source(run).study) == []
    assert damages_of(run) == []
    assert run.headway().state == "finished"
    again = Notes()
    run_tiny(tmp_path, carried(MODES[mode], levels), progress=again)
    assert again.advanced == 0


@pytest.mark.parametrize("rewind", [0, 5])
@pytest.mark.parametrize("mode", MODES)
def test_masks_and_starts_are_those_of_a_source_that_is_trained_whole(
    mode: str, rewind: int, tmp_path: Path
) -> None:
    """The same tables as a study of their own, which trains everything."""
    run = run_tiny(tmp_path, carried({**MODES[mode], "rewind": rewind}, [2, 3]))
    there = source(run)
    plain = there.study.model_dump(exclude={"name"})
    whole = run_tiny(tmp_path, Study.model_validate({**plain, "name": "whole"}))
    for r in (0, 1):
        for level in (2, 3):
            cell = Cell(r, level, TICKET, 0)
            assert there.mask(cell) == whole.mask(cell)
            assert digest_of(there.start(cell)) == digest_of(whole.start(cell))
            assert run.mask(Cell(r, level, "by-carry", 0)) == whole.mask(cell)


@pytest.mark.parametrize("mode", ["short-rounds", "early-bird"])
def test_trainings_end_where_the_last_of_a_stack_stands_still(mode: str, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, carried(MODES[mode], [3]))
    there = source(run)
    for level in range(3):
        taken = [1 + level] if mode == "short-rounds" else [1, 2, 3] if not level else []
        cells = [Cell(r, level, TICKET, 0) for r in (0, 1)]
        seen = [bird for r in (0, 1) for bird in there.birds(r) if bird.level in taken]
        needed = max((bird.iteration for bird in seen), default=None)
        assert [there.record(cell).iterations if there.has(cell) else None for cell in cells] == [needed] * 2
        if needed is not None:
            assert needed < 20, "or this shows little"
            assert all(bird.drawn for bird in seen)
            assert there.history(cells[0])["iteration"].max() == needed
    costs = costs_of(run).filter(pl.col("arm") == "by-carry")
    for r, counted in enumerate(costs["iterations"]):
        ran = sum(there.record(c).iterations or 0 for c in there.cells() if c.replicate == r)
        assert counted <= ran + 20, "its own training, and no more of its source than was trained"
    assert costs["iterations"].max() < 20 * 4


def test_the_snapshot_that_tickets_go_back_to_is_waited_for(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, carried({**BIRD, "rewind": 15}, [1]))
    assert trained(run) == {(TICKET, 0): 15, (TICKET, 1): None}
    assert source(run).birds(0)[0].iteration < 15


def test_a_route_that_reads_trained_weights_has_them(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, carried(SHORT, [2], "refill", model={"name": "lenet-8-8-8"}, levels=2))
    assert set(trained(run).values()) == {20}
    assert source(run).study.told == ""
    assert source(run).ticket(Cell(0, 2, TICKET, 0)).end is not None


@pytest.mark.parametrize("mode", ["iterative", "short-rounds", "early-bird", "one-shot", "rigl"])
def test_an_extension_trains_what_is_asked_now_and_ends_with_the_same_bits(mode: str, tmp_path: Path) -> None:
    """Deeper first, and then by a route that asks for trained weights; no mask changes on the way."""
    pruning, alone = MODES[mode], {"engine": "modules"}
    part = run_tiny(tmp_path / "parts", carried(pruning, [1]), **alone)
    masks = {cell: source(part).mask(cell) for cell in source(part).cells()}
    parts = run_tiny(tmp_path / "parts", carried(pruning, [1, 3]), **alone)
    whole = run_tiny(tmp_path / "whole", carried(pruning, [1, 3]), **alone)
    assert contents(source(parts).path) == contents(source(whole).path)
    assert cells_of(contents(parts.path)) == cells_of(contents(whole.path))
    for cell, mask in masks.items():
        assert source(parts).mask(cell) == mask
    refill = {"kind": "refill", "name": "filled", "from": "other", "levels": [3]}
    table = [{"kind": "carry", "name": "by-carry", "from": "other", "levels": [1, 3]}, refill]
    last = run_tiny(
        tmp_path / "parts",
        tiny(
            **{
                **carried(pruning).model_dump(mode="json", exclude={"route"}, exclude_defaults=True),
                "route": table,
            }
        ),
        **alone,
    )
    assert last.path == parts.path
    assert {source(last).record(c).iterations for c in source(last).cells()} == {20}
    assert all(last.mask(c) == parts.mask(c) for c in parts.cells())


@pytest.mark.parametrize("mode", ["short-rounds", "early-bird"])
@pytest.mark.parametrize("stop", [3, 17, 30, 75])
def test_stopped_anywhere_it_ends_with_the_same_bits(
    mode: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "Checkpoint", partial(Checkpoint, seconds=0.0))
    study = carried(MODES[mode], [3])
    whole = run_tiny(tmp_path / "whole", study)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", study, progress=Notes(stop_after=stop))
    parts = run_tiny(tmp_path / "parts", study)
    assert contents(parts.path) == contents(whole.path)
    assert no_leftovers(parts.path)


@pytest.mark.parametrize("level", [0, 1, 3])
def test_what_is_damaged_is_mended_to_the_same_bits(level: int, tmp_path: Path) -> None:
    """Trainings that were cut, and a ticket that was not trained at all."""
    study = carried(SHORT, [3])
    run = run_tiny(tmp_path, study)
    whole = contents(run.path)
    file = source(run).folder(Cell(1, level, TICKET, 0)) / "mask.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    found = damages_of(Run(run.path))
    assert [each.path for each in found] == [file]
    mended = repair(Run(run.path), found, tiny_options(tmp_path, study))
    assert [each.same for each in mended] == [True], mended
    assert contents(run.path) == whole


def test_a_network_that_diverges_is_not_waited_for(tmp_path: Path) -> None:
    """Its ladder ends; the others of the stack go on without it."""
    study = carried(
        {**SHORT, "search": {**SHORT["search"], "threshold": 1.0}},
        [2],
        recipe={"lr": 1e30, "optimizer": "sgd"},
    )
    run = run_tiny(tmp_path, study)
    record = source(run).record(Cell(0, 0, TICKET, 0))
    assert record.status == "diverged"
    assert record.iterations is not None
    assert record.iterations < 20


def test_what_is_not_trained_is_decided_in_the_plan_and_said(tmp_path: Path) -> None:
    for mode, said in (
        ("iterative", "masks alone are taken: level 3 not trained"),
        (
            "short-rounds",
            "masks alone are taken: level 3 not trained, trainings end where the masks stand still",
        ),
        (
            "early-bird",
            "masks alone are taken: levels 1, 2 and 3 not trained, dense trainings end where the masks stand still",
        ),
    ):
        study = carried(MODES[mode], [3])
        beside = ladders_of(study)["sources/other"]
        assert isinstance(beside, SourceStudy)
        assert beside.told == said
        assert beside.identity() == study.source("other").model_copy(update={"levels": 3}).identity()
    plan, _ = tiny_options(tmp_path, study).plan(study)
    own = plan.sources["other"].plan
    assert [(cell.level, own.network_iterations(cell)) for cell in own.trainings()] == [(0, 20)] * 2
