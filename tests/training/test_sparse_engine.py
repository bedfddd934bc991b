"""The sparse engine gives what the others give, from living weights alone, and each network by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_parts import (
    CLASSES,
    CPU,
    Odd,
    arrays,
    assert_close,
    kind,
    recipe,
    resident,
    same,
    sparse,
    start,
)

from tombola.data import Resident, from_arrays
from tombola.errors import UserError
from tombola.masks import Mask
from tombola.models import architecture
from tombola.training import Checkpoint, Recipe, Start, Trained, train_stack
from tombola.training.engines import ENGINES, kernels

OPTIMIZERS = {
    "adam": {"lr": 0.01},
    "adam with decay": {"lr": 0.01, "weight_decay": 0.01},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "momentum": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True},
    "warmup and cosine": {"lr": 0.01, "schedule": "cosine", "warmup": 30},
}


def starts(density: float = 0.4, count: int = 3) -> list[Start]:
    arch, _, _ = kind("mlp")
    return [start(arch, r // 2, sparse(arch, r, density)) for r in range(count)]


def trained(engine: str, begun: list[Start], rule: Recipe, data: Resident | None = None) -> list[Trained]:
    arch, plain, _ = kind("mlp")
    return train_stack(arch, begun, data or plain, rule, 0.1, engine=engine)


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("density", [0.05, 0.4, 1.0])
def test_the_networks_of_the_mlp_engine_to_rounding_after_100_iterations(
    options: dict[str, object], density: float
) -> None:
    rule = recipe(iterations=100, evaluate_every=50, **options)
    pairs = zip(trained("sparse", starts(density), rule), trained("mlp", starts(density), rule), strict=True)
    for ours, theirs in pairs:
        assert_close(ours.end, theirs.end, rtol=2e-3, atol=2e-5)
        assert ours.early_stop_iteration == theirs.early_stop_iteration
        assert ours.final_test_accuracy == theirs.final_test_accuracy
        losses = [history["loss"] for history in (ours.history, theirs.history)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("batch", [1, 7, 63, 64, 65, 130])
def test_any_batch(batch: int) -> None:
    """Rows hold 64 examples: fewer leave lanes empty, more take several passes."""
    data = resident(arrays(n=200))
    rule = recipe(batch=batch, iterations=10, evaluate_every=5)
    for ours, theirs in zip(
        trained("sparse", starts(), rule, data), trained("mlp", starts(), rule, data), strict=True
    ):
        assert_close(ours.end, theirs.end, rtol=1e-3, atol=1e-5)


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
    ours, theirs = (train_stack(arch, begun, data, recipe(), 0.1, engine=e)[0] for e in ("sparse", "mlp"))
    assert_close(ours.end, theirs.end, rtol=1e-3, atol=1e-5)
    assert ours.end["fc1.bias"][2] != state["fc1.bias"][2], "the bias of a unit without living inputs trains"


def test_layers_without_bias() -> None:
    def factory() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, CLASSES))

    arch = architecture(factory, (6,), CLASSES)
    begun = [start(arch, 0, sparse(arch))]
    ours, theirs = (
        train_stack(arch, begun, resident(), recipe(weight_decay=0.1), 0.1, engine=e)[0]
        for e in ("sparse", "mlp")
    )
    assert_close(ours.end, theirs.end, rtol=1e-3, atol=1e-5)


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
    lenet, odd = architecture("lenet-5", (6,), CLASSES), architecture(Odd, (2, 6, 6), CLASSES)
    assert ENGINES["sparse"].holds(lenet, CPU)
    assert not ENGINES["sparse"].holds(odd, CPU)
    assert not ENGINES["sparse"].holds(lenet, torch.device("cuda"))
    mask = sparse(lenet)
    frozen = start(lenet, 0, mask, dead={"fc1.weight": torch.ones(5, 6)})
    with pytest.raises(UserError, match="dead weights at zero only"):
        train_stack(lenet, [frozen], resident(), recipe(), 0.1, engine="sparse")


def test_adam_by_hand() -> None:
    """Two steps on one weight: m = .1, v = .001, both corrected to 1, so the first step is lr."""
    w, g = np.array([1.0], np.float32), np.array([1.0], np.float32)
    m, v = np.zeros(1, np.float32), np.zeros(1, np.float32)
    kernels.adam(w, g, m, v, 0.5, 0.9, 0.999, 0.0, 0.0, 1)
    assert (w[0], g[0]) == (pytest.approx(0.5), 0.0)
    g[0] = -1.0
    kernels.adam(w, g, m, v, 0.5, 0.9, 0.999, 0.0, 0.0, 2)
    # m = .09 - .1 = -.01, corrected by 1 - .81; v = .000999 + .001, corrected by 1 - .998001.
    assert w[0] == pytest.approx(0.5 + 0.5 * (0.01 / 0.19) / (0.001999 / 0.001999) ** 0.5, rel=1e-5)
