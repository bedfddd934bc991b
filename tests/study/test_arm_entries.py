"""[[arms]] entries: registered arms and spelled ones, what is refused, and what reaches the lottery and the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from support.study_kit import run_tiny, times, tiny
from tombola.errors import UserError
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.cell import Cell
from tombola.models.architecture import Architecture, architecture
from tombola.study.arm_spec import ArmSpec
from tombola.study.load import load_study, parse_study
from tombola.study.plan import make_plan
from tombola.study.spec import Study

OWN: dict[str, Any] = {"name": "my-arm", "mask": "rewire", "weights": "reinit-signs", "dead": "zero"}


def net(study: Study) -> Architecture:
    return architecture(study.model, (6,), 3)


@pytest.mark.parametrize(
    ("entry", "arm"),
    [
        ({"name": "rewire"}, Arm("rewire")),
        (OWN, Arm("rewire", "reinit-signs", "zero")),
        ({"name": "x.1_y", "dead": "freeze"}, Arm(dead="freeze")),
        ({"name": "mine", "weights": "noise-2"}, Arm(weights="noise-2")),
        ({"name": "reinit", "weights": "reinit"}, ARMS["reinit"]),  # spelled as it is registered
    ],
)
def test_what_an_entry_stands_for(entry: dict[str, Any], arm: Arm) -> None:
    assert ArmSpec(**entry).arm == arm


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "rewir"}, "unknown arm 'rewir'; did you mean 'rewire'"),
    (
        {"name": "mine", "mask": "rewir"},
        r"arms, entry 1, mask.*unknown mask action 'rewir'; did you mean 'rewire'",
    ),
    ({"name": "mine", "weights": "nois-1"}, r"arms, entry 1, weights.*unknown weights action .*'noise-1'"),
    ({"name": "mine", "dead": "freez"}, r"arms, entry 1, dead.*unknown dead-weights action .*'freeze'"),
    (
        {"name": "reinit", "mask": "rewire"},
        "arm 'reinit' is mask 'rewire', .* the registered arm of that name",
    ),
    ({"name": "ticket", "dead": "freeze"}, "registered arm of that name is mask 'keep'"),
    ({"name": "../mine", "mask": "rewire"}, r"arms, entry 1, name"),
    ({"name": "..", "mask": "rewire"}, r"arms, entry 1, name"),
    ({"name": "freeze", "draws": 2}, "arm 'freeze' draws nothing at random, so draws = 2"),
    ({"name": "constant-signs", "draws": 2}, "draws nothing at random"),
    ({"name": "mine", "mask": "partner", "draws": 3}, "arm 'mine' draws nothing at random, so draws = 3"),
]


@pytest.mark.parametrize(("entry", "words"), WRONG, ids=[str(entry) for entry, _ in WRONG])
def test_a_wrong_entry_is_one_sentence(entry: dict[str, Any], words: str) -> None:
    text = ", ".join(f"{key} = {value!r}" for key, value in entry.items())
    with pytest.raises(UserError, match=words):
        load_study("quick", [f"arms=[{{{text}}}]"])


@pytest.mark.parametrize("arm", sorted(ARMS))
def test_as_many_draws_as_make_sense(arm: str) -> None:
    """Two draws of an arm are two networks, or are refused."""
    if "random" in ARMS[arm].traits:
        assert ArmSpec(name=arm, draws=2).draws == 2
    else:
        with pytest.raises(ValueError, match=r"one draw|draws nothing at random"):
            ArmSpec(name=arm, draws=2)


def test_a_spelled_arm_survives_toml_and_does_not_enter_the_id() -> None:
    study = tiny(arms=[{**OWN, "draws": 2, "levels": [1]}, {"name": "reinit"}])
    assert parse_study(study.to_toml(), "study.toml") == study
    assert study.identity() == tiny().identity()
    assert "mask" not in tiny(arms=[{"name": "reinit"}]).to_toml()  # files of old are as they were


def test_an_extension_keeps_what_an_arm_is() -> None:
    old = tiny(arms=[{**OWN, "levels": [1]}, {"name": "reinit"}])
    new = tiny(arms=[{**OWN, "draws": 2, "levels": [2]}, {"name": "reinit", "weights": "reinit"}])
    wide = new.widened(old)
    assert {each.name: (each.arm, each.draws, each.levels) for each in wide.arms} == {
        "my-arm": (Arm("rewire", "reinit-signs"), 2, (1, 2)),
        "reinit": (ARMS["reinit"], 1, None),
    }
    with pytest.raises(UserError, match=r"arm 'my-arm' is .*'input-map'.* give it another name"):
        tiny(arms=[{**OWN, "mask": "input-map"}]).widened(old)


def test_a_run_refuses_another_arm_under_a_name_that_it_has(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[OWN]))
    before = times(run.path)
    with pytest.raises(UserError, match="arm 'my-arm' is"):
        run_tiny(tmp_path, tiny(levels=1, replicates=1, arms=[{**OWN, "weights": "reinit"}]))
    assert times(run.path) == before


def test_arms_that_are_spelled_and_arms_of_every_kind_are_run(tmp_path: Path) -> None:
    """A spelled arm trains what it says: the network of the registered arm with the same actions."""
    twin = {"name": "alike", "weights": "noise-1"}
    names = ["noise-1", "permute-units", "partner", "freeze", "zero-towards-all"]
    study = tiny(levels=2, arms=[OWN, twin, *({"name": name} for name in names)])
    run = run_tiny(tmp_path, study, engine="auto")
    assert {cell.arm for cell in run.cells()} == {"ticket", "my-arm", "alike", *names}
    assert {run.record(cell).status for cell in run.cells()} == {"ok"}
    for level in (1, 2):
        ticket, wired, mine, same = (
            Cell(0, level, name, 0) for name in ("ticket", "my-arm", "alike", "noise-1")
        )
        assert run.mask(Cell(0, level, "partner", 0)) == run.mask(Cell(1, level, "ticket", 0))
        assert run.mask(wired).counts() == run.mask(ticket).counts()
        assert run.mask(wired) != run.mask(ticket)
        assert all(torch.equal(run.weights(mine, "end")[n], x) for n, x in run.weights(same, "end").items())
        frozen = Cell(0, level, "freeze", 0)
        initial = run.start(Cell(0, 0, "ticket", 0))
        for name, living in run.mask(frozen).items():
            assert torch.equal(run.weights(frozen, "end")[name][~living], initial[name][~living])


def test_what_arms_need_is_asked_of_the_study_and_the_network() -> None:
    pairs = tiny(replicates=3, arms=[{"name": "partner"}])
    with pytest.raises(UserError, match=r"arm 'partner' takes the mask of the partner .*even, found 3"):
        make_plan(pairs, net(pairs))
    make_plan(pairs.model_copy(update={"replicates": 4}), net(pairs))
    vit = architecture("vit", (3, 8, 8), 3)
    for name in ("permute-units", "permute-mask"):
        with pytest.raises(UserError, match=f"arm '{name}' reorders hidden units: model 'vit'"):
            make_plan(tiny(arms=[{"name": name}]), vit)
    make_plan(tiny(arms=[{"name": "rewire"}]), vit)
    flat = architecture(lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), (6,), 3)
    with pytest.raises(UserError, match=r"reorders hidden units, and .* has none"):
        make_plan(tiny(arms=[{"name": "permute-mask"}]), flat)


@pytest.mark.parametrize("name", sorted(ARMS))
def test_only_arms_that_draw_new_weights_need_an_initialiser(name: str) -> None:
    bare = architecture(nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 3)), (6,), 3)
    study = tiny(replicates=2, data={"split": "study"}, arms=[{"name": name}])
    if "donor" in ARMS[name].traits:
        with pytest.raises(
            UserError, match=r"takes from donors, which start .* Sequential has no initialiser|aligns tensor"
        ):
            make_plan(study, bare)
    elif name in ("reinit", "reinit-signs", "fresh"):
        with pytest.raises(UserError, match=f"arm '{name}' draws new weights, and Sequential has no init"):
            make_plan(study, bare)
    else:
        make_plan(study, bare)


def test_a_plan_knows_the_ticket_and_the_studys_arms_and_whether_dead_weights_are_frozen() -> None:
    study = tiny(arms=[OWN, {"name": "reinit"}])
    plan = make_plan(study, net(study))
    assert plan.lottery.treatments == {
        "ticket": Arm(), "my-arm": Arm("rewire", "reinit-signs"), "reinit": Arm(weights="reinit"),
    }  # fmt: skip
    assert not plan.pinned
    assert make_plan(tiny(arms=[{"name": "mine", "dead": "zero-towards"}]), net(study)).pinned


@pytest.mark.parametrize("arms", [["noise-1", "constant"], ["freeze", "zero-towards-all"]])
def test_disk_space_counts_starts_of_their_own_and_frozen_weights(arms: list[str], tmp_path: Path) -> None:
    study = tiny(
        levels=3,
        model={"name": "lenet-300-100"},
        recipe={"iterations": 6, "evaluate_every": 2, "curve_every": 2},
        pruning={"rate": 0.7, "rates": {"output": 0.3}},
        arms=[{"name": name} for name in arms],
    )
    folder = run_tiny(tmp_path, study, engine="auto").path
    real = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    promised = make_plan(study, net(study)).bytes_on_disk()
    assert real / 1.1 < promised < real * 1.1


NOT_ITS_START = (
    "noise-1",
    "permute-units",
    "freeze",
    "dose-50",
    "reshuffle",
    "constant-signs",
    "zero-towards",
    "shared-rewired",
)


@pytest.mark.parametrize("name", NOT_ITS_START)
def test_what_changes_rewound_weights_is_refused_where_the_ticket_keeps_trained_ones(name: str) -> None:
    """The ticket starts from other weights, so that the arm would be no control for it."""
    shared = {"data": {"split": "study"}}
    tiny(arms=[{"name": name}], **shared)
    with pytest.raises(ValueError, match=f"arm '{name}' is .*expected weights = 'trained'"):
        tiny(arms=[{"name": name}], pruning={"after": "learning-rate"}, **shared)


def test_arms_with_weights_that_are_not_the_tickets_go_with_trained_ones() -> None:
    frozen = {"name": "frozen", "weights": "trained", "dead": "freeze"}
    half = {"name": "half", "mask": "dose-50", "weights": "trained"}
    names = [{"name": name} for name in ("random-mask", "reinit", "constant", "continued")]
    assert tiny(arms=[frozen, half, *names], pruning={"after": "learning-rate"}).arms


@pytest.mark.parametrize(
    "mode",
    ["at-init", "rigl", "set", "gradual", "edge-popup", "supermask", "early-bird", "short-rounds"],
)
def test_nothing_trains_on_where_no_training_ended_with_what_was_pruned(mode: str) -> None:
    for arm in ({"name": "continued"}, {"name": "on", "mask": "shuffle", "weights": "trained"}):
        with pytest.raises(ValueError, match=f"arm '{arm['name']}' trains on .*in mode = '{mode}'"):
            tiny(arms=[arm], pruning={"mode": mode}, recipe={"iterations": 200})
    whole = tiny(arms=[{"name": "zero-towards-all"}], pruning={"mode": mode}, recipe={"iterations": 200})
    assert whole.arms  # where the dense training moved weights


@pytest.mark.parametrize("mode", ["iterative", "continued", "one-shot"])
def test_elsewhere_it_does(mode: str) -> None:
    assert tiny(arms=[{"name": "continued"}], pruning={"mode": mode}).arms
