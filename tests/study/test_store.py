"""Run folders: what is in them, accessors that agree with each other, and broken files that are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors import safe_open
from study_kit import cells_of, run_tiny, times, tiny, toy_data

from tombola.errors import UserError
from tombola.lottery import Cell
from tombola.models import architecture
from tombola.seeds import Seeds
from tombola.study import Run, all_runs, find_run, histories, open_ticket, planned_cells, results

TICKETS = [Cell(r, level, "ticket", 0) for r in (0, 1) for level in (0, 1, 2)]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- what is stored -----------------------------------------------------------------------------------------


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
    named = {run.record(cell)["start"]["digest"] for cell in run.cells()}
    named |= {run.record(cell)["rewind"] for cell in run.cells()} - {None}
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
    assert run.cells() == sorted(planned_cells(tiny(replicates=3)))


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
        assert (record["replicate"], record["level"], record["arm"], record["draw"]) == (
            cell.replicate,
            cell.level,
            cell.arm,
            cell.draw,
        )
        assert record["density"] == sum(mask.counts().values()) / 114
        assert record["alive"] == mask.counts()
        assert record["iterations"] == (15 if cell.level else 20)
        start = 5 if cell.level else 0
        assert history.columns == ["iteration", "split", "loss", "accuracy"]
        validation = history.filter(pl.col("split") == "validation")
        assert validation["iteration"].to_list() == [t for t in (0, 5, 10, 15, 20) if t >= start]
        assert validation["loss"].min() == record["early_stop_val_loss"]
        assert validation["iteration"][validation["loss"].arg_min()] == record["early_stop_iteration"]
        test = history.filter(pl.col("split") == "test")
        assert test["iteration"].to_list() == [t for t in (0, 10, 20) if t >= start]
        assert test["accuracy"][-1] == record["final_test_accuracy"]
        if record["early_stop_iteration"] == 20:
            assert same(run.weights(cell, "best"), run.weights(cell, "end"))


def test_results_parquet_is_the_table(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    assert pl.read_parquet(run.path / "results.parquet").equals(results(run, timed=False))
    curves = histories(run)
    assert curves.height == sum(run.history(cell).height for cell in run.cells())


def test_nothing_personal_is_written_down(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    text = (run.path / "environment.json").read_text() + (run.path / "study.toml").read_text()
    assert str(tmp_path) not in text
    environment = json.loads((run.path / "environment.json").read_text())
    assert torch.__version__.startswith(environment["versions"]["torch"].partition("+")[0])
    assert environment["record"]["threads"] == 1


# --- broken files -------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


RERUN: Callable[[Run], Any] = lambda run: run_tiny(run.path.parent, tiny(levels=3))  # noqa: E731
FIRST = Cell(0, 0, "ticket", 0)
BREAKS: dict[str, tuple[str, Callable[[Run], Any]]] = {
    "cell.json, results": ("cells/r0/L00/ticket/0/cell.json", results),
    "cell.json, rerun": ("cells/r0/L00/ticket/0/cell.json", RERUN),
    "timing.json": ("cells/r0/L00/ticket/0/timing.json", results),
    "mask, access": ("cells/r0/L00/ticket/0/mask.safetensors", lambda run: run.mask(FIRST)),
    "mask, rerun": ("cells/r0/L02/ticket/0/mask.safetensors", RERUN),
    "end, access": ("cells/r0/L00/ticket/0/end.safetensors", lambda run: run.weights(FIRST, "end")),
    "end, rerun": ("cells/r0/L02/ticket/0/end.safetensors", RERUN),
    "history": ("cells/r0/L00/ticket/0/history.parquet", histories),
    "study.toml, access": ("study.toml", lambda run: run.study),
    "study.toml, rerun": ("study.toml", RERUN),
    "environment.json": ("environment.json", RERUN),
}


@pytest.mark.parametrize("what", sorted(BREAKS))
def test_a_truncated_file_is_named_and_no_cell_is_changed(what: str, tmp_path: Path) -> None:
    name, touch = BREAKS[what]
    run = run_tiny(tmp_path)
    truncate(run.path / name)
    if name == "study.toml":  # half of it may be a whole, other study
        (run.path / name).write_text('name = "tin')
    before = cells_of(times(run.path))
    with pytest.raises(UserError) as caught:
        touch(run)
    assert str(run.path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cells_of(times(run.path)) == before


def test_a_missing_start_is_named(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    path = run.start_file(run.record(FIRST)["start"]["digest"])
    path.unlink()
    with pytest.raises(UserError) as caught:
        run.start(FIRST)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "{}", '{"status": "ok"}', "null"])
def test_a_record_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    path = run.folder(FIRST) / "cell.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        results(run)
    assert str(path) in str(caught.value)


def test_a_cell_without_its_record_is_neither_overwritten_nor_taken(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    (run.folder(FIRST) / "cell.json").unlink()
    before = times(run.path)
    with pytest.raises(UserError, match=r"L00/ticket/0: holds no cell\.json"):
        run_tiny(tmp_path)
    assert times(run.path) == before


def test_a_lost_engine_record_is_not_made_up(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    (run.path / "environment.json").unlink()
    with pytest.raises(UserError, match=r"environment\.json: is missing"):
        run_tiny(tmp_path, tiny(levels=3))
    (run.path / "environment.json").write_text("{}\n")
    with pytest.raises(UserError, match=r"environment\.json: "):
        run_tiny(tmp_path, tiny(levels=3))


def test_results_parquet_is_rebuilt_from_the_cells(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    bits = (run.path / "results.parquet").read_bytes()
    truncate(run.path / "results.parquet")
    run_tiny(tmp_path)
    assert (run.path / "results.parquet").read_bytes() == bits


def test_no_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        Run.open(tmp_path)


# --- finding ------------------------------------------------------------------------------------------------


def test_runs_are_found_by_folder_name_and_unique_beginning(tmp_path: Path) -> None:
    one = run_tiny(tmp_path, tiny(name="alpha", levels=0))
    two = run_tiny(tmp_path, tiny(name="alpine", levels=0))
    (tmp_path / "notes").mkdir()
    assert [run.path for run in all_runs(tmp_path)] == [one.path, two.path]
    assert all_runs(tmp_path / "nowhere") == []
    for name in ("alpha", one.path.name, str(one.path)):
        assert find_run(name, tmp_path).path == one.path
    with pytest.raises(UserError, match=f"beginning of several runs: {one.path.name}, {two.path.name}"):
        find_run("alp", tmp_path)
    with pytest.raises(UserError, match="did you mean 'alpine-"):
        find_run(f"alpina-{two.study.identity()}", tmp_path)
    with pytest.raises(UserError, match="there are none under"):
        find_run("alpha", tmp_path / "nowhere")


def test_only_a_cell_folder_is_a_ticket(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=0))
    for path in (run.path, run.path / "cells", run.folder(FIRST).parent, tmp_path):
        with pytest.raises(UserError, match="not a cell folder"):
            open_ticket(path)
    with pytest.raises(UserError, match="no such file"):
        open_ticket(tmp_path / "nothing.safetensors")
    assert toy_data().classes == 3
