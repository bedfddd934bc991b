"""The floors are arithmetic on what was measured, and a timed stack really trains."""

from __future__ import annotations

import pytest
import torch

from tombola.bench import (
    Floors,
    Timed,
    conv2,
    lenet,
    measure_floors,
    random_mask,
    sizes_of,
    times,
    uses_of,
    workload_of,
)
from tombola.study.load import load_study
from tombola.training.engines.base import ENGINES
from tombola.training.engines.steps import Trainer


def test_products_by_hand() -> None:
    assert uses_of(conv2().net) == {
        "conv1.weight": 32 * 32,
        "conv2.weight": 32 * 32,
        "fc1.weight": 1,
        "fc2.weight": 1,
        "out.weight": 1,
    }
    case = lenet()
    # Three products a weight and example, two in the first layer, which passes no gradient down.
    assert case.multiplications(0.5) == 60 * 0.5 * (2 * 784 * 300 + 3 * 300 * 100 + 3 * 100 * 10)


def test_floor_by_hand() -> None:
    case = lenet()
    arithmetic = Floors(flops={"float32": 1e6}, bandwidth=1e15)
    assert arithmetic.microseconds(case, 0.5) == pytest.approx(2 * case.multiplications(0.5))
    memory = Floors(flops={"float32": 1e18}, bandwidth=1e6)
    assert memory.microseconds(case, 0.5) == pytest.approx(7 * 4 * 133_100)


def test_floors_are_measured() -> None:
    floors = measure_floors(0.05)
    assert min(floors.flops.values()) > 1e8
    assert floors.bandwidth > 1e8


@pytest.mark.parametrize(
    "engine", [name for name in ENGINES if ENGINES[name].holds(lenet().net, torch.device("cpu"))]
)
def test_a_timed_stack_takes_the_steps(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = lenet()
    steps: list[tuple[int, int]] = []

    class Counting(Trainer):
        def advance(self, start: int, stop: int) -> None:
            steps.append((start, stop))

        def tensors(self) -> dict[str, torch.Tensor]:
            return {}

        def restore(self, tensors: dict[str, torch.Tensor]) -> None: ...

    monkeypatch.setattr(ENGINES[engine], "trainer", lambda *_: Counting())
    timed = Timed(engine, case, 0.1)
    assert timed.seconds(5) > 0
    assert steps == [(0, 3), (3, 8)]
    assert case.networks > 1
    assert sizes_of(case.net)["out.weight"] == 1000
    assert random_mask(case.net, 0.1, 0).density() == pytest.approx(0.1, abs=0.01)


def test_the_networks_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_study("quick", ["model.name=lenet-20", "levels=3", "recipe.batch=10"])
    case, ladder = workload_of(study)
    assert (case.net.input_shape, case.recipe.batch, case.arms) == ((1, 8, 8), 10, 1)
    # Half of 1,280 weights a level, 30% of the 200 of the output: 1,480; 320 + 98 = 418; 160 + 69 = 229.
    assert list(ladder) == pytest.approx([1.0, 418 / 1480, 229 / 1480], abs=0.001)
    assert ladder[list(ladder)[1]] == pytest.approx({"fc1.weight": 0.25, "out.weight": 0.49}, abs=0.005)
    # Two products a weight and example in the first layer, three in the last.
    assert case.multiplications(ladder[1.0]) == 10 * (2 * 1280 + 3 * 200)

    monkeypatch.setattr(Timed, "best", lambda self: 1e-3)
    rows = list(times(case, ladder, Floors(flops={"float32": 1e6}, bandwidth=1e15)))
    assert {row["engine"] for row in rows} == {"sparse", "mlp", "stacked", "modules"}
    assert [row["this_us"] for row in rows] == [1000.0] * 12
    assert rows[0]["floor_us"] == pytest.approx(2 * 31600)
    assert rows[0]["products"] == 1.0
    assert rows[-1]["products"] == pytest.approx((2 * 160 + 3 * 69) / 3160, abs=0.001)


def test_a_stack_is_timed_by_its_best_run(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Timed.__new__(Timed)
    timed.case = lenet()
    seen: list[int] = []

    def seconds(steps: int) -> float:
        seen.append(steps)
        return 1e-3 if len(seen) > 1 else 2e-3

    monkeypatch.setattr(timed, "seconds", seconds)
    assert timed.best(1.0) == 1e-3
    assert seen == [1] + [10] * 5, "a fifth of a second each, at 20 ms a step of the stack"
    monkeypatch.setattr(timed, "seconds", lambda steps: 3.0)
    assert timed.best(1.0) == 3.0, "a single step takes longer"
