"""The floors are arithmetic on what was measured, and a timed stack really trains."""

from __future__ import annotations

import pytest
import torch

from tombola.bench import Floors, Timed, conv2, lenet, measure_floors, random_mask, sizes_of, uses_of
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
