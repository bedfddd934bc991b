"""Run folders: what is in them, and accessors that agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors import safe_open

from support.study_kit import run_tiny, times, tiny, toy_data
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.models.architecture import architecture
from tombola.runs.locate import open_ticket
from tombola.runs.results import histories, results_of
from tombola.seeds import Seeds


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("keep", ["all", "living"])
@pytest.mark.parametrize("rewind", [0, 5])
def test_starts_are_what_the_arms_promise(keep: str, rewind: int, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(store={"keep": keep}, pruning={"rewind": rewind}))
    for r in (0, 1):
        dense = run.start(Cell(r, 0, "ticket", 0))
        net = architecture("lenet-8-6", (6,), 3)
        assert same(dense, net.initial(Seeds.replicate(0, r).stream("init")))
        for level in (1, 2):
            ticket, reinit, shuffled = (Cell(r, level, arm, 0) for arm in ("ticket", "reinit", "random-mask"))
            assert run.mask(reinit) == run.mask(ticket)
            assert run.mask(shuffled) != run.mask(ticket)
            assert run.mask(shuffled).counts() == run.mask(ticket).counts()
            if rewind == 0:
                assert same(run.start(ticket), run.mask(ticket).apply(dense))
                assert same(run.start(shuffled), run.mask(shuffled).apply(dense))
            fresh = net.initial(Seeds.replicate(0, r).stream("reinit", level, 0))
            assert same(run.start(reinit), run.mask(reinit).apply(fresh))
    assert run.mask(Cell(0, 2, "ticket", 0)) <= run.mask(Cell(0, 1, "ticket", 0))


@pytest.mark.parametrize("rewind", [0, 5])
def test_starts_are_stored_once(rewind: int, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"rewind": rewind}))
    files = list((run.path / "starts").iterdir())
    # One initial state a replicate, one rewound state where that is another, and a start for each reinit.
    assert len(files) == 2 + (2 if rewind else 0) + 4
    named = {run.record(cell).start.digest for cell in run.cells()}
    named |= {run.record(cell).rewind for cell in run.cells()} - {None}
    assert {path.stem for path in files} == named


def test_rewound_tickets_start_from_one_state_of_iteration_k(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"rewind": 5}))
    shorter = run_tiny(tmp_path, tiny(name="shorter", levels=0, recipe={"iterations": 5, "curve_every": 5}))
    for r in (0, 1):
        rewound = run.start(Cell(r, 1, "ticket", 0))
        # The state of iteration 5 is that of a network trained for five iterations, biases and all.
        end = shorter.weights(Cell(r, 0, "ticket", 0), "end")
        assert same(rewound, run.mask(Cell(r, 1, "ticket", 0)).apply(end))
        assert not torch.equal(rewound["fc1.bias"], run.start(Cell(r, 0, "ticket", 0))["fc1.bias"])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("keep", ["all", "living"])
def test_stored_weights_are_those_that_were_measured(keep: str, tmp_path: Path) -> None:
    # A rate so high that the validation loss rises again: the early stop is not the end.
    run = run_tiny(tmp_path, tiny(store={"keep": keep}, recipe={"lr": 0.3}))
    data = Resident(toy_data(), "standard", torch.device("cpu"))
    module = architecture("lenet-8-6", (6,), 3).build().eval()

    def test_accuracy(cell: Cell, which: str) -> float:
        module.load_state_dict(run.weights(cell, which))
        with torch.no_grad():
            right = module(data.test(0, 45)).argmax(1) == data.test_y
        return int(right.sum()) / 45

    records = {cell: run.record(cell) for cell in run.cells()}
    assert any(0 < record.early_stop_iteration < 20 for record in records.values())
    for cell, record in records.items():
        assert test_accuracy(cell, "end") == pytest.approx(record.final_test_accuracy, abs=1e-12)
        assert test_accuracy(cell, "best") == pytest.approx(record.early_stop_test_accuracy, abs=1e-12)
        stopped_early = record.early_stop_iteration < 20
        assert same(run.weights(cell, "best"), run.weights(cell, "end")) != stopped_early


@pytest.mark.parametrize("keep", ["all", "living"])
def test_weights_are_whole_and_dead_ones_are_zero(keep: str, tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(store={"keep": keep}))
    shapes = architecture("lenet-8-6", (6,), 3).shapes
    for cell in run.cells():
        mask = run.mask(cell)
        for which in ("end", "best"):
            state = run.weights(cell, which)
            assert {name: tuple(tensor.shape) for name, tensor in state.items()} == shapes
            assert all(not state[name][~mask[name]].any() for name in mask)
            assert all(bool(state[name][mask[name]].all()) for name in mask), "and living ones are not"


def test_all_and_living_hold_the_same_numbers_in_less_space(tmp_path: Path) -> None:
    whole, living = (run_tiny(tmp_path, tiny(store={"keep": keep})) for keep in ("all", "living"))
    for cell in whole.cells():
        assert whole.mask(cell) == living.mask(cell)
        for which in ("end", "best"):
            assert same(whole.weights(cell, which), living.weights(cell, which))
        assert same(whole.start(cell), living.start(cell))
    thin = Cell(0, 2, "ticket", 0)
    with safe_open(living.folder(thin) / "end.safetensors", "pt") as file:
        # 48 -> 34 -> 24 living weights by hand (test_plan.py), in one flat tensor.
        assert file.get_tensor("fc1.weight").shape == (24,)
    with safe_open(whole.folder(thin) / "end.safetensors", "pt") as file:
        assert file.get_tensor("fc1.weight").shape == (8, 6)


def test_weights_that_were_not_kept_are_said_so(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(store={"keep": "masks"}))
    cell = Cell(0, 1, "ticket", 0)
    for access in (lambda: run.weights(cell, "end"), lambda: run.start(cell)):
        with pytest.raises(UserError, match=r"not kept .*'masks'|masks only"):
            access()
    ticket = run.ticket(cell)
    assert (ticket.mask, ticket.start, ticket.end) == (run.mask(cell), None, None)


@pytest.mark.parametrize("mode", ["iterative", "one-shot"])
def test_masks_alone_extend_by_replicates_and_refuse_more_levels(mode: str, tmp_path: Path) -> None:
    change: dict[str, Any] = {"store": {"keep": "masks"}, "pruning": {"mode": mode}}
    run = run_tiny(tmp_path, tiny(**change))
    before = times(run.path)
    with pytest.raises(UserError, match="weights that level 1 was pruned from are gone"):
        run_tiny(tmp_path, tiny(levels=3, **change))
    assert times(run.path) == before
    run_tiny(tmp_path, tiny(replicates=3, **change))
    assert run.cells() == sorted(tiny(replicates=3).cells())


def test_a_cell_as_a_ticket(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    for cell in run.cells():
        ticket = run.ticket(cell)
        assert ticket.mask == run.mask(cell)
        assert ticket.start is not None
        assert ticket.end is not None
        assert same(ticket.start, run.start(cell))
        assert same(ticket.end, run.weights(cell, "end"))
        assert ticket.provenance["cell"] == str(cell)
        assert ticket.provenance["study"] == run.path.name
        assert json.loads(json.dumps(ticket.provenance)) == ticket.provenance
        opened = open_ticket(run.folder(cell))
        assert opened.mask == ticket.mask
        assert same(opened.weights("end"), ticket.end)


def test_records_agree_with_masks_and_histories(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"rewind": 5}))
    for cell in run.cells():
        record, mask, history = run.record(cell), run.mask(cell), run.history(cell)
        assert record.cell == cell
        assert record.table() == json.loads((run.folder(cell) / "cell.json").read_text())
        assert record.density == sum(mask.counts().values()) / 114
        assert record.alive == mask.counts()
        assert record.iterations == (15 if cell.level else 20)
        start = 5 if cell.level else 0
        assert history.columns == ["iteration", "split", "loss", "accuracy"]
        validation = history.filter(pl.col("split") == "validation")
        assert validation["iteration"].to_list() == [t for t in (0, 5, 10, 15, 20) if t >= start]
        assert validation["loss"].min() == record.early_stop_val_loss
        assert validation["iteration"][validation["loss"].arg_min()] == record.early_stop_iteration
        test = history.filter(pl.col("split") == "test")
        assert test["iteration"].to_list() == [t for t in (0, 10, 20) if t >= start]
        assert test["accuracy"][-1] == record.final_test_accuracy
        if record.early_stop_iteration == 20:
            assert same(run.weights(cell, "best"), run.weights(cell, "end"))


def test_results_parquet_is_the_table(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    assert pl.read_parquet(run.path / "results.parquet").equals(results_of(run, timed=False))
    curves = histories(run)
    assert curves.height == sum(run.history(cell).height for cell in run.cells())


def test_nothing_personal_is_written_down(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    text = (run.path / "environment.json").read_text() + (run.path / "study.toml").read_text()
    assert str(tmp_path) not in text
    environment = json.loads((run.path / "environment.json").read_text())
    assert torch.__version__.startswith(environment["versions"]["torch"].partition("+")[0])
    assert environment["record"]["threads"] == 1


def test_what_masks_keeps(tmp_path: Path) -> None:
    study = tiny(store={"keep": "masks"})
    run = run_tiny(tmp_path, study)
    names = {path.name for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        ".lock",
        "study.toml",
        "environment.json",
        "results.parquet",
        "mask.safetensors",
        "history.parquet",
        "cell.json",
        "timing.json",
    }
    other = run_tiny(tmp_path, tiny())
    assert other.path != run.path
    assert all(run.mask(cell) == other.mask(cell) for cell in other.cells())
    assert toy_data().digest == run.study.data.digest
