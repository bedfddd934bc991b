"""Compaction: nothing that is computed changes but in rounding, gradients, decay, momentum and resuming included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from support.compact_parts import NETWORKS, engine_of, net, ones, random_mask
from support.rounding import assert_same_in_double
from support.training_parts import CLASSES, IMAGES, arrays, dense, recipe, resident, same, start
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines import compact
from tombola.training.engines.modules import ModulesEngine
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.start import Start
from tombola.training.trained import Trained


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Compact whenever something can be cut, or never."""
    return lambda yes: monkeypatch.setattr(compact, "WORTHWHILE", 1.0 if yes else -1.0)


def step(engine: ModulesEngine, stack: Stack, t: int, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Gradients of living weights and logits of one step on a batch of its own."""
    generator = torch.Generator().manual_seed(t)
    x, y = torch.randn(1, 11, *shape, generator=generator), torch.arange(11)[None] % CLASSES
    engine.backward(x, y, t)
    stack.silence()
    return {
        "logits": engine.logits(x),
        **{n: p.grad.clone() for n, p in stack.params.items() if p.grad is not None},
    }


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_and_logits_are_those_of_the_whole_network(
    name: str, always: Callable[[bool], None]
) -> None:
    arch = net(name)
    for seed in range(4):
        starts = [start(arch, r, random_mask(arch, 2 * seed + r)) for r in range(2)]
        for each in starts:  # biases at zero would hide a mistake
            generator = torch.Generator().manual_seed(seed)
            for value in each.state.values():
                if value.dim() == 1:
                    value.add_(0.3 * torch.rand(value.shape, generator=generator))
        found = []
        for yes in (True, False):
            always(yes)
            engine, stack = engine_of(arch, starts)
            found.append([step(engine, stack, t, arch.input_shape) for t in range(3)])
        for small, whole in zip(*found, strict=True):
            assert_same_in_double(small, whole)


def trained(arch: Architecture, starts: list[Start], chosen: Recipe) -> list[Trained]:
    return train_stack(arch, starts, resident(arrays(IMAGES)), chosen, 5, engine="modules", snapshot_at=5)


RECIPES = {
    "sgd": recipe(optimizer="sgd", lr=0.05, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": recipe(weight_decay=0.01),
}


def without_cut_statistics(state: dict[str, Tensor], arch: Architecture, each: Start) -> dict[str, Tensor]:
    """A state without the running statistics of channels that are cut, the one thing that may differ."""
    engine, _ = engine_of(arch, [each])
    places, kept = engine.members[0].places, dict(state)
    for name in state:
        if "running" in name and name in places:
            kept[name] = state[name][places[name]]
    return kept


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("chosen", RECIPES.values(), ids=RECIPES.keys())
@pytest.mark.parametrize("name", NETWORKS)
def test_training_ends_alike_dead_ends_decay_and_momentum_included(
    name: str, chosen: Recipe, always: Callable[[bool], None]
) -> None:
    arch = net(name)
    seeds = (0, 1) if name == "conv-2" else (0, 1, 7, 8)
    starts = [start(arch, seed % 2, random_mask(arch, seed)) for seed in seeds]
    starts.append(start(arch, 0, dense(arch)))
    always(False)
    whole = trained(arch, starts, chosen)
    always(True)
    small = trained(arch, starts, chosen)
    for each, a, b in zip(starts, small, whole, strict=True):
        for what in ("end", "best", "snapshot"):
            left, right = getattr(a, what), getattr(b, what)
            assert_same_in_double(
                without_cut_statistics(left, arch, each), without_cut_statistics(right, arch, each)
            )
        assert a.history["loss"] == pytest.approx(b.history["loss"], rel=1e-8)
        assert a.early_stop_iteration == b.early_stop_iteration


def test_statistics_of_cut_channels_stay_what_they_were_and_others_move(
    always: Callable[[bool], None],
) -> None:
    always(True)
    arch = net("normed")
    mask = Mask(ones(arch) | {
        "4.weight": torch.tensor([True, False, True, True, False, True, True]).expand(CLASSES, 7).clone()
    })  # fmt: skip
    end = trained(arch, [start(arch, mask=mask)], RECIPES["sgd"])[0].end
    means = end["1.3.1.running_mean"]
    assert (means == 0).nonzero().view(-1).tolist() == [1, 4]
    assert int(end["1.3.1.num_batches_tracked"]) == 12


@pytest.mark.usefixtures("float64")
def test_a_dead_weight_frozen_at_another_value_carries_a_signal(always: Callable[[bool], None]) -> None:
    arch = net("mlp")
    bits = ones(arch)
    bits["out.weight"][:, 4:] = False
    frozen = torch.zeros(arch.shapes["out.weight"])
    frozen[0, 6] = 0.5
    starts = [start(arch, mask=Mask(bits), dead={"out.weight": frozen}), start(arch, mask=Mask(bits))]
    always(True)
    engine, _ = engine_of(arch, starts)
    kept = [member.places["fc2.bias"] for member in engine.members]
    assert [place[0].tolist() for place in kept if isinstance(place, tuple)] == [
        [0, 1, 2, 3, 6],
        [0, 1, 2, 3],
    ]
    small = trained(arch, starts, RECIPES["sgd"])
    always(False)
    for a, b in zip(small, trained(arch, starts, RECIPES["sgd"]), strict=True):
        assert_same_in_double(a.end, b.end)


@pytest.mark.usefixtures("float64")
def test_a_network_is_cut_alike_in_any_stack_and_ends_alike(always: Callable[[bool], None]) -> None:
    arch = net("conv")
    half = ones(arch)
    half["6.weight"][:, :12] = False
    starts = [start(arch, 4, Mask(half)), start(arch, 5, random_mask(arch, 5)), start(arch)]
    assert [bool(member.places) for member in engine_of(arch, starts)[0].members] == [True, False, False]
    stack = trained(arch, starts, RECIPES["sgd"])
    for each, among in zip(starts, stack, strict=True):
        assert_same_in_double(trained(arch, [each], RECIPES["sgd"])[0].end, among.end)
        assert bool(engine_of(arch, [each])[0].members[0].places) == (each is starts[0])
    assert same(trained(arch, starts, RECIPES["sgd"])[0].end, stack[0].end)
    always(False)
    assert not any(member.places for member in engine_of(arch, starts)[0].members)


class PowerError(Exception):
    """The power went out."""


def test_a_small_network_that_is_resumed_ends_with_the_same_bits(
    tmp_path: Path, always: Callable[[bool], None]
) -> None:
    always(True)
    arch, data, mask = net("normed"), resident(arrays(IMAGES)), random_mask(net("normed"), 2)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)

    def fail(iteration: int) -> None:
        if iteration == 8:
            raise PowerError

    def run(**options: Any) -> State:
        starts = [start(arch, mask=mask)]
        return train_stack(arch, starts, data, RECIPES["sgd"], 5, engine="modules", **options)[0].end

    assert engine_of(arch, [start(arch, mask=mask)])[0].members[0].places
    with pytest.raises(PowerError):
        run(checkpoint=checkpoint, progress=fail)
    assert checkpoint.path.exists()
    assert same(run(checkpoint=checkpoint), run())
