"""Sweeps on disk: each member is the run that it would be alone, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tombola
from support.study_kit import Notes, bound, cells_of, contents, no_leftovers, run_tiny, times, tiny, toy_data
from tombola.errors import UserError
from tombola.runs.beside import reuse
from tombola.runs.beside.reuse import shares_dense
from tombola.runs.locate import find, find_run
from tombola.runs.progress import missing
from tombola.runs.results import results_of
from tombola.runs.run_options import RunOptions
from tombola.runs.runner import run_sweep
from tombola.runs.sweeps import SweepRun, sweep_results
from tombola.study.spec import Study
from tombola.study.sweep import Member, Sweep

DENSE = "cells/r0/L00/ticket/0/"
CRITERIA = ("large-final", "random")


def over(key: str, values: Any, **changes: Any) -> Sweep:
    """A sweep of tiny studies over one key of a table."""
    table, _, leaf = key.partition(".")
    members = [
        Member({key: value}, tiny(**{**changes, table: {**changes.get(table, {}), leaf: value}}))
        for value in values
    ]
    return Sweep((key,), tuple(members))


def criteria(**changes: Any) -> Sweep:
    return over("pruning.criterion", CRITERIA, levels=1, arms=[{"name": "reinit"}], **changes)


def sweep_tiny(out: Path, sweep: Sweep | None = None, **options: Any) -> SweepRun:
    settings = {"dataset": toy_data(), "device": "cpu", "threads": 1, "engine": "mlp", **options}
    return run_sweep(sweep or criteria(), RunOptions(out, **settings))


def alone(out: Path, study: Study) -> Path:
    return run_tiny(out, study).path


def timing(folder: Path, cell: str = DENSE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / cell / "timing.json").read_text())
    return found


def test_a_member_is_bit_equal_to_its_study_run_alone(tmp_path: Path) -> None:
    found = sweep_tiny(tmp_path / "together")
    for member, run in zip(criteria().members, found.runs.values(), strict=True):
        lone = alone(tmp_path / "alone", member.study)
        assert lone.name == run.path.name
        assert contents(lone) == contents(run.path)
        # The record of stacks is the same as well, so that extending either ends with the same bits.
        records = [json.loads((path / "environment.json").read_text()) for path in (lone, run.path)]
        assert records[0] == records[1]


@pytest.mark.parametrize("rewind", [0, 10])
def test_the_shared_dense_network_is_trained_once(tmp_path: Path, rewind: int) -> None:
    notes = Notes()
    sweep = criteria(pruning={"rate": 0.3, "rewind": rewind})
    found = sweep_tiny(tmp_path, sweep, progress=notes)
    levels = [cell.level for cell in notes.landed_cells]
    assert levels.count(0) == 2  # once for each of two replicates, not for each member
    assert levels.count(1) == 2 * 2 * 2
    first, second = (run.path for run in found.runs.values())
    assert "copied_from" not in timing(first)
    assert timing(second)["copied_from"] == first.name
    assert contents(second) == contents(alone(tmp_path / "alone", sweep.members[1].study))


def test_an_extended_member_has_the_bits_of_an_extended_run(tmp_path: Path) -> None:
    more = {"replicates": 3, "levels": 2}
    path = sweep_tiny(tmp_path / "together").path
    found = sweep_tiny(tmp_path / "together", criteria_of(more))
    assert found.path == path
    for before, after, run in zip(
        criteria().members, criteria_of(more).members, found.runs.values(), strict=True
    ):
        alone(tmp_path / "alone", before.study)
        assert contents(alone(tmp_path / "alone", after.study)) == contents(run.path)


OTHER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "seed": ({"seed": 0}, {"seed": 1}),
    "recipe": ({"recipe": {"lr": 0.01}}, {"recipe": {"lr": 0.02}}),
    "rewind": ({"pruning": {"rewind": 0}}, {"pruning": {"rewind": 10}}),
    "model": ({"model": {"name": "lenet-8-6"}}, {"model": {"name": "lenet-8-5"}}),
    "store": ({"store": {"keep": "living"}}, {"store": {"keep": "all"}}),
    "data": ({"data": {"validation": 30}}, {"data": {"validation": 29}}),
    "search": ({}, {"pruning": {"mode": "set", "search": {"every": 5}}}),
}


@pytest.mark.parametrize("what", sorted(OTHER))
def test_dense_networks_that_differ_are_not_shared(what: str) -> None:
    one, other = (tiny(**changes) for changes in OTHER[what])
    assert shares_dense(one, one)
    assert not shares_dense(one, other)
    assert not shares_dense(other, one)


def test_dense_networks_that_are_the_same_are_shared() -> None:
    plain = tiny()
    for pruning in ({"criterion": "random"}, {"rate": 0.5}, {"allocation": "global"}, {"mode": "one-shot"}):
        assert shares_dense(plain, tiny(pruning=pruning))
    assert shares_dense(plain, tiny(levels=1, replicates=5, arms=[], title="other"))


def test_nothing_is_copied_from_another_machine_engine_or_stack(tmp_path: Path) -> None:
    one, other = (bound(m.study) for m in criteria().members)
    donor = run_tiny(tmp_path, one)
    kept = donor.environment

    def trained_after(change: Callable[[dict[str, Any]], object]) -> int:
        environment = json.loads(json.dumps(kept))
        change(environment)
        donor.write_environment(environment)
        shutil.rmtree(tmp_path / other.folder, ignore_errors=True)
        notes = Notes()
        run_tiny(tmp_path, other, dense_from=[donor], progress=notes)
        return sum(cell.level == 0 for cell in notes.landed_cells)

    assert trained_after(lambda e: None) == 0
    assert trained_after(lambda e: e.update(processor="another")) == 2
    assert trained_after(lambda e: e["versions"].update(torch="1.0")) == 2
    assert trained_after(lambda e: e.update(commit="another")) == 2
    assert trained_after(lambda e: e["record"].update(threads=7)) == 2
    assert trained_after(lambda e: e["record"].update(engine="stacked")) == 2
    assert trained_after(lambda e: e["record"].update(data="0" * 16)) == 2
    assert trained_after(lambda e: e["record"]["stacks"].reverse()) == 0
    assert trained_after(lambda e: e["record"]["stacks"][0].pop()) == 2
    assert trained_after(lambda e: e.pop("record")) == 2


def test_nothing_is_copied_where_weights_are_gone(tmp_path: Path) -> None:
    notes = Notes()
    found = sweep_tiny(tmp_path, criteria(store={"keep": "masks"}), progress=notes)
    assert [cell.level for cell in notes.landed_cells].count(0) == 4
    assert len({run.path for run in found.runs.values()}) == 2


@pytest.mark.parametrize("steps", [10, 45, 130])
def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bits(tmp_path: Path, steps: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        sweep_tiny(tmp_path / "stopped", progress=Notes(stop_after=steps))
    found = sweep_tiny(tmp_path / "stopped")
    whole = sweep_tiny(tmp_path / "whole")
    assert contents(found.path) == contents(whole.path)
    for stopped, undisturbed in zip(found.runs.values(), whole.runs.values(), strict=True):
        assert contents(stopped.path) == contents(undisturbed.path)
        assert no_leftovers(stopped.path)


def test_a_copy_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, copied = reuse._copy, []

    def once(*given: Any) -> None:
        if copied:
            raise KeyboardInterrupt
        copied.append(copy(*given))

    monkeypatch.setattr(reuse, "_copy", once)
    with pytest.raises(KeyboardInterrupt):
        sweep_tiny(tmp_path)
    monkeypatch.undo()
    notes = Notes()
    found = sweep_tiny(tmp_path, progress=notes)
    assert all(cell.level for cell in notes.landed_cells)
    second = list(found.runs.values())[1]
    assert contents(second.path) == contents(alone(tmp_path / "alone", criteria().members[1].study))


def test_run_again_it_does_nothing_and_an_earlier_run_is_taken_up(tmp_path: Path) -> None:
    earlier = run_tiny(tmp_path, criteria().members[1].study)
    before = cells_of(times(earlier.path))
    found = sweep_tiny(tmp_path)
    assert cells_of(times(earlier.path)) == before
    every = {run.path: cells_of(times(run.path)) for run in found.runs.values()}
    again = sweep_tiny(tmp_path)
    assert {run.path: cells_of(times(run.path)) for run in again.runs.values()} == every
    assert earlier.path in every


def test_a_member_that_cannot_be_run_stops_it_before_anything_is_trained(tmp_path: Path) -> None:
    broken = Member({"pruning.rate": 0.9}, tiny(levels=40, pruning={"rate": 0.9}))
    with pytest.raises(UserError):
        sweep_tiny(tmp_path, Sweep(("pruning.rate",), (tiny_member(), broken)))
    assert not list(tmp_path.iterdir())


def test_the_results_of_all_members_have_the_swept_values(tmp_path: Path) -> None:
    found = sweep_tiny(tmp_path)
    frame = sweep_results(found)
    assert frame.columns[:2] == ["run", "pruning.criterion"]
    for (label, run), criterion in zip(found.runs.items(), CRITERIA, strict=True):
        assert label == f"criterion {criterion}"
        own = frame.filter(frame["pruning.criterion"] == criterion)
        assert own["run"].unique().to_list() == [run.path.name]
        assert own.drop("run", "pruning.criterion").equals(results_of(run))


def test_values_of_several_kinds_are_words_and_numbers_stay_numbers(tmp_path: Path) -> None:
    rates = sweep_results(sweep_tiny(tmp_path / "a", over("pruning.rate", [0.2, 0.3], levels=1, arms=[])))
    assert rates["pruning.rate"].unique().sort().to_list() == [0.2, 0.3]
    mixed = over("pruning.rates", [{"output": 0.1}, {"output": 0.2}], levels=1, arms=[])
    names = sweep_results(sweep_tiny(tmp_path / "b", mixed))["pruning.rates"].unique().sort().to_list()
    assert names == ['{"output":0.1}', '{"output":0.2}']


def test_an_unfinished_sweep_can_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sweep_tiny(tmp_path, progress=Notes(stop_after=10))
    [path] = [file.parent for file in tmp_path.glob("*/sweep.toml")]
    runs = SweepRun.open(path).runs
    assert [len(missing(run, run.study)) for run in runs.values()] == [6, 6]


# --- finding -------------------------------------------------------------------------------------------------


def test_a_sweep_goes_before_its_members(tmp_path: Path) -> None:
    found = sweep_tiny(tmp_path)
    first = next(iter(found.runs.values()))
    for name in ("tiny", found.path.name, str(found.path)):
        opened = find(name, tmp_path)
        assert isinstance(opened, SweepRun)
        assert opened.path == found.path
        assert opened.title == "Tickets of lenet-8-6 on arrays, by criterion"
    assert find_run(first.path.name, tmp_path).path == first.path
    assert list(find("tiny", tmp_path).runs) == ["criterion large-final", "criterion random"]
    assert list(find(first.path.name, tmp_path).runs) == [first.path.name]
    with pytest.raises(
        UserError, match=rf"sweep of several runs, name one of them: {first.path.name} \(criterion"
    ):
        find_run("tiny", tmp_path)
    stranger = run_tiny(tmp_path, tiny(seed=3))
    with pytest.raises(UserError, match="beginning of several runs") as caught:
        find("tiny", tmp_path)
    assert {found.path.name, stranger.path.name} == set(str(caught.value).partition(": ")[2].split(", "))


def test_a_broken_sweep_file_is_named(tmp_path: Path) -> None:
    found = sweep_tiny(tmp_path)
    member = next(iter(found.runs.values())).path
    member.rename(tmp_path / "away")
    with pytest.raises(UserError, match=f"names the run '{member.name}', which is not beside it"):
        SweepRun.open(found.path)
    for text in (
        "title = ",
        "title = 'x'",
        "members = 3\ntitle = 'x'",
        "title = 'x'\n[[members]]\nrun = 'x'",
    ):
        (found.path / "sweep.toml").write_text(text)
        with pytest.raises(UserError, match=r"sweep\.toml: not (the file of a sweep|valid TOML)"):
            SweepRun.open(found.path)


# --- Python --------------------------------------------------------------------------------------------------


def test_python_runs_a_sweep_by_object_and_by_name(tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": toy_data(), "device": "cpu", "threads": 1, "engine": "mlp"}
    found = tombola.run(criteria(), out=tmp_path, **options)
    assert isinstance(found, SweepRun)
    tables = (
        '[model]\nname = "lenet-8-6"\n[data]\nname = "arrays"\nvalidation = 30\n[recipe]\niterations = 5\n'
    )
    (tmp_path / "mine.toml").write_text(f"levels = 1\nreplicates = 1\n{tables}[sweep]\nseed = [0, 1]\n")
    named = tombola.run(
        tmp_path / "mine.toml", out=tmp_path, settings=["batch=9", "evaluate_every=5"], **options
    )
    assert isinstance(named, SweepRun)
    assert list(named.runs) == ["seed 0", "seed 1"]


def criteria_of(more: dict[str, Any]) -> Sweep:
    members = [Member(m.values, m.study.model_copy(update=more)) for m in criteria().members]
    return Sweep(criteria().keys, tuple(members))


def tiny_member() -> Member:
    return Member({"pruning.rate": 0.3}, tiny(levels=1))
