"""The floors are arithmetic on what was measured, and a timed stack really trains."""

from __future__ import annotations

import pytest
import torch

from tombola.bench import NETWORKS, Floors, Timed, lenet, measure_floors, random_mask, sizes_of
from tombola.training import ENGINES, Trainer


def test_floor_by_hand() -> None:
    # 10 weights in the first layer and 4 after it, half alive, batch 8: 5 * 2 + 2 * 3 = 16 products an example.
    sizes = {"a": 10, "b": 4}
    arithmetic = Floors(flops=1e6, bandwidth=1e12)
    assert arithmetic.microseconds(sizes, "a", 0.5, 8) == pytest.approx(2 * 8 * 16)
    memory = Floors(flops=1e15, bandwidth=1e6)
    assert memory.microseconds(sizes, "a", 0.5, 8) == pytest.approx(7 * 7 * 4)


def test_floors_are_measured() -> None:
    floors = measure_floors(0.05)
    assert floors.flops > 1e8
    assert floors.bandwidth > 1e8


@pytest.mark.parametrize("engine", ENGINES)
def test_a_timed_stack_takes_the_steps(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, data, recipe = lenet()
    steps: list[tuple[int, int]] = []

    class Counting(Trainer):
        def advance(self, start: int, stop: int) -> None:
            steps.append((start, stop))

        def tensors(self) -> dict[str, torch.Tensor]:
            return {}

        def restore(self, tensors: dict[str, torch.Tensor]) -> None: ...

    monkeypatch.setattr(ENGINES[engine], "trainer", lambda *_: Counting())
    timed = Timed(engine, net, data, 0.1, recipe)
    assert timed.seconds(5) > 0
    assert steps == [(0, 3), (3, 8)]
    assert NETWORKS > 1
    assert sizes_of(net)["out.weight"] == 1000
    assert random_mask(net, 0.1, 0).density() == pytest.approx(0.1, abs=0.01)
