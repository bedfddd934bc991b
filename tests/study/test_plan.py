"""Plans: the cells in order, the exact ladder, what is refused, and what it will cost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from support.study_kit import run_tiny, tiny, toy_data
from tombola.errors import Notice, UserError
from tombola.models.architecture import architecture
from tombola.models.scope import Scope
from tombola.runs.estimate import estimate_time
from tombola.study.plan import Plan, make_plan
from tombola.study.spec import Study


def plan_of(study: Study) -> Plan:
    return make_plan(study, architecture(study.model, (6,), 3))


def test_cells_come_level_by_level_the_ticket_first() -> None:
    study = tiny(arms=[{"name": "reinit", "draws": 2}, {"name": "random-mask", "levels": [2]}])
    assert [str(cell) for cell in plan_of(study).cells()] == [
        "r0/L00/ticket/0",
        "r1/L00/ticket/0",
        "r0/L01/ticket/0",
        "r0/L01/reinit/0",
        "r0/L01/reinit/1",
        "r1/L01/ticket/0",
        "r1/L01/reinit/0",
        "r1/L01/reinit/1",
        "r0/L02/ticket/0",
        "r0/L02/reinit/0",
        "r0/L02/reinit/1",
        "r0/L02/random-mask/0",
        "r1/L02/ticket/0",
        "r1/L02/reinit/0",
        "r1/L02/reinit/1",
        "r1/L02/random-mask/0",
    ]
    assert study.cells() == plan_of(study).cells()


def test_a_listed_ticket_is_not_trained_twice() -> None:
    listed = tiny(arms=[{"name": "ticket"}, {"name": "reinit"}])
    assert listed.cells() == tiny(arms=[{"name": "reinit"}]).cells()


def test_densities_by_hand() -> None:
    # lenet-8-6 on 6 inputs and 3 classes: 48, 48 and 18 weights. Rate 0.3 removes floor(0.3 n + 1/2) of each:
    # 48 -> 48 - 14 = 34 -> 34 - 10 = 24, and 18 -> 18 - 5 = 13 -> 13 - 4 = 9.
    plan = plan_of(tiny())
    assert plan.densities == [1.0, (34 + 34 + 13) / 114, (24 + 24 + 9) / 114]


def test_one_shot_goes_down_the_same_ladder() -> None:
    assert plan_of(tiny(pruning={"mode": "one-shot"})).densities == plan_of(tiny()).densities


def test_a_rate_of_zero_keeps_a_layer_and_counts_it() -> None:
    # The last layer's 18 weights stay: 48 -> 34 twice.
    assert plan_of(tiny(levels=1, pruning={"rates": {"output": 0.0}})).densities == [
        1.0,
        (34 + 34 + 18) / 114,
    ]


def test_global_allocation_has_one_pool() -> None:
    # 114 - floor(34.2 + 1/2) = 80.
    assert plan_of(tiny(levels=1, pruning={"allocation": "global"})).densities == [1.0, 80 / 114]


def test_a_ladder_that_empties_a_layer_is_refused_with_its_level() -> None:
    # 18 weights at rate 0.9: 18 -> 2 -> 0 (floor(1.8 + 1/2) = 2 of 2).
    assert len(plan_of(tiny(levels=1, pruning={"rates": {"output": 0.9}})).densities) == 2
    with pytest.raises(UserError, match=r"level 2 .*last weights"):
        plan_of(tiny(levels=2, pruning={"rates": {"output": 0.9}}))


def test_a_rate_for_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="no 'conv' layer"):
        plan_of(tiny(pruning={"rates": {"conv": 0.1}}))


@pytest.mark.parametrize("rewind", [20, 21])
def test_rewinding_past_the_end_is_refused(rewind: int) -> None:
    with pytest.raises(ValueError, match=f"rewind is iteration {rewind}.* less than the recipe's 20"):
        tiny(pruning={"rewind": rewind})
    assert tiny(pruning={"rewind": 19}).pruning.rewind == 19


def test_iterations_leave_out_what_rewinding_saves() -> None:
    plan = plan_of(tiny(pruning={"rewind": 5}))
    dense, ticket = plan.cells()[0], plan.cells()[2]
    assert (plan.network_iterations(dense), plan.network_iterations(ticket)) == (20, 15)


def instance() -> nn.Module:
    torch.nn.init.ones_((layer := nn.Linear(6, 3)).weight)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(3, 3))


def test_an_arm_that_draws_new_weights_needs_something_to_draw_from() -> None:
    net = architecture(instance(), (6,), 3)
    with pytest.raises(UserError, match=r"arm 'reinit' .*Sequential has no initialiser"):
        make_plan(tiny(replicates=1), net)
    make_plan(tiny(replicates=1, arms=[{"name": "random-mask"}]), net)


@pytest.mark.parametrize("engine", ["sparse", "mlp", "modules"])
def test_the_estimate_is_a_positive_time(engine: str) -> None:
    short = plan_of(tiny())
    seconds = estimate_time(short, toy_data(), torch.device("cpu"), engine).seconds
    assert 0 < seconds < 60


def test_the_estimate_works_wherever_the_study_does() -> None:
    # 90 examples, 30 of them for validation: batches of 60 just fit.
    full = tiny(recipe={"batch": 60}, replicates=1, levels=0)
    assert 0 < estimate_time(plan_of(full), toy_data(), torch.device("cpu"), "auto").seconds < 60


def test_the_estimate_grows_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that counts optimizer steps as seconds: the estimate is then exact arithmetic.
    from tombola.runs import estimate

    clock = [0.0]
    real: Callable[..., Any] = estimate.train_stack

    def train_stack(*args: Any, **options: Any) -> Any:
        clock[0] += args[3].iterations
        return real(*args, **options)

    monkeypatch.setattr(estimate, "train_stack", train_stack)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    # One replicate, the ticket alone: 3 networks of 20 iterations, one after the other.
    alone = plan_of(tiny(replicates=1, arms=[]))
    assert estimate_time(alone, toy_data(), torch.device("cpu"), "mlp").seconds == pytest.approx(60)
    # Stacks of (3 arms x 2 replicates): level 0 has 2 networks, a third of a stack's cost; the others 6.
    whole = plan_of(tiny())
    assert estimate_time(whole, toy_data(), torch.device("cpu"), "mlp").seconds == pytest.approx(
        20 * (2 + 6 + 6) / 6
    )


def test_the_estimate_is_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second a step in the first probe, two in the second, four in the third; scoring and warming up cost nothing.
    from tombola.runs import estimate

    clock, calls = [0.0], [0]
    real: Callable[..., Any] = estimate.train_stack

    def train_stack(*args: Any, **options: Any) -> Any:
        steps = args[3].iterations
        clock[0] += 2 if steps == 2 else 2 + (steps - 2) * 2 ** ((calls[0] - 1) // 3)
        calls[0] += 1
        return real(*args, **options)

    monkeypatch.setattr(estimate, "train_stack", train_stack)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    found = estimate_time(plan_of(tiny(replicates=1, arms=[])), toy_data(), torch.device("cpu"), "mlp")
    assert (found.low, found.seconds, found.high) == pytest.approx((60, 120, 240))
    assert calls[0] == 1 + 3 * 3


@pytest.mark.parametrize("keep", ["all", "living", "masks"])
@pytest.mark.parametrize("rewind", [0, 5])
def test_bytes_on_disk_are_about_right(keep: str, rewind: int, tmp_path: Path) -> None:
    study = tiny(
        replicates=2,
        levels=3,
        model={"name": "lenet-300-100"},
        recipe={"iterations": 6, "evaluate_every": 2, "curve_every": 2},
        store={"keep": keep},
        pruning={"rewind": rewind and 3},
    )
    folder = run_tiny(tmp_path, study).path
    real = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    promised = make_plan(study, architecture(study.model, (6,), 3)).bytes_on_disk()
    assert real / 2 < promised < real * 2


def half_frozen() -> nn.Module:
    """A fixed layer of 48 weights below 24 that are trained."""
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    module[0].requires_grad_(False)
    return module


FROZEN: list[tuple[dict[str, Any], str]] = [
    (
        {},
        r"'0.weight' is frozen \(requires_grad = False\): never trained, and pruned all the same, by 'large-final'",
    ),
    ({"mode": "gradual"}, "pruned all the same, by 'large-final'"),
    ({"mode": "rigl", "search": {"every": 2}}, "pruned all the same, by a mask that stays as it is drawn"),
    ({"mode": "supermask"}, "pruned all the same, by a mask that stays as it is drawn"),
]


@pytest.mark.parametrize(("pruning", "sentence"), FROZEN)
def test_a_plan_says_that_a_frozen_layer_is_pruned(pruning: dict[str, Any], sentence: str) -> None:
    net = architecture(half_frozen, (6,), 3)
    [said] = make_plan(tiny(pruning=pruning, arms=[]), net).notices
    assert re.search(sentence, said)
    assert said.endswith('a rate of 0 keeps it whole ([pruning.rates] "0.weight" = 0)')
    whole = tiny(pruning={**pruning, "rates": {"0.weight": 0}}, arms=[])
    assert make_plan(whole, net).notices == []


def test_the_notice_is_given_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.warns(Notice, match="'0.weight' is frozen"):
        run = run_tiny(tmp_path, tiny(replicates=1, levels=1, arms=[]), model=half_frozen)
    assert run.environment["network"]["shapes"]["0.bias"] == [8]


class MostlyNorm(nn.Module):
    """12 weights of 12 + 3 + 60 + 7 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(6, 10))
        self.gain = nn.Parameter(torch.ones(7))
        self.out = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(x[:, :4]) + self.table.sum() * self.gain.sum()
        return out


def test_a_plan_says_how_much_is_prunable_and_warns_below_half() -> None:
    net = architecture(MostlyNorm, (6,), 3)
    assert str(net.scope) == "12 of 82 parameters are prunable"
    assert net.scope.largest_others() == "table (60), gain (7) and out.bias (3)"
    assert make_plan(tiny(arms=[]), net).notices == [
        "only 12 of 82 parameters are prunable, so that densities speak of a small part of this network; the largest "
        'that are not are table (60), gain (7) and out.bias (3); [model] prune = ["table"] would opt the largest '
        "matrices in"
    ]


@pytest.mark.parametrize("name", ["lenet-300-100", "conv-2", "resnet-20", "vgg-11", "vit-4-1-64"])
def test_no_network_of_ours_is_warned_of(name: str) -> None:
    assert architecture(name, (3, 32, 32), 10).scope.warning() is None


def test_half_is_not_below_half() -> None:
    shapes = {"a": (2, 3), "b": (6,)}
    assert not Scope(shapes, ["a"]).is_small
    assert Scope({**shapes, "c": (1,)}, ["a"]).is_small
    assert Scope({"a": (2, 3)}, ["a"]).largest_others() == ""
    many = Scope({f"p{i}": (i + 1,) for i in range(6)}, ["p0"])
    assert many.largest_others() == "p5 (6), p4 (5), p3 (4) and 2 smaller ones"
