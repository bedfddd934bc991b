"""The sparse engine gives what the others give, from living weights alone, and each network by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from support.rounding import assert_within_reach, distance
from support.training_parts import (
    CLASSES,
    CPU,
    Odd,
    arrays,
    kind,
    recipe,
    resident,
    same,
    sparse,
    start,
)
from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.errors import UserError
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines.base import ENGINES, Demand, Job
from tombola.training.engines.compiled import sparse_kernels
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start
from tombola.training.trained import Trained

OPTIMIZERS = {
    "adam": {"lr": 0.01},
    "adam with decay": {"lr": 0.01, "weight_decay": 0.01},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "momentum": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True},
    "warmup and cosine": {"lr": 0.01, "schedule": "cosine", "warmup": 30},
}


FEATURES = 83
"""Inputs of the wide network: its first two layers are large enough to be stored whole, and no multiple of a tile."""


def wide() -> Architecture:
    return architecture("lenet-70-9", (FEATURES,), CLASSES)


def starts(density: float = 0.4, count: int = 3, arch: Architecture | None = None) -> list[Start]:
    arch = arch or kind("mlp")[0]
    return [start(arch, r // 2, sparse(arch, r, density)) for r in range(count)]


def trained(
    engine: str,
    begun: list[Start],
    rule: Recipe,
    data: Resident | None = None,
    arch: Architecture | None = None,
) -> list[Trained]:
    small, plain, _ = kind("mlp")
    return train_stack(arch or small, begun, data or plain, rule, 0.1, engine=engine)


def assert_as_mlp(
    begun: list[Start], rule: Recipe, data: Resident | None = None, arch: Architecture | None = None
) -> list[Trained]:
    """Trains by this engine and by batched products, which must agree to rounding; gives what this one gives."""

    def train(begun: Sequence[Start], engine: str = "mlp") -> list[Trained]:
        return trained(engine, list(begun), rule, data, arch)

    ours = train(begun, "sparse")
    assert_within_reach(ours, train(begun), train, begun)
    return ours


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("density", [0.05, 0.4, 1.0])
def test_the_networks_of_the_mlp_engine_to_rounding(options: dict[str, object], density: float) -> None:
    assert_as_mlp(starts(density), recipe(iterations=20, evaluate_every=10, **options))


@pytest.mark.parametrize("batch", [1, 7, 63, 64, 65, 130])
def test_any_batch(batch: int) -> None:
    """Rows hold 64 examples: fewer leave lanes empty, more take several passes."""
    data = resident(arrays(n=200))
    rule = recipe(batch=batch, iterations=10, evaluate_every=5)
    assert_as_mlp(starts(), rule, data)


KINDS = {0.1: sparse_kernels.SPARSE, 0.6: sparse_kernels.MASKED, 1.0: sparse_kernels.DENSE}


@pytest.mark.parametrize("batch", [8, 130])
@pytest.mark.parametrize("below", KINDS)
@pytest.mark.parametrize("above", KINDS)
def test_layers_stored_in_any_way_on_top_of_each_other(below: float, above: float, batch: int) -> None:
    """Each way of storing a layer has loops of its own for all three products; the next layer may be of another."""
    arch = wide()
    data = resident(arrays((FEATURES,), n=200))
    rule = recipe(batch=batch, iterations=20, evaluate_every=10, lr=0.003, weight_decay=0.01)
    masks = [sparse(arch, seed, 0.5) for seed in range(2)]
    for seed, density in ((0, below), (1, above)):
        masks[seed] = sparse(arch, seed, density)
    mask = Mask({name: masks[0 if name == "fc1.weight" else 1][name] for name in arch.prunable})
    begun = [start(arch, 0, mask), start(arch, 1)]
    stack = Stack(arch, begun, CPU)
    stored = ENGINES["sparse"](Job(arch, stack, [0, 1], [0, 0])).nets[0].arrays.layers[:, sparse_kernels.KIND]  # type: ignore[attr-defined]
    assert stored.tolist() == [KINDS[below], KINDS[above], sparse_kernels.SPARSE], (
        "what is tested is what was meant"
    )
    assert_as_mlp(begun, rule, data, arch)


def test_label_smoothing() -> None:
    ours = assert_as_mlp(starts(), recipe(label_smoothing=0.2))
    for smoothed, plain in zip(ours, trained("sparse", starts(), recipe()), strict=True):
        assert distance(smoothed.end, plain.end) > 1e-3


def test_units_that_feed_nothing_are_decayed_all_the_same() -> None:
    arch, _, _ = kind("mlp")
    bits = {name: torch.ones(arch.shapes[name], dtype=torch.bool) for name in arch.prunable}
    bits["fc2.weight"][:, 3] = False  # unit 3 of the first layer leads nowhere
    bits["out.weight"][:, 1] = False  # nor does unit 1 of the second,
    bits["fc2.weight"][:, 4] = False  # and unit 4 of the first feeds that one alone
    bits["fc2.weight"][1, 4] = True
    begun = [start(arch, 0, Mask(bits))]
    rule = recipe(optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=0.1)
    [ours] = assert_as_mlp(begun, rule)
    before = begun[0].state["fc1.weight"]
    shrunk = ours.end["fc1.weight"][[3, 4]] / before[[3, 4]]
    torch.testing.assert_close(shrunk, shrunk[:1, :1].expand(2, 6))
    assert 0 < shrunk[0, 0] < 1, "decayed, and by nothing else"


def test_exponential() -> None:
    x = np.concatenate([-np.logspace(-6, 1.94, 4000), [0.0, -87.3, -88.0, -1e4, -np.inf, np.nan]])
    x = x.astype(np.float32)
    found, expected = x.copy(), np.exp(x.astype(np.float64))
    sparse_kernels.exponential(found)
    large = expected > 2e-38
    np.testing.assert_allclose(found[large], expected[large], rtol=2.4e-7)
    assert (found[x < -87.4] == 0).all()
    assert np.isnan(found[-1])


@pytest.mark.parametrize("shape", [(64, 784), (64, 16), (64, 37), (64, 5), (20, 130), (3, 64)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_turn(shape: tuple[int, int], dtype: type) -> None:
    x = np.arange(7 + shape[0] * shape[1]).astype(dtype)
    out = np.zeros(3 + shape[0] * shape[1], dtype)
    sparse_kernels.turn(x, 7, *shape, out, 3)
    assert (out[3:].reshape(shape[::-1]) == x[7:].reshape(shape).T).all()
    assert (out[:3] == 0).all()


def test_uint8_images_and_dead_pixels() -> None:
    rng = np.random.default_rng(0)

    def part(n: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.integers(0, 256, (n, 3, 4), dtype=np.uint8), np.arange(n) % CLASSES

    data = resident(from_arrays(part(80), part(30)))
    arch = architecture("lenet-7-5", (1, 3, 4), CLASSES)
    mask = sparse(arch, 0, 0.3)
    bits = {name: mask[name] for name in mask}
    bits["fc1.weight"][:, [0, 5, 11]] = False  # pixels nobody looks at
    bits["fc1.weight"][2] = False  # a unit that is only its bias
    bits["fc2.weight"][:, 3] = False  # a unit that feeds nothing
    bits["fc2.weight"][0, 2] = bits["out.weight"][:, 0] = True
    state = start(arch).state
    state["fc1.bias"] += 0.1  # above 0, where a ReLU lets gradients through
    state["fc2.bias"] += 0.1
    begun = [start(arch, 0, Mask(bits), state=state)]
    [ours] = assert_as_mlp(begun, recipe(), data, arch)
    assert ours.end["fc1.bias"][2] != state["fc1.bias"][2], "the bias of a unit without living inputs trains"


def test_layers_without_bias() -> None:
    def factory() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, CLASSES))

    arch = architecture(factory, (6,), CLASSES)
    begun = [start(arch, 0, sparse(arch))]
    assert_as_mlp(begun, recipe(weight_decay=0.1), resident(), arch)


def test_bits_depend_on_neither_stack_nor_threads() -> None:
    begun, rule = starts(count=5), recipe(iterations=40)
    together = trained("sparse", begun, rule)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [trained("sparse", [one], rule)[0] for one in begun]
    finally:
        torch.set_num_threads(before)
    for a, b in zip(together, alone, strict=True):
        assert same(a.end, b.end)
        assert same(a.best, b.best)
        assert a.history == b.history


def test_a_diverged_network_shows() -> None:
    """Not-a-number passes through every kernel: ReLU, softmax, both optimizers."""
    for rule in (recipe(), recipe(optimizer="sgd")):
        arch, _, _ = kind("mlp")
        state = start(arch).state
        state["fc1.weight"][0, 0] = torch.nan
        fine, broken = trained("sparse", [start(arch), start(arch, state=state)], rule)
        assert broken.diverged
        assert broken.early_stop_iteration is None
        assert not fine.diverged


def test_resumed_is_undisturbed(tmp_path: Path) -> None:
    arch, data, _ = kind("mlp")
    rule = recipe(iterations=20, weight_decay=0.01)
    whole = train_stack(arch, starts(), data, rule, 0.1, engine="sparse")

    class OffError(Exception):
        pass

    def off(iteration: int) -> None:
        if iteration == 8:
            raise OffError

    kept = Checkpoint(tmp_path / "kept.safetensors", seconds=0)
    with pytest.raises(OffError):
        train_stack(arch, starts(), data, rule, 0.1, engine="sparse", checkpoint=kept, progress=off)
    seen: list[int] = []
    again = train_stack(
        arch, starts(), data, rule, 0.1, engine="sparse", checkpoint=kept, progress=seen.append
    )
    assert seen[0] == 8, "it went on from the checkpoint"
    for a, b in zip(whole, again, strict=True):
        assert same(a.end, b.end)
        assert a.history == b.history


def test_what_it_cannot_hold_is_refused() -> None:
    lenet, odd = architecture("lenet-7-5", (6,), CLASSES), architecture(Odd, (2, 6, 6), CLASSES)
    holds = ENGINES["sparse"].holds
    assert holds(lenet, CPU)
    assert not holds(odd, CPU)
    assert not holds(lenet, torch.device("cuda"))
    assert not holds(lenet, CPU, Demand(recipe(precision="bfloat16")))
    assert not holds(lenet, CPU, Demand(moving=True))
    frozen = start(lenet, 0, sparse(lenet), dead={"fc1.weight": torch.ones(7, 6)})
    with pytest.raises(UserError, match="frozen at values other than zero"):
        train_stack(lenet, [frozen], resident(), recipe(), 0.1, engine="sparse")


def test_adam_by_hand() -> None:
    """Two steps on one weight: m = .1, v = .001, both corrected to 1, so the first step is lr."""
    w, m, v = np.array([7.0, 1.0], np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
    rule = sparse_kernels.Rule(True, 0.9, 0.999, 0.0, 0.0, False, 0.0, 0.0)
    sparse_kernels.adam(w, np.array([1.0], np.float32), m, v, 1, 1, 0.5, rule, 1)
    assert w.tolist() == [7.0, pytest.approx(0.5)]
    sparse_kernels.adam(w, np.array([-1.0], np.float32), m, v, 1, 1, 0.5, rule, 2)
    # m = .09 - .1 = -.01, corrected by 1 - .81; v = .000999 + .001, corrected by 1 - .998001.
    assert w[1] == pytest.approx(0.5 + 0.5 * (0.01 / 0.19) / (0.001999 / 0.001999) ** 0.5, rel=1e-5)


def test_only_living_weights_are_put_back() -> None:
    alive = np.array([True, False, True, False, False])
    new, old = np.arange(1, 6, dtype=np.float32), np.full(5, -7, np.float32)
    sparse_kernels.put_living(new, alive, old)
    assert old.tolist() == [1, -7, 3, -7, -7]
