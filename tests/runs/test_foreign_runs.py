"""Runs of things Tombola does not know: somebody's nn.Module, factories, bare instances, arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tombola
from support.study_kit import contents, run_tiny, tiny, toy_data
from tombola.data.arrays import from_arrays
from tombola.data.catalog import load
from tombola.data.dataset import Dataset
from tombola.errors import Notice, UserError
from tombola.lottery.cell import Cell
from tombola.runs.results import results_of
from tombola.study.load import load_study, parse_study
from tombola.study.spec import Study

FOREIGN = """
from torch import nn


class Net(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)))


def make(classes, width=7):
    return Net(classes, width)
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of a network in a file of its own, in the current folder."""
    (tmp_path / "their_nets.py").write_text(FOREIGN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "their_nets", raising=False)
    return tiny(model={"name": "their_nets:make"})


@pytest.mark.parametrize("rewind", [0, 5])
def test_a_foreign_network_with_batch_norm_and_dropout_for_two_levels(
    rewind: int, foreign: Study, tmp_path: Path
) -> None:
    study = foreign.model_copy(update={"pruning": foreign.pruning.model_copy(update={"rewind": rewind})})
    run = run_tiny(tmp_path / "one", study)
    again = run_tiny(tmp_path / "two", study)
    assert contents(run.path) == contents(again.path)
    assert {run.record(cell).status for cell in run.cells()} == {"ok"}
    for cell in run.cells():
        assert set(run.mask(cell)) == {"body.0.weight", "head.weight"}, "norm parameters are never pruned"
        end, start = run.weights(cell, "end"), run.start(cell)
        steps = int(end["body.1.num_batches_tracked"]) - int(start["body.1.num_batches_tracked"])
        assert steps == run.record(cell).iterations == 20 - (rewind if cell.level else 0)
        assert not torch.equal(end["body.1.running_mean"], start["body.1.running_mean"])
    dense, ticket = (run.start(Cell(0, level, "ticket", 0)) for level in (0, 1))
    assert int(dense["body.1.num_batches_tracked"]) == 0
    assert int(ticket["body.1.num_batches_tracked"]) == rewind, "buffers are rewound as well"
    assert torch.equal(dense["body.1.running_var"], torch.ones(7))
    assert torch.equal(ticket["body.1.running_var"], torch.ones(7)) == (rewind == 0)


def test_options_reach_the_factory_and_the_id(foreign: Study, tmp_path: Path) -> None:
    wide = foreign.model_copy(update={"model": foreign.model.model_copy(update={"options": {"width": 9}})})
    run, wide_run = run_tiny(tmp_path, foreign), run_tiny(tmp_path, wide)
    assert run.path != wide_run.path
    assert wide_run.mask(wide_run.cells()[0])["head.weight"].shape == (3, 9)


def test_a_factory_that_changed_under_a_run_is_refused(foreign: Study, tmp_path: Path) -> None:
    run = run_tiny(tmp_path / "runs", foreign)
    bits = contents(run.path)
    (tmp_path / "their_nets.py").write_text(FOREIGN.replace("width=7", "width=8") + "\n# another size\n")
    del sys.modules["their_nets"]
    with pytest.raises(UserError, match="other initial weights of their_nets:make"):
        run_tiny(tmp_path / "runs", foreign.model_copy(update={"levels": 3}))
    assert contents(run.path) == bits


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def smaller() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


def test_a_factory_handed_in_takes_the_place_of_the_name(tmp_path: Path) -> None:
    run, other = run_tiny(tmp_path, model=small), run_tiny(tmp_path, model=smaller)
    assert run.path != other.path, "another network is another study"
    assert run.study.model.name == f"{__name__}:small"
    assert run.mask(run.cells()[0]).size() == 6 * 5 + 5 * 3
    assert len(results_of(run)) == 14


def test_factories_of_one_name_are_told_apart(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, model=lambda: small())
    bits = contents(run.path)
    with pytest.raises(UserError, match="other initial weights"):
        run_tiny(tmp_path, tiny(levels=3), model=lambda: smaller())
    assert contents(run.path) == bits


def test_a_bare_instance_runs_one_replicate_from_its_own_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    study = tiny(replicates=1, arms=[{"name": "random-mask"}])
    run = run_tiny(tmp_path, study, model=network)
    assert {cell.replicate for cell in run.cells()} == {0}
    start = run.start(Cell(0, 0, "ticket", 0))
    assert all(torch.equal(start[name], before[name]) for name in before)
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before), (
        "it is left as it was"
    )


def test_a_bare_instance_is_refused_two_replicates_and_a_reinit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Sequential .*one replicate only, found replicates = 2"):
        run_tiny(tmp_path, model=small())
    with pytest.raises(UserError, match="arm 'reinit' draws new weights"):
        run_tiny(tmp_path, tiny(replicates=1), model=small())
    assert not list(tmp_path.iterdir())


class Loaded(nn.Module):
    """A body that is the same for every seed, and a new head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        with torch.no_grad():
            self.body.weight.copy_(torch.arange(36.0).view(6, 6) / 36)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(x))
        return out


def seeding_itself() -> nn.Module:
    torch.manual_seed(0)
    return small()


def test_a_factory_that_seeds_itself_runs_one_replicate(tmp_path: Path) -> None:
    words = r"seeding_itself gives the same weights for every seed .* one replicate only, found replicates = 2; leave"
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, tiny(arms=[]), model=seeding_itself)
    assert not list(tmp_path.iterdir())
    assert run_tiny(tmp_path, tiny(arms=[], replicates=1, levels=1), model=seeding_itself).cells()


def test_weights_that_all_replicates_share_are_told_of(tmp_path: Path) -> None:
    words = (
        r"Loaded: 1 of its 2 prunable tensors start from the same weights in every replicate \(body.weight\)"
    )
    with pytest.warns(Notice, match=words):
        run = run_tiny(tmp_path, tiny(arms=[], levels=0), model=Loaded)
    first, second = (run.start(Cell(r, 0, "ticket", 0)) for r in (0, 1))
    assert torch.equal(first["body.weight"], second["body.weight"])
    assert not torch.equal(first["head.weight"], second["head.weight"])


def test_batches_of_one_are_refused_where_a_network_cannot_be_trained_on_them(
    foreign: Study, tmp_path: Path
) -> None:
    study = foreign.model_copy(update={"recipe": foreign.recipe.model_copy(update={"batch": 1})})
    words = r"recipe.batch is 1, and their_nets:make cannot be trained on one example at a time \(ValueError: Expected"
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path / "runs", study)
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
    with pytest.raises(UserError, match=words):
        tombola.train("their_nets:make", toy_data(), recipe=study.recipe)
    assert run_tiny(tmp_path, tiny(levels=0, recipe={"batch": 1}), model=small).cells()


# --- data handed in -----------------------------------------------------------------------------------------


def test_arrays_enter_the_id_by_digest(tmp_path: Path) -> None:
    one = run_tiny(tmp_path)
    with pytest.warns(Notice, match="the same study on other data is in"):
        two = run_tiny(tmp_path, dataset=toy_data(seed=1))
    assert one.path != two.path
    assert one.study.data.digest == toy_data().digest != two.study.data.digest
    assert run_tiny(tmp_path, one.study).path == one.path, "the resolved spec is the same study"


def test_other_arrays_for_a_resolved_spec_are_refused(tmp_path: Path) -> None:
    run = run_tiny(tmp_path)
    with pytest.raises(UserError, match=f"has digest {toy_data(1).digest}, .* made with {toy_data().digest}"):
        run_tiny(tmp_path, run.study, dataset=toy_data(seed=1))


def test_data_handed_in_under_any_name_enters_the_id(tmp_path: Path) -> None:
    def named(seed: int, name: str) -> Dataset:
        data = toy_data(seed)
        return from_arrays((data.train_x, data.train_y), (data.test_x, data.test_y), name)

    for name in ("clouds", "digits"):
        one, two = (
            run_tiny(tmp_path / str(seed), tiny(levels=0), dataset=named(seed, name)) for seed in (0, 1)
        )
        assert one.path.name != two.path.name
        assert parse_study(one.study.to_toml(), "study.toml") == one.study, "what was written can be read"
    spec = tiny(levels=0, data={"name": "digits"})
    run = run_tiny(tmp_path, spec, dataset=named(0, "clouds"))
    assert run.study.data.name == "arrays", "a spec does not name data that were not used"


def test_a_named_data_set_needs_no_digest(tmp_path: Path) -> None:
    settings = [
        "replicates=1",
        "levels=1",
        "iterations=4",
        "evaluate_every=2",
        "curve_every=2",
        "model.name=lenet-8-6",
    ]
    study = load_study("quick", settings)
    run = run_tiny(tmp_path, study, dataset=None)
    assert run.study == study
    assert run.study.data.digest is None
    assert run.path.name == study.folder
    digits: Any = load("digits")
    assert results_of(run)["final_test_accuracy"].is_between(0, 1).all()
    assert run.mask(run.cells()[0])["fc1.weight"].shape == (8, digits.train_x[0].numel())
