"""The engine for convolutions gives what autograd gives, from living weights alone, and each network by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from support.rounding import assert_within_reach, doubled
from support.training_parts import CLASSES, arrays, recipe, resident, same, sparse, start
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines.compiled import conv_sweeps
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.trained import Trained

Shape = tuple[int, int, int]
IMAGE: Shape = (2, 9, 7)


def head(features: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, 9), nn.ReLU(), nn.Linear(9, CLASSES)]


class Written(nn.Module):
    """A forward pass written out, with functions and a layer for its second place."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 3, 3)
        self.act, self.out = nn.ReLU(), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.one(x)), 2)
        out: Tensor = self.out(torch.flatten(self.act(self.two(x)).relu(), 1))
        return out


class Residual(nn.Module):
    """Batch norms, a sum with the identity and one with a projection, both ways of writing a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = (
            nn.Conv2d(2, 5, 3, padding=1, bias=False),
            nn.BatchNorm2d(5, momentum=0.3, eps=0.01),
        )
        self.one, self.norm1 = nn.Conv2d(5, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.two, self.norm2 = nn.Conv2d(5, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
        self.short, self.norm3 = nn.Conv2d(5, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6)
        self.average, self.out = nn.AdaptiveAvgPool2d(1), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = F.relu(x + self.norm1(self.one(x)))
        y = self.norm2(self.two(x))
        y += self.norm3(self.short(x))
        out: Tensor = self.out(torch.flatten(self.average(y.relu()), 1))
        return out


class PreActivated(nn.Module):
    """A norm and a ReLU before the convolution, whose result joins what was before them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.out = nn.Linear(4 * 4 * 3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        active = self.norm(x).relu()
        x = F.max_pool2d(self.one(active) + x + self.two(active), 2)
        out: Tensor = self.out(torch.flatten(x, 1))
        return out


class Dropped(nn.Module):
    """A layer that is called three times draws three times; what it reads has another reader."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.drop, self.inner, self.out = nn.Dropout(0.4), nn.Linear(140, 12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        x = self.norm(self.drop(x)) + self.drop(self.two(x))
        out: Tensor = self.out(self.drop(F.relu(self.inner(torch.flatten(x, 1)))))
        return out


class Branches(nn.Module):
    """Sums with several norms: of three values, of a value with a norm of itself, and of two norms of one value."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4) for _ in range(5)])
        self.out = nn.Linear(252, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = F.relu(self.norms[0](self.one(x)) + self.norms[1](self.two(x)) + x)
        x = F.relu(self.norms[2](x) + x)
        x = F.relu(self.norms[3](x) + self.norms[4](x))
        out: Tensor = self.out(torch.flatten(x, 1))
        return out


class NormOfNorm(nn.Module):
    """A norm of a norm, and what is added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm1, self.norm2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.out = nn.Linear(252, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        x = self.norm2(self.norm1(self.two(x))) + x
        out: Tensor = self.out(torch.flatten(x.relu(), 1))
        return out


class Beside(nn.Module):
    """A pool that leaves a border out, of what a convolution read before."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2)
        self.out = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        y = self.two(x)
        out: Tensor = self.out(torch.flatten(y + F.max_pool2d(x, 2), 1))
        return out


NETWORKS: dict[str, tuple[Shape, Callable[[], nn.Module]]] = {
    "3x3 padded twice": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(), *head(252)
        ),
    ),
    "one channel, 5x5 of stride 2 on odd sides": (
        (1, 9, 7),
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(3, 5, 5, stride=2, padding=2, bias=False),
            nn.ReLU(),
            *head(100),
        ),
    ),
    "stride 2 that leaves a border out": (
        (2, 8, 10),
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), *head(72)
        ),
    ),
    "1x1 of stride 2 and 3": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 1),
            nn.ReLU(),
            nn.Conv2d(6, 4, 1, stride=2),
            nn.ReLU(),
            nn.Conv2d(4, 3, 1, stride=3),
            *head(12),
        ),
    ),
    "wide padding, dilation, kernels that are not square": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, (1, 3), padding=(0, 1)),
            nn.ReLU(),
            nn.Conv2d(4, 3, 3, dilation=2, padding=3),
            nn.ReLU(),
            nn.Conv2d(3, 2, (4, 2), padding=1),
            *head(2 * 10 * 10),
        ),
    ),
    "7x7 and overlapping pools": (
        (2, 11, 9),
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.MaxPool2d(2, stride=1),
            nn.ReLU(),
            *head(20),
        ),
    ),
    "means": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(3, stride=2, padding=1),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            *head(6),
        ),
    ),
    "pools first, no layer between convolutions": (
        (3, 8, 8),
        lambda: nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3),
            nn.Identity(),
            nn.Dropout(0.0),
            *head(16),
        ),
    ),
    "groups, and a filter for every channel": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(6, 9, (3, 1), stride=2, groups=3),
            nn.ReLU(),
            nn.Conv2d(9, 9, 3, padding=2, dilation=2, groups=9, bias=False),
            nn.ReLU(),
            nn.Conv2d(9, 18, 1, groups=9),
            *head(288),
        ),
    ),
    "dropout of pixels, channels and units": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 5, 3, padding=1),
            nn.Dropout(0.3),
            nn.ReLU(),
            nn.Dropout2d(0.4),
            nn.Conv2d(5, 4, 3),
            nn.Dropout(0.0),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(24, 20),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(20, 11),
            nn.Dropout(0.2, inplace=True),
            nn.ReLU(),
            nn.Linear(11, CLASSES),
        ),
    ),
    "pools that leave a border out, behind norms": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 5, 3, padding=1, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.MaxPool2d(2, stride=3),
            *head(5),
        ),
    ),
    "a pool that leaves a border out, beside a convolution": (IMAGE, Beside),
    "sums with several norms": (IMAGE, Branches),
    "a norm of a norm, and a sum": (IMAGE, NormOfNorm),
    "one dropout in three places": (IMAGE, Dropped),
    "written out": ((2, 8, 6), Written),
    "batch norms and residual sums": (IMAGE, Residual),
    "a value with several readers": (IMAGE, PreActivated),
}  # fmt: skip


def ended(
    engine: str, build: Callable[[], nn.Module], shape: Shape, rule: Recipe, state: State, mask: Mask
) -> list[Trained]:
    """A dense network and a masked one, trained on the same batches."""
    arch, data = architecture(build, shape, CLASSES), resident(arrays(shape, n=80))
    state = {name: value.to(torch.get_default_dtype()) for name, value in state.items()}
    starts = [start(arch, state=state), start(arch, 0, mask, state=state)]
    return train_stack(arch, starts, data, rule, 10, engine=engine)


def begun(build: Callable[[], nn.Module], shape: Shape, density: float, cut: str) -> tuple[State, Mask]:
    """A state, in float32, and a mask of a density, with a dead layer or dead filters."""
    arch = architecture(build, shape, CLASSES)
    mask = sparse(arch, 0, density)
    bits = {name: mask[name] for name in mask}
    convolutions = [name for name in bits if bits[name].dim() == 4]
    if cut == "layer":
        bits[convolutions[-1]][:] = False
    if cut == "filters":
        for name in convolutions:
            bits[name][0] = False  # a channel that is its bias
            bits[name][:, -1] = False  # one that leads nowhere
    state = start(arch).state
    for name in state:
        if "norm" in name and name.endswith("bias"):
            state[name] += 0.1  # a dead filter would give 0 but for rounding, which a ReLU must not decide by
    return state, Mask(bits)


def step(batch: int) -> Recipe:
    """One step of gradient descent at rate 1: what a weight loses is its gradient."""
    return recipe(iterations=1, evaluate_every=1, batch=batch, optimizer="sgd", lr=1.0)


def assert_gradients(
    build: Callable[[], nn.Module], shape: Shape, batch: int, density: float, cut: str = ""
) -> None:
    """The gradient of every parameter is that of autograd in float64."""
    given = begun(build, shape, density, cut)
    ours = ended("sparse-conv", build, shape, step(batch), *given)
    with doubled():
        theirs = ended("modules", build, shape, step(batch), *given)
    for found, expected in zip(ours, theirs, strict=True):
        assert found.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-5)
        assert found.history["accuracy"] == expected.history["accuracy"]
        for name, tensor in expected.end.items():
            # Running statistics of a channel that leads nowhere are left alone.
            upto = -1 if cut == "filters" and "running" in name else None
            torch.testing.assert_close(
                found.end[name].double().reshape(-1)[:upto],
                tensor.double().reshape(-1)[:upto],
                rtol=1e-5,
                atol=2e-6,
                msg=lambda m, n=name: f"{n}: {m}",
            )


def assert_trained_alike(
    build: Callable[[], nn.Module], shape: Shape, rule: Recipe, state: State, mask: Mask
) -> None:
    """Every tensor ends as `modules` has it in float64, but for rounding."""
    ours = ended("sparse-conv", build, shape, rule, state, mask)
    with doubled():
        theirs = ended("modules", build, shape, rule, state, mask)
    for found, expected in zip(ours, theirs, strict=True):
        for name, tensor in expected.end.items():
            torch.testing.assert_close(found.end[name].double(), tensor.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_of_every_operation(name: str) -> None:
    shape, build = NETWORKS[name]
    assert_gradients(build, shape, 19, 0.4)


@pytest.mark.parametrize("name", NETWORKS)
def test_several_steps_at_once(name: str) -> None:
    """What one step leaves in the rooms of gradients is nothing to the next."""
    shape, build = NETWORKS[name]
    given = begun(build, shape, 0.6, "")
    rule = recipe(iterations=4, evaluate_every=4, optimizer="sgd", lr=0.05, batch=35)
    assert_trained_alike(build, shape, rule, *given)


@pytest.mark.parametrize("batch", [1, 16, 65])
def test_any_batch(batch: int) -> None:
    """Blocks hold 16 examples and rows of linear layers 64: fewer leave lanes empty."""
    shape, build = NETWORKS["3x3 padded twice"]
    assert_gradients(build, shape, batch, 0.1)


@pytest.mark.parametrize(
    "name",
    [
        "one channel, 5x5 of stride 2 on odd sides",
        "batch norms and residual sums",
        "groups, and a filter for every channel",
        "dropout of pixels, channels and units",
    ],
)
@pytest.mark.parametrize("cut", ["layer", "filters"])
def test_dead_layers_and_filters(name: str, cut: str) -> None:
    shape, build = NETWORKS[name]
    assert_gradients(build, shape, 19, 0.6, cut)


@pytest.mark.parametrize("batch", [2, 33])
def test_batch_norms_of_any_batch(batch: int) -> None:
    shape, build = NETWORKS["batch norms and residual sums"]
    assert_gradients(build, shape, batch, 0.5)


@pytest.mark.parametrize("dead", [("two", "short"), ("one", "two"), ("one", "short")])
def test_a_channel_that_leads_somewhere_in_part(dead: tuple[str, str]) -> None:
    """What one reader of a value does not need, another one does; step after step."""
    shape, build = NETWORKS["batch norms and residual sums"]
    state, mask = begun(build, shape, 0.8, "")
    bits = {name: mask[name] for name in mask}
    for name in dead:
        bits[f"{name}.weight"][:, 1:3] = False
    rule = recipe(iterations=4, evaluate_every=4, optimizer="sgd", lr=0.05, batch=19)
    ours = ended("sparse-conv", build, shape, rule, state, Mask(bits))
    with doubled():
        theirs = ended("modules", build, shape, rule, state, Mask(bits))
    for found, expected in zip(ours, theirs, strict=True):
        for name in set(expected.end) - {name for name in expected.end if "running" in name}:
            torch.testing.assert_close(
                found.end[name].double(), expected.end[name].double(), rtol=1e-4, atol=1e-5
            )


def test_channels_in_several_blocks() -> None:
    """More channels than a block of the first cache holds, forwards and backwards."""

    def build() -> nn.Module:
        first, second = nn.Conv2d(2, 30, 3, padding=1), nn.Conv2d(30, 40, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), *head(480))

    assert_gradients(build, IMAGE, 19, 0.5)


def lenet() -> Architecture:
    return architecture("lenet-5", (1, 12, 12), CLASSES)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.003, "weight_decay": 0.01},
        {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"lr": 0.003, "label_smoothing": 0.2, "schedule": "cosine", "warmup": 5},
    ],
    ids=["adam", "nesterov", "smoothed"],
)
def test_the_networks_of_modules_to_rounding(options: dict[str, object]) -> None:
    arch, data = lenet(), resident(arrays((1, 12, 12), n=80))
    begun = [start(arch, r, sparse(arch, r, density)) for r, density in enumerate((1.0, 0.3, 0.05))]
    rule = recipe(iterations=15, evaluate_every=5, batch=20, **options)

    def train(starts: object, engine: str = "modules") -> list[Trained]:
        return train_stack(arch, list(starts), data, rule, 10, engine=engine)  # type: ignore[call-overload]

    ours = train(begun, "sparse-conv")
    assert_within_reach(ours, train(begun), train, begun)
    for found, given in zip(ours, begun, strict=True):
        for name in given.mask:
            assert (found.end[name][~given.mask[name]] == 0).all(), "dead weights stay dead"


@pytest.mark.parametrize(
    "name", ["3x3 padded twice", "groups, and a filter for every channel", "batch norms and residual sums"]
)
def test_a_block_for_every_channel_that_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that are stored and gone on with: small networks would be one block, where no sum is ever read again."""
    made = list[int]()
    of_blocks = conv_sweeps._runs

    def runs(*given: Any) -> Any:
        found = of_blocks(*given)
        made.append(found[2])
        return found

    monkeypatch.setattr(conv_sweeps, "ROWS", 1)
    monkeypatch.setattr(conv_sweeps, "LEAST", 0)
    monkeypatch.setattr(conv_sweeps, "_runs", runs)
    shape, build = NETWORKS[name]
    rule = recipe(iterations=3, evaluate_every=3, optimizer="sgd", lr=0.05, batch=19)
    assert_trained_alike(build, shape, rule, *begun(build, shape, 0.6, ""))
    assert max(made) > 3


def test_flipped_and_cropped_images() -> None:
    """The same changes to the same images as any engine makes."""
    shape, build = NETWORKS["batch norms and residual sums"]
    given = begun(build, shape, 0.5, "")
    rule = recipe(iterations=3, evaluate_every=3, optimizer="sgd", lr=0.05, batch=19, flip=True, crop=2)
    assert_trained_alike(build, shape, rule, *given)


def test_dropout_of_later_steps() -> None:
    """Every network and every step has numbers of its own, those that `modules` draws."""
    shape, build = NETWORKS["one dropout in three places"]
    given = begun(build, shape, 0.7, "")
    rule = recipe(iterations=4, evaluate_every=2, optimizer="sgd", lr=0.05, batch=19)
    assert_trained_alike(build, shape, rule, *given)


@pytest.mark.parametrize("dropped", [False, True])
def test_bits_depend_on_neither_stack_nor_interruption(tmp_path: Path, dropped: bool) -> None:
    arch = architecture(Dropped, IMAGE, CLASSES) if dropped else lenet()
    data = resident(arrays(IMAGE if dropped else (1, 12, 12), n=80))
    begun = [start(arch, r // 2, sparse(arch, r, 0.3)) for r in range(3)]
    rule = recipe(iterations=8, evaluate_every=4, batch=20, weight_decay=0.01)
    whole = train_stack(arch, begun, data, rule, 10, engine="sparse-conv")

    class OffError(Exception):
        pass

    def off(iteration: int) -> None:
        if iteration == 4:
            raise OffError

    kept = Checkpoint(tmp_path / "kept.safetensors", seconds=0)
    with pytest.raises(OffError):
        train_stack(arch, begun, data, rule, 10, engine="sparse-conv", checkpoint=kept, progress=off)
    seen: list[int] = []
    again = train_stack(
        arch, begun, data, rule, 10, engine="sparse-conv", checkpoint=kept, progress=seen.append
    )
    assert seen[0] == 4, "it went on from the checkpoint"
    alone = [train_stack(arch, [one], data, rule, 10, engine="sparse-conv")[0] for one in begun]
    for a, b, c in zip(whole, again, alone, strict=True):
        assert same(a.end, b.end)
        assert same(a.end, c.end)
        assert a.history == b.history == c.history


def test_a_diverged_network_shows() -> None:
    arch, data = lenet(), resident(arrays((1, 12, 12), n=80))
    state = start(arch).state
    state["conv1.weight"][0, 0, 2, 2] = torch.nan
    rule = recipe(iterations=2, evaluate_every=1)
    fine, broken = train_stack(
        arch, [start(arch), start(arch, state=state)], data, rule, 10, engine="sparse-conv"
    )
    assert broken.diverged
    assert not fine.diverged
