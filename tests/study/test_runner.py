"""Runs: the same bits each time, nothing done twice, extension without redoing, and nothing left behind."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from study_kit import cells_of, contents, no_leftovers, run_tiny, times, tiny, toy_data

from tombola.errors import UserError
from tombola.lottery import Cell, Drawn
from tombola.models.named import glorot
from tombola.study import Run, Study, missing, planned_cells, results, runner
from tombola.study.store import LOCK

ARCHITECTURE = importlib.import_module("tombola.models.architecture")


def test_a_run_is_whole(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    assert run.path == tmp_path / run.study.folder
    assert run.cells() == sorted(planned_cells(tiny()))
    assert run.study.model_copy(update={"data": tiny().data}) == tiny()
    assert run.study.data.digest == toy_data().digest
    assert no_leftovers(run.path)
    for cell in run.cells():
        names = {path.name for path in run.folder(cell).iterdir()}
        assert names == {
            "mask.safetensors",
            "end.safetensors",
            "best.safetensors",
            "history.parquet",
            "cell.json",
            "timing.json",
        }


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    before, bits = times(run.path), contents(run.path)
    assert run_tiny(tmp_path).path == run.path
    assert times(run.path) == before
    assert contents(run.path) == bits


def test_equal_runs_have_equal_bits(tmp_path: Path) -> None:
    study = tiny(pruning={"rewind": 5})
    one, two = run_tiny(tmp_path / "one", study), run_tiny(tmp_path / "two", study)
    assert contents(one.path) == contents(two.path)
    assert len(contents(one.path)) > 14 * 5


def test_another_seed_has_other_bits(tmp_path: Path) -> None:
    one, two = run_tiny(tmp_path, tiny(seed=0)), run_tiny(tmp_path, tiny(seed=1))
    assert one.path != two.path
    for cell in one.cells():
        ours, theirs = one.weights(cell, "end"), two.weights(cell, "end")
        assert not any(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_leaves_the_generators_of_torch_and_numpy_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 - the very state that must not be touched
    before, old = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    run_tiny(tmp_path)
    after = np.random.get_state()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(a, b) for a, b in zip(old, after, strict=True))


def test_the_global_generators_do_not_change_a_run(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = run_tiny(tmp_path / "one")
    torch.manual_seed(2)
    two = run_tiny(tmp_path / "two")
    assert contents(one.path) == contents(two.path)


# --- progress -----------------------------------------------------------------------------------------------


class Notes:
    """Somebody who writes down what is reported, and may stop the run."""

    def __init__(self, stop_after: int = 1_000_000) -> None:
        self.total = self.done = self.advanced = 0
        self.landed_cells: list[Cell] = []
        self.stop_after = stop_after

    def begin(self, total: int, done: int) -> None:
        self.total, self.done = total, done

    def advance(self, steps: int, cells: Sequence[Cell]) -> None:
        self.advanced += steps
        if self.advanced > self.stop_after:
            raise KeyboardInterrupt

    def landed(self, drawn: Sequence[Drawn]) -> None:
        self.landed_cells += [d.cell for d in drawn]


def test_progress_adds_up(tmp_path: Path) -> None:
    first, again, more = Notes(), Notes(), Notes()
    run_tiny(tmp_path, tiny(pruning={"rewind": 5}), progress=first)
    # Two dense networks of 20 steps, and 2 levels x 2 replicates x 3 arms of 15.
    assert (first.total, first.done, first.advanced) == (2 * 20 + 12 * 15, 0, 220)
    assert sorted(first.landed_cells) == sorted(planned_cells(tiny()))
    run_tiny(tmp_path, tiny(pruning={"rewind": 5}), progress=again)
    assert (again.total, again.done, again.advanced) == (220, 220, 0)
    run_tiny(tmp_path, tiny(pruning={"rewind": 5}, levels=3), progress=more)
    assert (more.total, more.done, more.advanced) == (310, 220, 90)


def test_a_cell_that_was_moved_away_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    bits = contents(run.path)
    shutil.rmtree(run.folder(Cell(0, 2, "reinit", 0)))
    run_tiny(tmp_path, progress=(notes := Notes()))
    assert contents(run.path) == bits
    # Its whole stack is trained again, since alone it would round otherwise; what counts is the one cell.
    assert (notes.total - notes.done, notes.advanced) == (20, 20)


# --- extension ----------------------------------------------------------------------------------------------

EXTENSIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "levels": ({"levels": 1}, {"levels": 3}),
    "replicates": ({"replicates": 1}, {"replicates": 3}),
    "draws": ({"arms": [{"name": "reinit"}]}, {"arms": [{"name": "reinit", "draws": 3}]}),
    "an arm": ({"arms": [{"name": "reinit"}]}, {"arms": [{"name": "reinit"}, {"name": "random-mask"}]}),
    "an arm at more levels": (
        {"arms": [{"name": "reinit", "levels": [2]}]},
        {"arms": [{"name": "reinit", "levels": [1]}]},
    ),
    "all at once": (
        {"levels": 1, "replicates": 1, "arms": []},
        {"levels": 3, "replicates": 2, "arms": [{"name": "random-mask-global", "draws": 2}]},
    ),
}


@pytest.mark.parametrize("rewind", [0, 5])
@pytest.mark.parametrize("what", sorted(EXTENSIONS))
def test_an_extension_redoes_no_cell_and_starts_where_one_run_would(
    what: str, rewind: int, tmp_path: Path
) -> None:
    small, large = (tiny(pruning={"rewind": rewind}, **change) for change in EXTENSIONS[what])
    run = run_tiny(tmp_path / "extended", small)
    before, bits = cells_of(times(run.path)), cells_of(contents(run.path))
    assert run_tiny(tmp_path / "extended", large).path == run.path
    wide = large.widened(small)
    assert set(run.cells()) == set(planned_cells(wide))
    assert {name: cells_of(times(run.path))[name] for name in before} == before
    assert {name: cells_of(contents(run.path))[name] for name in bits} == bits
    assert len(results(run)) == len(planned_cells(wide))

    whole = run_tiny(tmp_path / "whole", wide)
    for cell in run.cells():
        ours, theirs = run.start(cell), whole.start(cell)
        if cell.level < 2 and not rewind:
            # Beyond that, masks and rewound weights rest on stacks of another make-up: equal to rounding only.
            assert run.mask(cell) == whole.mask(cell)
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert run.mask(cell).counts() == whole.mask(cell).counts()
        ours, theirs = run.weights(cell, "end"), whole.weights(cell, "end")
        assert all(torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4) for name in theirs)


def test_a_narrower_request_changes_nothing_but_what_it_lacks(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=3))
    before = times(run.path)
    run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[]))
    assert times(run.path) == before
    assert run.study.levels == 3


@pytest.mark.parametrize("keep", ["living", "masks"])
def test_a_narrower_request_after_a_stop_leaves_the_rest_for_later(keep: str, tmp_path: Path) -> None:
    study, narrow = (tiny(levels=levels, store={"keep": keep}) for levels in (3, 1))
    whole = contents(run_tiny(tmp_path / "whole", study).path)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, study, progress=Notes(stop_after=1))
    run = run_tiny(tmp_path, narrow)
    assert max(cell.level for cell in run.cells()) == 1
    run_tiny(tmp_path, study)
    assert contents(run.path) == whole


def test_a_new_title_is_written_down(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    run_tiny(tmp_path, tiny(title="a better title"))
    assert run.study.title == "a better title"


# --- what is refused, and leaves things as they are ---------------------------------------------------------


def test_a_second_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(runner, "PATIENCE", 0.01)
    run = run_tiny(tmp_path)
    before = times(run.path)
    with FileLock(run.path / LOCK):
        assert run.is_locked()
        with pytest.raises(UserError, match="another process is running this study"):
            run_tiny(tmp_path, tiny(levels=3))
    assert times(run.path) == before
    assert not run.is_locked()
    run_tiny(tmp_path, tiny(levels=3))


def test_the_lock_is_given_back_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as kept:  # the traceback keeps every frame alive
        run_tiny(tmp_path, progress=Notes(stop_after=1))
    assert not Run(tmp_path / run_tiny(tmp_path).study.folder).is_locked()
    assert kept.tb is not None


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    other = tiny(seed=1)
    run.path.rename(tmp_path / other.model_copy(update={"data": run.study.data}).folder)
    (folder,) = tmp_path.iterdir()
    before = times(folder)
    with pytest.raises(UserError, match=f"holds another study .id {tiny_id()}.* move the folder away"):
        run_tiny(tmp_path, other)
    assert times(folder) == before


def tiny_id() -> str:
    """The id of the tiny study with its data bound."""
    return bound(tiny()).identity()


def bound(study: Study) -> Study:
    """The study with the digest of the toy data in it."""
    return study.model_copy(update={"data": study.data.model_copy(update={"digest": toy_data().digest})})


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / bound(tiny()).folder
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "chapter.tex").write_text("three years of work")
    (folder / ".precious.tmp").write_text("more of it")
    with pytest.raises(UserError, match="not empty and holds no study"):
        run_tiny(tmp_path)
    assert (folder / "thesis" / "chapter.tex").read_text() == "three years of work"
    assert (folder / ".precious.tmp").read_text() == "more of it"
    assert {path.name for path in folder.iterdir()} == {"thesis", ".precious.tmp", LOCK}


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="cannot be a run folder"):
        run_tiny(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "a file"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"threads": 2}, "threads 1, found 2"), ({"engine": "modules"}, "engine mlp, found modules")],
)
def test_what_would_change_the_bits_is_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    before, threads = times(run.path), torch.get_num_threads()
    with pytest.raises(UserError, match=f"was begun with {words}"):
        run_tiny(tmp_path, tiny(levels=3), **options)
    assert times(run.path) == before, "a refusal does not widen the study"
    torch.set_num_threads(threads)


def test_another_device_is_refused(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    environment = json.loads((run.path / "environment.json").read_text())
    environment["record"]["device"] = "cuda"
    (run.path / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(UserError, match="was begun with device cuda, found cpu"):
        run_tiny(tmp_path)


def test_auto_goes_on_with_what_is_recorded(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, engine="modules")
    run_tiny(tmp_path, tiny(levels=3), engine="auto", device="auto", threads=None)
    assert run.environment["record"]["engine"] == "modules"
    assert max(cell.level for cell in run.cells()) == 3


def test_other_initial_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_tiny(tmp_path)
    before = times(run.path)
    environment = run.environment
    assert len(environment["record"]["initial"]) == 16
    monkeypatch.setattr(ARCHITECTURE, "glorot", lambda module, rng: glorot(module, np.random.default_rng(0)))
    with pytest.raises(UserError, match="other initial weights of lenet-8-6"):
        run_tiny(tmp_path, tiny(levels=3))
    assert times(run.path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 0}, "threads is 0"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:99"}, "'cuda:99' is not here"),
        ({"engine": "mpl"}, "unknown engine 'mpl'; did you mean 'mlp'"),
        ({"dataset": None}, "handed in from Python"),
    ],
)
def test_a_wrong_option_makes_no_folder_with_anything_in_it(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != LOCK]


# --- ladders that end ---------------------------------------------------------------------------------------


def test_a_diverged_ladder_ends_and_the_results_have_nulls(tmp_path: Path) -> None:
    study = tiny(recipe={"optimizer": "sgd", "lr": 1e30})
    notes = Notes()
    run = run_tiny(tmp_path, study, progress=notes)
    assert {str(cell): run.record(cell)["status"] for cell in run.cells()} == {
        "r0/L00/ticket/0": "diverged",
        "r1/L00/ticket/0": "diverged",
    }
    frame = results(run)
    assert frame["early_stop_val_loss"].is_nan().sum() == 0
    assert frame["status"].to_list() == ["diverged", "diverged"]
    assert missing(run, study) == []
    before = times(run.path)
    run_tiny(tmp_path, study, progress=(again := Notes()))
    assert times(run.path) == before
    assert (again.total, again.done) == (40, 40), "what lies beyond the end is not promised"


def collapsing() -> Study:
    """Global pruning that empties the last layer at level 1, since its weights stay tiny (see the test)."""
    return tiny(
        levels=2,
        recipe={"iterations": 4, "evaluate_every": 4, "curve_every": 4, "lr": 1e-6},
        pruning={"allocation": "global", "rate": 0.3},
        arms=[{"name": "reinit"}, {"name": "random-mask-global"}],
    )


def test_a_collapsed_ladder_ends_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Replicate 1 begins with its output layer a million times smaller, and hardly learns: global pruning then
    # takes all of that layer at level 1.
    def shrunk(module: Any, rng: Any) -> Any:
        state = glorot(module, rng)
        if float(state["fc1.weight"][0, 0]) < 0:
            state["out.weight"] = state["out.weight"] * 1e-6
        return state

    monkeypatch.setattr(ARCHITECTURE, "glorot", shrunk)
    study = collapsing()
    for seed in range(20):  # a seed by which exactly one replicate is of the small kind
        run = run_tiny(tmp_path / str(seed), study.model_copy(update={"seed": seed}))
        ends = {
            r: [run.record(c)["status"] for c in run.cells() if c.arm == "ticket" and c.replicate == r]
            for r in (0, 1)
        }
        if sorted(ends.values()) == [["ok", "collapsed"], ["ok", "ok", "ok"]]:
            break
    else:
        pytest.fail(f"no seed gave one collapsed and one whole ladder, the last {ends}")
    (fallen,) = (r for r in (0, 1) if len(ends[r]) == 2)
    ticket = Cell(fallen, 1, "ticket", 0)
    assert run.mask(ticket).count("out.weight") == 0
    assert not run.keeps_weights(ticket)
    assert run.record(Cell(fallen, 1, "reinit", 0))["status"] == "collapsed"
    assert run.has(Cell(fallen, 1, "random-mask-global", 0))
    assert not [cell for cell in run.cells() if cell.replicate == fallen and cell.level > 1]
    frame = results(run)
    keys = {"replicate": fallen, "level": 1, "arm": "ticket"}
    (row,) = (row for row in frame.to_dicts() if row.items() >= keys.items())
    assert row["status"] == "collapsed"
    assert row["density"] == 80 / 114
    assert [row[name] for name in ("early_stop_iteration", "final_test_accuracy", "iterations")] == [None] * 3
    before = times(run.path)
    again = run_tiny(run.path.parent, study.model_copy(update={"seed": seed}))
    assert times(again.path) == before
