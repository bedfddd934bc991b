"""What the engine for convolutions reads off a module, and what it refuses by name."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from support.training_parts import CLASSES, CPU, recipe
from tombola.errors import UserError
from tombola.models.architecture import architecture
from tombola.training.engines.base import ENGINES, Demand
from tombola.training.engines.compiled.conv_graph import Graph
from tombola.training.engines.compiled.conv_reader import graph_of
from tombola.training.engines.compiled.conv_trial import computes
from tombola.training.engines.select import choose

IMAGE = (2, 9, 7)


def linear(features: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, 9), nn.ReLU(), nn.Linear(9, CLASSES)]


class InPlace(nn.Module):
    """What is dropped in place is read before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.drop = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), nn.Dropout(0.5, inplace=True)
        self.head = nn.Sequential(*linear(252))

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(self.drop(x) + self.two(x))
        return out


class Product(nn.Module):
    """Two values multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), nn.Linear(126, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(torch.flatten(self.one(x) * self.two(x), 1))
        return out


class Renamed(nn.Module):
    """A ReLU of a value that goes by another name, and that is added as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.same = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), nn.Identity()
        self.head = nn.Sequential(*linear(252))

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(self.two(torch.relu(self.same(x))) + x)
        return out


class Two(nn.Module):
    """Two convolutions, of which a subclass makes something."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head = nn.Sequential(*linear(252))

    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(self.joined(x, self.norm(self.two(x))))
        return out


class Scaled(Two):
    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.add(x, y, alpha=0.1)


class NotReached(Two):
    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.two(x)
        return x + self.norm(y)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(self.joined(x, x))
        return out


class Changed(Two):
    """A value is changed in place, and read by its first name."""

    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        y.add_(x)
        return self.norm(y)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(self.joined(x, self.two(x)))
        return out


class StaysInEvaluation(Two):
    def train(self, mode: bool = True) -> StaysInEvaluation:
        super().train(mode)
        self.norm.eval()
        return self


class NotRead(Two):
    def joined(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        out: Tensor = self.head(self.joined(x, self.two(x)))
        return out


MORE = "a forward pass that does more than its operations say"
UNKNOWN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "product": (Product, "step 'mul'"),
    "a norm of images": (
        lambda: nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3), *linear(140)),
        r"layer '0' \(BatchNorm2d\)",
    ),
    "a norm without momentum": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, momentum=None), *linear(140)),
        r"layer '1' \(BatchNorm2d\)",
    ),
    "tanh": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), *linear(140)), r"layer '1' \(Tanh\)"),
    "dropout of images": (
        lambda: nn.Sequential(nn.Dropout(0.1), nn.Conv2d(2, 4, 3), *linear(140)),
        r"layer '0' \(Dropout\)",
    ),
    "dropout twice in one place": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(140, 9), *[nn.Dropout(0.1)] * 2, nn.Linear(9, CLASSES)
        ),
        r"layer '3' \(Dropout\)",
    ),
    "dropout in place of what another reads": (InPlace, r"layer 'drop' \(Dropout\)"),
    "dropout of another kind": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.AlphaDropout(0.1), *linear(140)),
        r"layer '1' \(AlphaDropout\)",
    ),
    "padding": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), *linear(252)),
        r"layer '0' \(Conv2d\)",
    ),
    "strides": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, stride=(1, 2)), *linear(84)),
        r"layer '0' \(Conv2d\)",
    ),
    "ceiling": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2, ceil_mode=True), *linear(48)),
        r"layer '1' \(MaxPool2d\)",
    ),
    "a value with another name": (Renamed, "step 'relu'"),
    "a sum with a factor": (Scaled, "step 'add'"),
    "gradients that are stopped": (NotReached, MORE),
    "a value that is changed in place": (Changed, "a layer whose result is not read"),
    "a norm that stays in evaluation": (StaysInEvaluation, "a layer that stays in evaluation"),
    "a result that is not read": (NotRead, "a layer whose result is not read"),
    "pools alone": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, CLASSES)),
        "no convolution",
    ),
    "no image": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(126, CLASSES)), "no convolution"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_cannot_hold_is_refused_by_name(name: str) -> None:
    build, why = UNKNOWN[name]
    arch = architecture(build, IMAGE, CLASSES)
    assert choose("auto", arch, CPU) is not ENGINES["sparse-conv"]
    with pytest.raises(
        UserError, match=rf"engine 'sparse-conv' cannot hold .* on cpu, which has {why}; it is for"
    ):
        choose("sparse-conv", arch, CPU)


def test_what_else_is_refused() -> None:
    arch = architecture("lenet-5", (1, 12, 12), CLASSES)
    holds = ENGINES["sparse-conv"].holds
    assert holds(arch, CPU)
    assert not holds(arch, torch.device("cuda"))
    assert not holds(arch, CPU, Demand(recipe(precision="bfloat16")))
    assert not holds(arch, CPU, Demand(moving=True))
    assert not holds(arch, CPU, Demand(recipe(optimizer="adamw")))
    assert not holds(arch, CPU, Demand(recipe(loss="torch.nn.functional:cross_entropy")))
    with pytest.raises(UserError, match="frozen at values other than zero"):
        choose("sparse-conv", arch, CPU, Demand(pinned=True))


def test_what_a_trace_does_not_show() -> None:
    """Hooks, shared and frozen parameters, and layers that are never used."""

    def built(change: Callable[[nn.Sequential], object]) -> object:
        def build() -> nn.Module:
            module = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), *linear(126))
            change(module)
            return module

        return architecture(build, IMAGE, CLASSES).ask(graph_of)

    assert not isinstance(built(lambda module: None), str)
    assert built(lambda m: m[0].register_forward_hook(lambda _module, _inputs, out: 2 * out)) == "hooks"
    assert built(lambda m: m[1].register_full_backward_hook(lambda _module, given, _out: given)) == "hooks"
    assert (
        built(lambda m: setattr(m[0], "forward", lambda x: m[0]._conv_forward(2 * x, m[0].weight, None)))
        == "hooks"
    )
    assert built(lambda m: setattr(m[1], "weight", m[0].weight)) == "a shared parameter"
    assert built(lambda m: m[0].weight.requires_grad_(False)) == "a frozen parameter"
    assert built(lambda m: m.register_parameter("idle", nn.Parameter(torch.zeros(1)))) == (
        "a parameter that is not used, 'idle'"
    )


@pytest.mark.parametrize("what", ["logits", "gradients", "statistics", "evaluation"])
def test_a_graph_that_is_not_the_module_is_found_out(what: str) -> None:
    """Whatever differs: the last resort where a trace was read wrongly."""
    module = Two()
    graph = architecture(Two, IMAGE, CLASSES).ask(graph_of)
    assert isinstance(graph, Graph)
    assert computes(Two(), graph)
    steps = list(graph.steps)
    place, norm = next((i, step.norm) for i, step in enumerate(steps) if step.norm)
    if what == "logits":
        steps[0] = replace(steps[0], relu=True)
    elif what == "gradients":
        module.two.register_full_backward_hook(lambda _module, given, _out: (2 * given[0],))
    elif what == "statistics":
        steps[place] = replace(steps[place], norm=norm._replace(momentum=0.2))
    else:
        module.norm.register_forward_hook(lambda layer, _given, out: out if layer.training else 2 * out)
    assert not computes(module, replace(graph, steps=tuple(steps)))


class Deep(nn.Module):
    """Stochastic depth: a layer is gone through half of the time."""

    def __init__(self, chance: Callable[[], float]) -> None:
        super().__init__()
        self.chance, self.first, self.second = chance, nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1)
        self.head = nn.Sequential(*linear(252))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        if not self.training or self.chance() < 0.5:
            x = torch.relu(self.second(x))
        out: Tensor = self.head(x)
        return out


@pytest.mark.parametrize(
    "chance",
    [
        random.random,
        lambda: float(np.random.rand()),  # noqa: NPY002
        lambda: torch.rand(()).item(),
    ],
)
def test_a_network_that_draws_at_random_is_refused_whatever_came_out(chance: Callable[[], float]) -> None:
    for _ in range(6):
        found = architecture(lambda: Deep(chance), IMAGE, CLASSES).ask(graph_of)
        assert found in (
            "a forward pass that draws at random",
            "a parameter that is not used, 'second.bias'",
            "a parameter that is not used, 'second.weight'",
        )


@pytest.mark.parametrize(
    "name", ["lenet-5", "conv-2", "conv-4", "conv-6", "resnet-20", "resnet-18", "wrn-10-2", "vgg-11"]
)
def test_the_named_networks_it_holds(name: str) -> None:
    assert choose("auto", architecture(name, (3, 32, 32), CLASSES), CPU) is ENGINES["sparse-conv"]
