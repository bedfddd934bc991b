"""Networks with noise of their own, and networks that write where others read: alone, in a stack, and refused."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tombola
from support.rounding import assert_same_in_double, made_once
from support.training_parts import CLASSES, CPU, IMAGES, arrays, recipe, resident, same, start
from tombola.errors import UserError
from tombola.models.architecture import Architecture, architecture
from tombola.models.generators import put_back, seed_all
from tombola.training.engines.select import choose
from tombola.training.foreign_noise import draws, overwrites
from tombola.training.loop import train_stack
from tombola.training.noise import CounterDropout, Noise, swap_dropout


class Depth(nn.Module):
    """Stochastic depth: in training, half of the time the block is passed by."""

    def __init__(self, drawn: Callable[[], float]) -> None:
        super().__init__()
        self.first, self.block, self.out = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, CLASSES)
        self.drawn = drawn

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        if not self.training or self.drawn() < 0.5:
            x = x + self.block(x).relu()
        out: Tensor = self.out(x)
        return out


def by_torch() -> nn.Module:
    return Depth(lambda: float(torch.rand(1)))


def by_numpy() -> nn.Module:
    return Depth(lambda: np.random.rand())  # noqa: NPY002


def by_python() -> nn.Module:
    return Depth(random.random)


class Branches(nn.Module):
    """Stochastic depth with a decision for each image, in convolutions with batch norm and dropout in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.block, self.drop = nn.Conv2d(4, 4, 3, padding=1), nn.Dropout(0.3, inplace=True)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu()
        branch = self.block(x)
        if self.training:
            branch = branch * (torch.rand(len(x), 1, 1, 1) < 0.7) / 0.7
        out: Tensor = self.out(self.drop((x + branch).mean((2, 3))))
        return out


NOISY = {"torch": by_torch, "numpy": by_numpy, "python": by_python, "images": Branches}
every_noise = pytest.mark.parametrize("noisy", NOISY)


@made_once
def net(name: str) -> Architecture:
    return architecture(NOISY[name], IMAGES if name == "images" else (6,), CLASSES)


def generators() -> tuple[object, ...]:
    return torch.random.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002


@every_noise
def test_noise_is_the_same_in_every_run_and_leaves_the_generators_alone(noisy: str) -> None:
    arch = net(noisy)
    data, starts = resident(arrays(arch.input_shape)), [start(arch, r) for r in range(2)]
    ends = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = generators()
        ends.append([t.end for t in train_stack(arch, starts, data, recipe(curve_every=4), 5)])
        assert generators() == before
    assert all(same(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.usefixtures("float64")
@every_noise
def test_noise_is_the_same_in_a_stack_as_alone(noisy: str) -> None:
    arch = net(noisy)
    data = resident(arrays(arch.input_shape))
    starts = [start(arch, 0), start(arch, 1), start(arch, 0)]
    together = train_stack(arch, starts, data, recipe(), 5)
    for each, found in zip(starts, together, strict=True):
        alone = train_stack(arch, [each], data, recipe(), 5)[0]
        assert_same_in_double(found.end, alone.end)
        assert found.history["loss"] == pytest.approx(alone.history["loss"], rel=1e-8)


def test_every_replicate_level_and_step_has_noise_of_its_own() -> None:
    seen: list[float] = []

    def drawn() -> float:
        seen.append(float(torch.rand(1)))
        return seen[-1]

    arch = architecture(lambda: Depth(drawn), (6,), CLASSES)

    def noise_of(r: int, **level: int) -> list[float]:
        train_stack(arch, [start(arch, r, **level)], resident(), recipe(), 5)
        return seen[-12:]  # the last ones: before them the engine tries the network out

    first, other, deeper = noise_of(0), noise_of(1), noise_of(0, level=1)
    assert first == noise_of(0)
    assert len({*first, *other, *deeper}) == 36


@every_noise
def test_the_vectorised_engine_refuses_noise_and_says_so(noisy: str) -> None:
    arch = net(noisy)
    words = "engine 'stacked' cannot hold .* on cpu, which draws random numbers of its own as it computes"
    with pytest.raises(UserError, match=words):
        choose("stacked", arch, CPU)
    assert choose("auto", arch, CPU).name == "modules"


@every_noise
def test_noise_through_the_front_door(noisy: str) -> None:
    arch = net(noisy)
    data, brief = arrays(arch.input_shape), recipe()
    with pytest.raises(UserError, match="draws random numbers of its own as it computes"):
        tombola.train(NOISY[noisy], data, recipe=brief, validation=5, engine="stacked")
    ends = [tombola.train(NOISY[noisy], data, recipe=brief, validation=5)[0].end for _ in range(2)]
    assert same(*ends)


@every_noise
def test_who_draws_is_found_out_without_drawing(noisy: str) -> None:
    arch, before = net(noisy), generators()
    module = arch.build()
    assert draws(module, arch.examples)
    assert generators() == before
    assert not draws(nn.Linear(6, 3), torch.ones(2, 6))


def test_noise_of_a_generator_of_its_own_is_refused() -> None:
    class Always(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x * float(np.random.default_rng().random()))
            return out

    with pytest.raises(
        UserError, match=r"Always' cannot be repeated: .*draws noise of its own.*expected noise from"
    ):
        architecture(Always, (6,), CLASSES)


def test_seeding_is_undone_also_after_a_failure() -> None:
    def seed_and_fail() -> None:
        with put_back():
            seed_all(2**63 - 1)
            assert generators() != before
            raise ZeroDivisionError

    before = generators()
    with pytest.raises(ZeroDivisionError):
        seed_and_fail()
    assert generators() == before


# --- writing in place --------------------------------------------------------------------------------------


class Overwriting(nn.Module):
    """Writes into the batch that it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.fc(x.mul_(2)).relu())
        return out


@pytest.mark.usefixtures("float64")
def test_a_network_that_overwrites_its_input_spoils_no_others() -> None:
    """Three networks of one replicate share their batches; each has to see them as they are."""
    assert overwrites(Overwriting(), torch.ones(2, 6))
    assert overwrites(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3)), torch.ones(2, 6))
    assert not overwrites(nn.Sequential(nn.ReLU(), nn.Linear(6, 3)), torch.ones(2, 6))
    arch, data = architecture(Overwriting, (6,), CLASSES), resident()
    starts = [start(arch, 0, state=start(arch, r).state) for r in range(3)]
    together = train_stack(arch, starts, data, recipe(curve_every=4), 5, engine="modules")
    for each, found in zip(starts, together, strict=True):
        alone = train_stack(arch, [each], data, recipe(curve_every=4), 5, engine="modules")[0]
        assert_same_in_double(found.end, alone.end)
        assert found.history["loss"] == pytest.approx(alone.history["loss"], rel=1e-8)
        assert found.final_test_accuracy == alone.final_test_accuracy


def test_dropout_in_place_is_in_place() -> None:
    """A network may read again what it handed to such a layer: x + drop(x) is then 2 drop(x)."""
    noise = Noise(1, CPU)
    noise.begin(0)
    layer = swap_dropout(nn.Dropout(0.5, inplace=True), noise)
    assert isinstance(layer, CounterDropout)
    x = torch.ones(4, 50)
    out = layer(x)
    assert out is x
    assert set(x.unique().tolist()) == {0.0, 2.0}
    noise.begin(0)
    plain = swap_dropout(nn.Dropout(0.5), noise)
    ones = torch.ones(4, 50)
    assert torch.equal(plain(ones), x)
    assert (ones == 1).all()


class Twice(nn.Module):
    """Reads again what a dropout layer was handed."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(6, 5), nn.Linear(5, CLASSES)
        self.drop, self.inplace = nn.Dropout(0.5, inplace=inplace), inplace

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        dropped = self.drop(x)
        out: Tensor = self.out((x if self.inplace else dropped) + dropped)
        return out


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("engine", ["modules", "stacked"])
def test_dropout_in_place_trains_as_the_network_is_written(engine: str) -> None:
    ends = []
    for inplace in (True, False):
        arch = architecture(lambda inplace=inplace: Twice(inplace), (6,), CLASSES)
        starts = [start(arch, r) for r in range(2)]
        ends.append([t.end for t in train_stack(arch, starts, resident(), recipe(), 5, engine=engine)])
    for a, b in zip(*ends, strict=True):
        assert_same_in_double(a, b)
