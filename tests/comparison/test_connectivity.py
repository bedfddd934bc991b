"""Paths between two networks: interpolation, batch norm taken anew, barriers, distances and angles, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tombola.comparison.connectivity import (
    NORM_BATCH,
    PATH,
    angle,
    angular,
    barrier,
    distance,
    interpolated,
    norm_batches,
    path,
    recalibrated,
    steps,
)
from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.models.state import load_state, state_of

CPU = torch.device("cpu")


class Normed(nn.Module):
    """Linear, batch norm, dropout (which must be off), linear."""

    def __init__(self, shape: tuple[int, ...] = (4,), classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.norm = nn.BatchNorm1d(5, momentum=0.3)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.drop(functional.relu(self.norm(self.first(x)))))


def data(n: int = 60) -> Resident:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n + 30, 4)), rng.integers(0, 3, n + 30)
    return Resident(from_arrays((x[:n], y[:n]), (x[n:], y[n:])), "standard", CPU)


def drawn(model: Any, seed: int) -> tuple[Any, dict[str, torch.Tensor]]:
    net = architecture(model, (4,), 3)
    return net, net.initial(np.random.default_rng(seed))


def test_the_line_between_two_states() -> None:
    a = {"w": torch.tensor([0.0, 4.0]), "count": torch.tensor(3)}
    b = {"w": torch.tensor([2.0, 0.1]), "count": torch.tensor(9)}
    quarter = interpolated(a, b, 0.25)
    assert torch.allclose(quarter["w"], torch.tensor([0.5, 3.025]))
    assert quarter["count"] == 3
    assert torch.equal(interpolated(a, b, 0.0)["w"], a["w"])
    assert torch.equal(interpolated(a, b, 1.0)["w"], b["w"])
    quarter["count"] += 1
    assert a["count"] == 3
    assert steps(5) == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(ValueError, match="two ends"):
        steps(1)


def test_the_barrier_of_a_hill_and_of_a_valley() -> None:
    places = steps(31)
    hill = [1 + 4 * t * (1 - t) for t in places]  # 1 at both ends, 2 in the middle
    assert barrier(hill, places) == pytest.approx(1)
    valley = [(t - 0.5) ** 2 for t in places]
    assert barrier(valley, places) == pytest.approx(0)  # convex and of equal ends: nothing rises above them
    slope = [t**2 for t in places]
    assert barrier(slope, places) == pytest.approx(0.5)  # the larger end, 1, minus the mean of 0 and 1
    assert math.isnan(barrier([0.0, math.nan, 0.0], [0, 0.5, 1]))
    with pytest.raises(ValueError, match="alpha = 0"):
        barrier([1.0, 2.0], [0.0, 0.9])


def test_distances_and_angles_by_hand() -> None:
    a = {"w": torch.tensor([3.0, 0.0, 1.0]), "v": torch.tensor([[0.0]])}
    b = {"w": torch.tensor([0.0, 4.0, 1.0]), "v": torch.tensor([[12.0]])}
    assert distance(a, b) == pytest.approx(13)  # 3, 4, 12
    first = Mask({"w": torch.tensor([True, True, False]), "v": torch.tensor([[False]])})
    assert distance(a, b, first) == pytest.approx(5)
    assert angle(a, b, first) == pytest.approx(90)
    assert angular(angle(a, b, first)) == pytest.approx(1)
    whole = Mask.dense({"w": (3,), "v": (1, 1)})
    cosine = 1 / math.sqrt(10 * (16 + 1 + 144))
    assert angle(a, b, whole) == pytest.approx(math.degrees(math.acos(cosine)))
    assert angle(a, a, whole) == 0
    assert angle(a, {name: -value for name, value in a.items()}) == pytest.approx(180)
    assert math.isnan(
        angle(a, b, Mask({"w": torch.tensor([False, True, False]), "v": torch.tensor([[False]])}))
    )


def test_a_tiny_angle_keeps_its_digits() -> None:
    a, b = {"w": torch.tensor([1.0, 0.0]).double()}, {"w": torch.tensor([1.0, 1e-9]).double()}
    assert angle(a, b) == pytest.approx(math.degrees(1e-9), rel=1e-6)


def test_batch_norm_is_the_mean_over_batches() -> None:
    net, state = drawn(Normed, 0)
    state["norm.running_mean"] += 7
    state["norm.running_var"] *= torch.nan
    state["norm.num_batches_tracked"] += 11
    before = {name: value.clone() for name, value in state.items()}
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(3))
    fresh = recalibrated(net, state, x.split(10))
    inner = x @ state["first.weight"].T + state["first.bias"]
    parts = inner.numpy().astype(np.float64).reshape(3, 10, 5)
    assert np.allclose(fresh["norm.running_mean"], parts.mean(1).mean(0), atol=1e-6)
    assert np.allclose(fresh["norm.running_var"], parts.var(1, ddof=1).mean(0), rtol=1e-5)
    assert fresh["norm.num_batches_tracked"] == 11
    for name in before:
        assert torch.equal(state[name], before[name]) or before[name].isnan().all()
        if "running" not in name:
            assert torch.equal(fresh[name], before[name])


def test_batches_are_of_one_size() -> None:
    assert [len(part) for part in norm_batches(torch.arange(2 * NORM_BATCH + 1))] == [NORM_BATCH, NORM_BATCH]
    assert [len(part) for part in norm_batches(torch.arange(7))] == [7]


def test_a_path_is_what_the_networks_on_it_say() -> None:
    net, a = drawn(Normed, 0)
    _, b = drawn(Normed, 1)
    kept = [{name: value.clone() for name, value in state.items()} for state in (a, b)]
    resident, rows = data(), torch.tensor([5, 3, 50, 2, 9, 11, 40, 33])
    found = path(net, a, b, resident, rows, steps(3))
    assert dict(found.schema) == PATH
    for alpha in steps(3):
        module = Normed()
        mixed = {
            name: (1 - alpha) * a[name] + alpha * b[name] if a[name].is_floating_point() else a[name]
            for name in a
        }
        load_state(module, mixed)
        inner = module.first(resident.train(rows))
        module.norm.running_mean = inner.mean(0).detach()
        module.norm.running_var = inner.var(0).detach()
        module.eval()
        for split, x, y in (
            ("train", resident.train(rows), resident.train_y[rows]),
            ("test", resident.test(0, 30), resident.test_y),
        ):
            with torch.no_grad():
                logits = module(x)
            row = found.filter(split=split, alpha=alpha).row(0, named=True)
            assert row["loss"] == pytest.approx(float(functional.cross_entropy(logits, y)), rel=1e-5)
            assert row["error"] == pytest.approx(float((logits.argmax(1) != y).float().mean()), abs=1e-6)
    for before, after in zip(kept, (a, b), strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_network_and_itself() -> None:
    net, a = drawn("lenet-5-4", 0)
    found = path(net, a, a, data(), torch.arange(40), steps(4)).filter(split="test")
    assert barrier(found["loss"].to_list(), found["alpha"].to_list()) == pytest.approx(0, abs=1e-12)
    assert barrier(found["error"].to_list(), found["alpha"].to_list()) == 0
    assert distance(a, a) == 0


def test_units_in_another_order_are_the_same_network_and_a_barrier() -> None:
    """Of two networks that say the same, one with its hidden units in another order: equal ends, far apart."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False))
    net = architecture(module, (4,), 3)
    a = state_of(module)
    a["1.weight"] = 5 * torch.eye(4)
    a["3.weight"] = 5 * torch.eye(4)[:3]
    order = [1, 2, 3, 0]
    b = {"1.weight": a["1.weight"][order], "3.weight": a["3.weight"][:, order]}
    resident = data()
    found = path(net, a, b, resident, torch.arange(10), steps(5)).filter(split="test")
    losses = found["loss"].to_list()
    assert losses[0] == pytest.approx(losses[-1], rel=1e-5)
    assert distance(a, b) == pytest.approx(5 * math.sqrt(8 + 6))
