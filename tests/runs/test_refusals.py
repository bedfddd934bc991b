"""What a run refuses, in one sentence, leaving things as they are."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.study_kit import Notes, bound, run_tiny, times, tiny, tiny_options
from tombola.data.dataset import DATASETS
from tombola.errors import UserError
from tombola.lottery.cell import Drawn
from tombola.models.initializers import glorot
from tombola.runs import folder
from tombola.runs.folder import LOCK, Run
from tombola.runs.presence import WORK
from tombola.runs.runner import run_study, run_sweep
from tombola.study.sweep import Member, Sweep

ARCHITECTURE = importlib.import_module("tombola.models.architecture")


def test_a_second_process_is_refused(made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(folder, "PATIENCE", 0.01)
    before = times(made.path)
    with FileLock(made.path / LOCK):
        assert made.is_locked()
        with pytest.raises(UserError, match="another process is running this study"):
            run_tiny(tmp_path, tiny(levels=3))
    assert times(made.path) == before
    assert not made.is_locked()
    run_tiny(tmp_path, tiny(levels=3))


def test_the_lock_is_given_back_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as kept:  # the traceback keeps every frame alive
        run_tiny(tmp_path, progress=Notes(stop_after=1))
    assert not Run(tmp_path / run_tiny(tmp_path).study.folder).is_locked()
    assert kept.tb is not None


def test_a_folder_of_another_study_is_refused(made: Run, tmp_path: Path) -> None:
    other = tiny(seed=1)
    made.path.rename(tmp_path / other.model_copy(update={"data": made.study.data}).folder)
    (folder,) = tmp_path.iterdir()
    before = times(folder)
    with pytest.raises(UserError, match=f"holds another study .id {tiny_id()}.* move the folder away"):
        run_tiny(tmp_path, other)
    assert times(folder) == before


def tiny_id() -> str:
    """The id of the tiny study with its data bound."""
    return bound(tiny()).identity()


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
def test_what_would_change_the_bits_is_refused(
    options: dict[str, Any], words: str, made: Run, tmp_path: Path
) -> None:
    before, threads = times(made.path), torch.get_num_threads()
    with pytest.raises(UserError, match=f"was begun with {words}"):
        run_tiny(tmp_path, tiny(levels=3), **options)
    assert times(made.path) == before, "a refusal does not widen the study"
    torch.set_num_threads(threads)


def test_another_device_is_refused(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    environment = run.environment
    environment["record"]["device"] = "cuda"
    run.write_environment(environment)
    with pytest.raises(UserError, match="was begun with device cuda, found cpu"):
        run_tiny(tmp_path)


def test_auto_goes_on_with_what_is_recorded(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, engine="modules")
    run_tiny(tmp_path, tiny(levels=3), engine="auto", device="auto", threads=None)
    assert run.environment["record"]["engine"] == "modules"
    assert max(cell.level for cell in run.cells()) == 3


def test_other_initial_weights_are_refused(
    made: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = times(made.path)
    environment = made.environment
    assert len(environment["record"]["initial"]) == 16
    monkeypatch.setattr(ARCHITECTURE, "glorot", lambda module, rng: glorot(module, np.random.default_rng(0)))
    with pytest.raises(UserError, match="other initial weights of lenet-8-6"):
        run_tiny(tmp_path, tiny(levels=3))
    assert times(made.path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 0}, "threads is 0"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:99"}, "'cuda:99' is not here"),
        ({"engine": "mpl"}, "unknown engine 'mpl'; did you mean 'mlp'"),
        ({"engine": "sparse-conv"}, "engine 'sparse-conv' cannot hold lenet-8-6"),
        ({"engine": "sparse-conv", "shard": "1/2"}, "engine 'sparse-conv' cannot hold lenet-8-6"),
        ({"dataset": None}, "handed in from Python"),
    ],
)
def test_a_wrong_option_makes_no_folder(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"validation": 90}}, "study 'tiny': data.validation is 90, which takes 90 of 90 training"),
        ({"pruning": {"rates": {"ouput": 0.1}}}, "study 'tiny': pruning.rates: 'ouput' matches no parameter"),
    ],
)
def test_what_does_not_fit_the_data_or_the_network_is_named_by_study_and_key(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^{words}"):
        run_tiny(tmp_path, tiny(**changes))
    assert not list(tmp_path.iterdir())


def refuse(run: Run) -> None:
    raise UserError("the last moment before training")


def test_a_refusal_before_the_first_training_removes_what_was_begun(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the last moment"):
        run_study(tiny(), tiny_options(tmp_path, tiny()), beginning=refuse)
    assert not list(tmp_path.iterdir())


def test_a_refusal_removes_no_folder_that_was_there(tmp_path: Path) -> None:
    folder = tmp_path / bound(tiny()).folder
    folder.mkdir()
    with pytest.raises(UserError, match="the last moment"):
        run_study(tiny(), tiny_options(tmp_path, tiny()), beginning=refuse)
    assert (folder / "study.toml").is_file()


def test_a_refusal_removes_no_folder_in_which_another_works(tmp_path: Path) -> None:
    def joined(run: Run) -> None:
        (run.path / WORK).mkdir()
        (run.path / WORK / "other.beat").write_text("{}")
        refuse(run)

    with pytest.raises(UserError, match="the last moment"):
        run_study(tiny(), tiny_options(tmp_path, tiny(), shard="1/2"), beginning=joined)
    assert len(list(tmp_path.glob("*/study.toml"))) == 1


def test_a_refusal_removes_nothing_that_was_trained(tmp_path: Path) -> None:
    class Refused(Notes):
        def landed(self, drawn: Sequence[Drawn]) -> None:
            super().landed(drawn)
            if len(self.landed_cells) > 2:
                raise UserError("after the first cells")

    with pytest.raises(UserError, match="after the first cells"):
        run_tiny(tmp_path, progress=Refused())
    assert list(tmp_path.glob("*/cells/r0/L00/ticket/0/cell.json"))


def test_a_sweep_that_is_refused_before_the_first_training_leaves_nothing(tmp_path: Path) -> None:
    members = [Member({"seed": seed}, tiny(seed=seed)) for seed in (0, 1)]
    with pytest.raises(UserError, match="engine 'sparse-conv' cannot hold"):
        run_sweep(Sweep(("seed",), tuple(members)), tiny_options(tmp_path, tiny(), engine="sparse-conv"))
    assert not list(tmp_path.iterdir())


def test_other_data_under_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has replaced the files of a named data set since the run began."""
    folder = run_tiny(
        tmp_path, tiny(data={"name": "digits"}, replicates=1, levels=0, arms=[]), dataset=None
    ).path
    full = DATASETS["digits"](None)
    shortened = replace(full, train_x=full.train_x[:-1], train_y=full.train_y[:-1])
    monkeypatch.setitem(DATASETS._parts, "digits", lambda folder: shortened)
    with pytest.raises(UserError, match=f"{folder.name}: was begun with other data"):
        run_tiny(tmp_path, tiny(data={"name": "digits"}, replicates=1, levels=1, arms=[]), dataset=None)
