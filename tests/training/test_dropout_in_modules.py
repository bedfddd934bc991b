"""Dropout layers of foreign modules: swapped everywhere, paired in training, torch's generator left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.rounding import assert_same_in_double
from support.training_parts import (
    CLASSES,
    CPU,
    IMAGES,
    Odd,
    arrays,
    kind,
    recipe,
    resident,
    same,
    start,
)
from tombola.models.architecture import architecture
from tombola.training.foreign_noise import draws
from tombola.training.loop import train_stack
from tombola.training.noise import CounterDropout, Noise, swap_dropout


def noise(key: int = 1) -> Noise:
    made = Noise(key, CPU)
    made.begin(0)
    return made


class Shared(nn.Module):
    """One dropout layer under two names and inside a sequence, used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.again = self.drop
        self.body = nn.Sequential(nn.Linear(6, 6), self.drop, nn.Dropout2d(0.2))
        self.out = nn.Linear(6, CLASSES)


def test_every_place_of_every_dropout_layer_is_swapped() -> None:
    module = swap_dropout(Shared(), noise())
    places = [part for _, part in module.named_modules(remove_duplicate=False)]
    assert not any(isinstance(part, nn.Dropout | nn.Dropout2d) for part in places)
    assert module.drop is module.again is module.body[1]
    assert [module.drop.p, module.body[2].p] == [0.5, 0.2]
    assert [module.drop.by_channel, module.body[2].by_channel] == [False, True]
    assert module.drop.layer != module.body[2].layer


def test_a_module_that_is_a_dropout_layer_is_swapped_itself() -> None:
    assert isinstance(swap_dropout(nn.Dropout(0.3), noise()), CounterDropout)


class Scaled(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


def test_a_layer_derived_from_dropout_is_left_to_its_own_devices() -> None:
    module = swap_dropout(nn.Sequential(Scaled(0.3)), noise())
    assert type(module[0]) is Scaled  # type: ignore[index]


def functional() -> nn.Module:
    return Own(lambda x, training: F.dropout(x, 0.5, training))


def always() -> nn.Module:
    """F.dropout as it is often called by mistake: in evaluation as well."""
    return Own(lambda x, training: F.dropout(x, 0.5))


def derived() -> nn.Module:
    return nn.Sequential(Scaled(0.5), nn.Linear(6, CLASSES))


class Own(nn.Module):
    def __init__(self, noisy: Callable[[Tensor, bool], Tensor]) -> None:
        super().__init__()
        self.noisy, self.fc = noisy, nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.noisy(x, self.training))
        return out


FACTORIES = {"functional": functional, "always": always, "derived": derived}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())
def test_who_draws_from_torch_is_found_out_without_drawing(factory) -> None:
    module = factory()
    before = torch.random.get_rng_state()
    assert draws(swap_dropout(module, noise()), torch.ones(2, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not draws(swap_dropout(nn.Sequential(nn.Dropout(), nn.Linear(6, 3)), noise()), torch.ones(2, 6))


# --- in training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [*FACTORIES.values(), None], ids=[*FACTORIES, "odd"])
def test_torchs_generator_neither_matters_nor_moves(factory) -> None:
    shape = (6,) if factory else IMAGES
    arch, data = architecture(factory or Odd, shape, CLASSES), resident(arrays(shape))
    starts = [start(arch, r) for r in range(2)]
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        ends.append([t.end for t in train_stack(arch, starts, data, recipe(curve_every=4), 5)])
        assert torch.equal(torch.random.get_rng_state(), before)
    assert all(same(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())
def test_torchs_noise_is_the_same_in_a_stack_as_alone(factory) -> None:
    arch, data = architecture(factory, (6,), CLASSES), resident(arrays())
    starts = [start(arch, r) for r in range(3)]
    together = train_stack(arch, starts, data, recipe(), 5)
    for each, trained in zip(starts, together, strict=True):
        alone = train_stack(arch, [each], data, recipe(), 5)[0]
        assert_same_in_double(trained.end, alone.end)
        assert trained.history["loss"] == pytest.approx(alone.history["loss"], rel=1e-8)


@pytest.fixture
def masks_drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, Tensor]]:
    """(layer, iteration, keep) of every dropout drawn, in order."""
    seen: list[tuple[int, int, Tensor]] = []
    forward = CounterDropout.forward

    def noted(self: CounterDropout, x: Tensor) -> Tensor:
        if self.training and self.p > 0 and int(self.noise.key):  # 0: the engine's trial run
            calls = self.noise.calls.copy()
            out = forward(self, torch.ones_like(x))
            self.noise.calls = calls
            seen.append((self.layer, int(self.noise.iteration), out != 0))
        return forward(self, x)

    monkeypatch.setattr(CounterDropout, "forward", noted)
    return seen


def test_noise_in_training_by_network_layer_and_iteration(masks_drawn) -> None:
    arch, data, _ = kind("odd")
    starts = [start(arch, 0), start(arch, 1), start(arch, 0, level=1), start(arch, 0)]
    chosen = recipe(iterations=3, batch=40)
    train_stack(arch, starts, data, chosen, 5)
    together = list(masks_drawn)
    assert len(together) == 3 * 4 * 2  # steps, networks, layers; none in evaluation
    assert [t for _, t, _ in together] == [t for t in range(3) for _ in range(8)]
    of_network = [[m for i, m in enumerate(together) if i % 8 // 2 == r] for r in range(4)]
    linear = [[m for layer, _, m in each if layer == 1] for each in of_network]
    distinct = [m for each in linear[:3] for m in each]
    for i, a in enumerate(distinct):
        for b in distinct[:i]:
            assert not torch.equal(a, b)
    # Networks of one replicate and level are paired: they share their noise.
    assert all(torch.equal(a, b) for a, b in zip(linear[0], linear[3], strict=True))
    for r, each in enumerate(starts):
        masks_drawn.clear()
        train_stack(arch, [each], data, chosen, 5)
        assert len(masks_drawn) == 6
        for (_, _, alone), (_, _, company) in zip(masks_drawn, of_network[r], strict=True):
            assert torch.equal(alone, company)


def test_dropout_continues_at_the_iteration_it_is_rewound_to(masks_drawn) -> None:
    arch, data, _ = kind("odd")
    train_stack(arch, [start(arch)], data, recipe(iterations=4), 5)
    whole = list(masks_drawn)
    masks_drawn.clear()
    train_stack(arch, [start(arch, iteration=2)], data, recipe(iterations=4), 5)
    assert len(masks_drawn) == 4
    assert [t for _, t, _ in masks_drawn] == [2, 2, 3, 3]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(masks_drawn, whole[4:], strict=True))
