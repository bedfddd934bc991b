"""A study.toml that was edited after its cells were trained, and code that changed between the runs of one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from support.route_parts import by, travelling
from support.study_kit import Notes, bound, contents, run_tiny, times, tiny, toy_data
from tombola import networks
from tombola.errors import Notice, UserError
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.runs.folder import Run
from tombola.runs.results import histories, results_of
from tombola.runs.unedited import require_unedited
from tombola.study.spec import Study
from tombola.training.fingerprint import Fingerprint

MINE = {"name": "mine", "weights": "reinit"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[MINE]))


def rewrite(run: Run, *pairs: tuple[str, str]) -> None:
    path = run.path / "study.toml"
    for old, new in pairs:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


CHANGES = {
    "one key": ([("lr = 0.01", "lr = 0.02")], r"says recipe.lr = 0.02, but the cells were trained with 0.01; put"),
    "an option at its default": ([("weight_decay = 0.0", "weight_decay = 0.1")], "recipe.weight_decay = 0.1, .* 0.0;"),
    "the seed": ([("seed = 0", "seed = 3")], "says seed = 3, but the cells were trained with 0;"),
    "two keys": (
        [("iterations = 20", "iterations = 30"), ("rate = 0.3", "rate = 0.2")],
        "says recipe.iterations = 30 and pruning.rate = 0.2, but the cells were trained with 20 and 0.3;",
    ),
    "many keys": (
        [("seed = 0", "seed = 1"), ("batch = 10", "batch = 5"), ("lr = 0.01", "lr = 1"), ("rate = 0.3", "rate = 0.1")],
        r"trained with .* and .* and .* \(and 1 more\);",
    ),
    "a key that is gone": ([("rate = 0.3\n", "")], "says pruning.rate = 0.2, but the cells were trained with 0.3;"),
    "what is kept": ([('keep = "living"', 'keep = "all"')], "says store.keep = all, .* trained with living;"),
    "the data": ([("validation = 30", "validation = 20")], "data.validation = 20, .* trained with 30;"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_decides_a_cell_is_named(what: str, run: Run) -> None:
    pairs, words = CHANGES[what]
    rewrite(run, *pairs)
    for read in (lambda r: r.study, results_of, histories, lambda r: r.ticket(r.cells()[0])):
        with pytest.raises(UserError, match=words):
            read(Run(run.path))


def test_an_edit_after_the_study_was_read_is_found(run: Run) -> None:
    assert run.study is run.study, "read once"
    rewrite(run, ("lr = 0.01", "lr = 0.02"))
    with pytest.raises(UserError, match=r"recipe\.lr = 0\.02"):
        _ = run.study
    rewrite(run, ("lr = 0.02", "lr = 0.01"))
    assert run.study.recipe.lr == 0.01


def test_an_arm_that_was_spelled_anew_is_found_where_it_has_cells(run: Run, tmp_path: Path) -> None:
    before = times(run.path)
    text = (run.path / "study.toml").read_text()
    rewrite(run, ('weights = "reinit"', 'weights = "constant"'))
    words = "arm 'mine' is mask 'keep', weights 'constant', .* its cells were made with mask 'keep', weights 'reinit'"
    with pytest.raises(UserError, match=words):
        results_of(Run(run.path))
    other = tiny(levels=1, replicates=1, arms=[{**MINE, "weights": "constant"}])
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, other)
    # Taken out of study.toml, its cells are still there.
    (run.path / "study.toml").write_text(text.replace('name = "mine"', 'name = "later"'))
    assert results_of(Run(run.path)).height == 3
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, other)
    (run.path / "study.toml").write_text(text)
    assert {name: at for name, at in times(run.path).items() if name != "study.toml"} == {
        name: at for name, at in before.items() if name != "study.toml"
    }


def lent(ladders: int | None, **changes: Any) -> Study:
    narrow = {"model": {"name": "lenet-8-8"}, "replicates": ladders}
    route = by("elastic", controls=[], levels=[1])
    return travelling(route, sources={"narrow": narrow}, levels=1, **changes)


def test_a_source_of_another_number_of_ladders_is_found(tmp_path: Path) -> None:
    """By it replicates would take from other ladders than those that are trained already."""
    one = run_tiny(tmp_path, lent(1))
    said = r"\[sources.narrow\] says replicates = nothing, but cells of 'by-elastic' were made with 1,"
    with pytest.raises(UserError, match=said):
        run_tiny(tmp_path, lent(None, replicates=3))
    assert run_tiny(tmp_path, lent(1, replicates=3)).path == one.path  # the study's own may grow
    old = {"study": {key: one.environment["study"][key] for key in ("deciding", "arms", "digest", "routes")}}
    more = {"narrow": one.study.sources["narrow"].model_copy(update={"replicates": 2})}
    require_unedited(
        one.path, one.study.model_copy(update={"sources": more}), old
    )  # as an older Tombola wrote it


def test_a_source_without_takers_may_have_another_number_of_ladders(tmp_path: Path) -> None:
    one = run_tiny(tmp_path, lent(1))
    for folder in one.path.glob("cells/r*/L*/by-elastic"):
        folder.rename(tmp_path / f"away-{folder.parent.parent.name}")
    assert run_tiny(tmp_path, lent(2)).path == one.path


def test_an_arm_without_cells_may_be_spelled_anew(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=0, arms=[MINE]))
    rewrite(run, ('weights = "reinit"', 'weights = "constant"'))
    assert Run(run.path).study.arms[0].weights == "constant"


def test_a_registered_arm_that_became_another_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_tiny(tmp_path, tiny(levels=1, replicates=1))
    monkeypatch.setitem(ARMS._parts, "reinit", Arm(weights="constant"))
    with pytest.raises(UserError, match=r"arm 'reinit' is .* its cells were made with .*'reinit'"):
        results_of(Run(run.path))


def test_a_record_that_says_nothing_is_named(run: Run) -> None:
    path = run.path / "environment.json"
    environment = json.loads(path.read_text())
    path.write_text(json.dumps({**environment, "study": {"arms": 3}}))
    with pytest.raises(UserError, match=r"environment\.json: broken at 'study\.arms'"):
        _ = Run(run.path).study


def test_a_record_with_options_that_are_gone_still_says_what_changed(run: Run) -> None:
    environment = run.environment
    environment["study"]["deciding"]["recipe"]["warp"] = 9
    run.write_environment(environment)
    with pytest.raises(UserError, match=r"says recipe\.warp = nothing, but the cells were trained with 9;"):
        _ = Run(run.path).study


def test_the_record_grows_with_the_arms_and_is_the_study_of_the_folders_name(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[]))
    run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[MINE]))
    run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[]))
    facts = run.environment["study"]
    assert facts["arms"] == {"mine": {"mask": "keep", "weights": "reinit", "dead": "zero"}}
    assert facts["deciding"] == bound(tiny()).deciding()
    assert Study.model_validate(facts["deciding"]).identity() == run.path.name[-8:]


# --- code ---------------------------------------------------------------------------------------------------


class Net(nn.Module):
    scale = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x))) * self.scale


def test_a_run_holds_what_its_network_computes_and_guards_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_tiny(tmp_path, model=Net)
    stored = Fingerprint.model_validate(run.environment["function"])
    assert stored.inputs.shape == (6,)
    assert set(stored.weights) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    before = times(run.path)
    run_tiny(tmp_path, model=Net)
    assert times(run.path) == before
    monkeypatch.setattr(Net, "scale", 1.01)
    with pytest.raises(
        UserError, match=r"tiny-\w+: model '.*:Net' computes .* \(its outputs in evaluation differ by "
    ):
        run_tiny(tmp_path, tiny(levels=3), model=Net)
    assert times(run.path) == before


def test_a_stopped_run_is_guarded_before_its_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, model=Net, progress=Notes(stop_after=1))
    monkeypatch.setattr(Net, "scale", 1.01)
    with pytest.raises(UserError, match="computes something else than when this run was made"):
        run_tiny(tmp_path, model=Net)


def test_no_dense_network_is_copied_from_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    donor = run_tiny(tmp_path, tiny(levels=1, replicates=1), model=Net)
    other = tiny(levels=1, replicates=1, pruning={"criterion": "random"})
    notes = Notes()
    run_tiny(tmp_path / "same", other, model=Net, dense_from=[donor], progress=notes)
    assert [cell.level for cell in notes.landed_cells].count(0) == 0
    monkeypatch.setattr(Net, "scale", 1.01)
    notes = Notes()
    run_tiny(tmp_path / "edited", other, model=Net, dense_from=[donor], progress=notes)
    assert [cell.level for cell in notes.landed_cells].count(0) == 1


def test_a_network_trained_from_python_is_guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tombola.training.recipe import Recipe

    recipe: Any = Recipe(iterations=4, evaluate_every=2, batch=10)
    ticket, _ = networks.train(f"{__name__}:Net", toy_data(), recipe=recipe, validation=30)
    ticket.save(tmp_path / "net.safetensors")
    loaded = type(ticket).load(tmp_path / "net.safetensors")
    assert networks.evaluate(loaded, toy_data()).examples == 45
    monkeypatch.setattr(Net, "scale", 1.01)
    with pytest.raises(UserError, match="computes something else than when this network was trained"):
        networks.evaluate(loaded, toy_data())
    old = type(ticket)(
        ticket.mask, ticket.start, ticket.end, {k: v for k, v in ticket.provenance.items() if k != "function"}
    )
    with pytest.warns(
        Notice, match="nothing is recorded of what model '.*:Net' computed when this network was trained"
    ):
        networks.evaluate(old, toy_data())


def test_the_record_changes_no_bit_of_a_cell(tmp_path: Path) -> None:
    """It is taken between the drawing of the weights and the first step."""
    one, two = run_tiny(tmp_path / "one", model=Net), run_tiny(tmp_path / "two", model=Net)
    assert contents(one.path) == contents(two.path)
    assert one.environment == two.environment
