"""bfloat16, label smoothing, and engines that refuse what they cannot do."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from support.training_parts import (
    CLASSES,
    CPU,
    IMAGES,
    Odd,
    calm,
    dense,
    kind,
    recipe,
    resident,
    sparse,
    start,
)
from tombola.errors import UserError
from tombola.models.architecture import Architecture, architecture
from tombola.training.engines.base import ENGINES, Demand, Engine, Job
from tombola.training.engines.select import choose
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start

HALF = Recipe(precision="bfloat16")


def engine_of(name: str, arch: Architecture, starts: list[Start], chosen: Recipe) -> tuple[Engine, Stack]:
    stack = Stack(arch, starts, CPU)
    made = choose(name, arch, CPU, Demand(chosen))(
        Job(arch, stack, [0] * len(starts), [7] * len(starts), chosen)
    )
    return made, stack


def batch(shape: tuple[int, ...], n: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(1, n, *shape, generator=generator), torch.randint(CLASSES, (1, n), generator=generator)


def gradients(stack: Stack) -> dict[str, Tensor]:
    return {name: param.grad.clone() for name, param in stack.params.items() if param.grad is not None}


CASES = {"mlp": ("lenet-9-8", (6,)), "modules": ("lenet-9-8", (6,)), "modules on images": (calm, IMAGES)}


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_near_float32_but_not_it_and_leaves_no_halves_behind(case: str) -> None:
    model, shape = CASES[case]
    arch = architecture(model, shape, CLASSES)
    x, y = batch(shape)
    found = {}
    for chosen in (Recipe(), HALF):
        engine, stack = engine_of(case.split()[0], arch, [start(arch), start(arch, 0, sparse(arch))], chosen)
        engine.backward(x, y, 0)
        found[chosen.precision] = {"logits": engine.logits(x), **gradients(stack)}
        assert all(tensor.dtype == torch.float32 for tensor in found[chosen.precision].values())
        assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in stack.tensors().values())
    for name, exact in found["float32"].items():
        rough = found["bfloat16"][name]
        # Eight bits of mantissa, 0.4% an operation, and differences taken by batch norm; against the largest entry.
        scale = float(exact.abs().max())
        assert float((rough - exact).abs().max()) <= 0.2 * scale + 1e-6, name
        assert scale == 0 or not torch.equal(rough, exact), name


@pytest.mark.parametrize("what", ["mlp", "mlp by module", "odd"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_in_bfloat16_learns_and_keeps_dead_weights_dead(what: str, optimizer: str) -> None:
    arch, data, engine = kind(what)
    mask = sparse(arch)
    chosen = recipe(precision="bfloat16", optimizer=optimizer, lr=0.02, iterations=60, weight_decay=1e-3)
    begun = start(arch, mask=mask)
    trained = train_stack(arch, [begun], data, chosen, 5, engine=engine)[0]
    for name in arch.prunable:
        assert trained.end[name].dtype == torch.float32
        assert not trained.end[name][~mask[name]].any()
    losses = [
        v for v, s in zip(trained.history["loss"], trained.history["split"], strict=True) if s == "validation"
    ]
    assert min(losses) < losses[0]
    assert not trained.diverged


def test_validation_is_measured_in_the_arithmetic_of_training() -> None:
    arch, data, engine = kind("mlp")
    options: dict[str, Any] = {"iterations": 1, "evaluate_every": 1, "lr": 1e-9}
    losses = [
        train_stack(arch, [start(arch)], data, recipe(precision=p, **options), 5, engine=engine)[0].history[
            "loss"
        ][0]
        for p in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("smoothing", [0.1, 0.5])
@pytest.mark.parametrize("case", CASES)
def test_label_smoothing_is_the_loss_against_softened_targets(case: str, smoothing: float) -> None:
    """The gradient of -sum_k q_k log p_k with q = (1 - s) one-hot + s / K, written out."""
    model, shape = CASES[case]
    arch = architecture(model, shape, CLASSES)
    x, y = batch(shape)
    begun = start(arch, 0, sparse(arch))
    engine, stack = engine_of(case.split()[0], arch, [begun], Recipe(label_smoothing=smoothing))
    engine.backward(x, y, 0)
    module = arch.build()
    module.load_state_dict(begun.masked_state(), strict=False)
    targets = torch.full((30, CLASSES), smoothing / CLASSES)
    targets[torch.arange(30), y[0]] += 1 - smoothing
    loss = -(targets * module.train()(x[0]).log_softmax(1)).sum(1).mean()
    names, params = zip(*module.named_parameters(), strict=True)
    expected = torch.autograd.grad(loss, params, allow_unused=True)
    for name, gradient in zip(names, expected, strict=True):
        if gradient is not None:
            torch.testing.assert_close(gradients(stack)[name][0], gradient)


@pytest.mark.parametrize("what", ["mlp", "mlp by module"])
def test_validation_loss_is_never_smoothed(what: str) -> None:
    arch, data, engine = kind(what)
    state = {name: torch.zeros_like(value) for name, value in start(arch).state.items()}
    state["out.bias"] = torch.tensor([5.0, 0.0, 0.0])
    chosen = recipe(label_smoothing=0.5, lr=1e-9, iterations=1)
    history = train_stack(arch, [start(arch, state=state)], data, chosen, 5, engine=engine)[0].history
    # A constant function: -log p is 5 less for class 0.
    low = math.log(math.exp(5) + 2) - 5
    allowed = [(k * low + (5 - k) * (low + 5)) / 5 for k in range(6)]
    assert any(history["loss"][0] == pytest.approx(value, abs=1e-5) for value in allowed)


NARROW: list[tuple[dict[str, Any], str]] = [
    ({"precision": "bfloat16"}, "recipe.precision = bfloat16"),
    ({"flip": True}, "recipe.flip = True"),
    ({"crop": 2}, "recipe.crop = 2"),
]


@pytest.mark.parametrize(("options", "sentence"), NARROW)
def test_auto_passes_by_an_engine_that_lacks_what_the_recipe_asks(
    options: dict[str, Any], sentence: str
) -> None:
    arch = architecture("lenet-4", IMAGES, CLASSES)
    asked = Recipe(label_smoothing=0.1, **options)
    assert choose("auto", arch, CPU) is ENGINES["sparse"]
    assert choose("auto", arch, CPU, Demand(asked)) is ENGINES["mlp"]
    with pytest.raises(UserError, match=f"engine 'sparse' cannot train lenet-4 with {sentence}; it is for"):
        choose("sparse", arch, CPU, Demand(asked))


def test_auto_passes_by_an_engine_that_holds_no_frozen_weights() -> None:
    arch = architecture("lenet-4", (6,), CLASSES)
    assert choose("auto", arch, CPU, Demand(pinned=True)) is ENGINES["mlp"]
    with pytest.raises(UserError, match="engine 'sparse' cannot keep dead weights frozen"):
        choose("sparse", arch, CPU, Demand(pinned=True))


def test_what_is_pinned_is_found_out_from_the_starts() -> None:
    arch, data = architecture("lenet-4", (6,), CLASSES), resident()
    name, mask = "fc1.weight", sparse(arch)
    ones = torch.ones(arch.shapes[name])
    assert not start(arch, mask=mask).pinned
    assert not start(arch, mask=mask, dead={name: 0 * ones}).pinned
    assert not start(arch, mask=mask, dead={name: mask[name].float()}).pinned, "a living weight is not frozen"
    assert not start(arch, mask=dense(arch), dead={name: ones}).pinned
    pinned = start(arch, mask=mask, dead={name: ones})
    assert pinned.pinned
    with pytest.raises(UserError, match="engine 'sparse' cannot keep dead weights frozen"):
        train_stack(arch, [start(arch), pinned], data, recipe(), 5, engine="sparse")
    end = train_stack(arch, [start(arch), pinned], data, recipe(), 5)[1].end[name]
    assert torch.equal(end[~mask[name]], ones[~mask[name]])


def test_a_network_that_an_engine_cannot_hold_is_named_before_the_recipe() -> None:
    arch = architecture(Odd, IMAGES, CLASSES)
    with pytest.raises(UserError, match=r"engine 'mlp' cannot hold .*Odd on cpu"):
        choose("mlp", arch, CPU, Demand(HALF, pinned=True))


def test_a_network_without_an_early_stop_has_no_accuracy_there() -> None:
    arch, data, engine = kind("mlp")
    broken = start(arch)
    broken.state["fc1.weight"][0, 0] = float("nan")
    lost, fine = train_stack(arch, [broken, start(arch)], data, recipe(), 5, engine=engine)
    assert lost.early_stop_test_accuracy is lost.early_stop_val_loss is lost.early_stop_iteration is None
    assert fine.early_stop_test_accuracy is not None
