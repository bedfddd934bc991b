"""Networks of convolutions and pools that end in linear layers, read off a module: what is computed, value by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import fx, nn

from tombola.models.architecture import Architecture
from tombola.models.generators import protected
from tombola.training.engines.chain import Layer
from tombola.training.foreign_noise import habits
from tombola.training.noise import dropouts

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Window:
    """What one place of a result sees: so many rows and columns of the image, `stride` apart from what the next place
    sees, after padding with so many rows above and below and columns left and right. `gap` is the dilation."""

    rows: int
    columns: int
    stride: int = 1
    up: int = 0
    left: int = 0
    gap: int = 1

    def over(self, height: int, width: int) -> tuple[int, int]:
        """How many places there are, down and across."""
        high, wide = self.gap * (self.rows - 1) + 1, self.gap * (self.columns - 1) + 1
        return (height + 2 * self.up - high) // self.stride + 1, (
            width + 2 * self.left - wide
        ) // self.stride + 1


class Norm(NamedTuple):
    """What a batch norm has beside its parameters: names of the buffers of running means and variances, and of the
    counter of batches."""

    mean: str
    variance: str
    counter: str
    eps: float
    momentum: float


class Drop(NamedTuple):
    """Dropout with a probability: which of the network's dropout layers it is, counted with each call as in `Noise`,
    and whether it drops channels as a whole."""

    layer: int
    p: float
    whole: bool


@dataclass(frozen=True)
class Step:
    """What makes a value of value `source`: a convolution, perhaps of groups, or a batch norm, which have a weight
    (names of parameters), a pool that takes the largest or else the mean of each window, dropout, or the sum with value
    `other`; `relu` says whether a ReLU follows."""

    source: int
    window: Window | None = None
    weight: str | None = None
    bias: str | None = None
    groups: int = 1
    largest: bool = False
    drop: Drop | None = None
    norm: Norm | None = None
    other: int | None = None
    relu: bool = False

    @property
    def sources(self) -> tuple[int, ...]:
        """The values that are read."""
        return (self.source,) if self.other is None else (self.source, self.other)

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution."""
        return self.weight is not None and self.window is not None


@dataclass(frozen=True)
class Graph:
    """The values of a network up to where it is flattened, images first; the steps that make all others, in their
    order; the linear layers after that; and dropout after one of these, by its place."""

    values: tuple[Shape, ...]
    steps: tuple[Step, ...]
    head: tuple[Layer, ...]
    drops: tuple[tuple[int, Drop], ...] = ()


class UnknownError(Exception):
    """A network does something that the compiled loops do not know; the message says what it has."""


def graph_of(architecture: Architecture) -> Graph | str:
    """What a network computes, or what it has that is not known here; `architecture.ask(graph_of)` reads it once."""
    with protected():
        module = architecture.build()
        try:
            _require_plain(module, architecture.input_shape)
            # More than once, since a network may draw its path from a generator of its own.
            training, measured, *again = (
                _read(module.train(mode), architecture.input_shape) for mode in (True, False, True, True)
            )
        except UnknownError as problem:
            return str(problem)
    if architecture.ask(habits).draws or any(each != training for each in again):
        # A trace has but one of the branches that chance takes.
        return "a forward pass that draws at random"
    return training if training == measured else "another forward pass in evaluation"


def _require_plain(module: nn.Module, shape: Sequence[int]) -> None:
    """Raise UnknownError for what a trace does not show: hooks, frozen or shared parameters, types but float32."""
    params = [param for _, param in module.named_parameters(remove_duplicate=False)]
    if len(shape) != 3:
        raise UnknownError("inputs that are not images")
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        raise UnknownError("hooks")
    if len({id(param) for param in params}) < len(params):
        raise UnknownError("a shared parameter")
    if not all(param.requires_grad for param in params):
        raise UnknownError("a frozen parameter")
    if any(param.dtype != torch.float32 for param in params):
        raise UnknownError("parameters that are not float32")


def _read(module: nn.Module, shape: Sequence[int]) -> Graph:
    try:
        traced = fx.symbolic_trace(module).graph
    except Exception as problem:  # tracing meets foreign code, which fails in any way it likes
        raise UnknownError("a forward pass that cannot be traced") from problem
    reader = _Reader(module, (shape[0], shape[1], shape[2]))
    for node in traced.nodes:
        reader.follow(node)
    return reader.graph()


class _Reader:
    """Goes through a trace, node by node; `flat` is the node that the linear layers have come to."""

    def __init__(self, module: nn.Module, shape: Shape) -> None:
        self.module = module
        self.values: list[Shape] = [shape]
        self.steps: list[Step] = []
        self.head: list[Layer] = []
        self.drops: dict[int, Drop] = {}
        self.layers = dropouts(module)
        self.calls = Counter[nn.Module]()
        self.at: dict[fx.Node, int] = {}
        self.flat: fx.Node | None = None
        self.used: set[str] = set()

    def graph(self) -> Graph:
        if unused := {name for name, _ in self.module.named_parameters()} - self.used:
            raise UnknownError(f"a parameter that is not used, '{min(unused)}'")
        if not self.steps:
            raise UnknownError("no convolution")
        return Graph(tuple(self.values), tuple(self.steps), tuple(self.head), tuple(self.drops.items()))

    def follow(self, node: fx.Node) -> None:
        """Note what a node does."""
        if node.op == "placeholder" and not self.at:
            self.at[node] = 0
        elif node.op == "output":
            if node.args[0] is not self.flat or not self.head or self.head[-1].relu:
                raise UnknownError("no linear layer at the end")
        elif node.op in ("call_function", "call_method") and _called(node) in SUMS and len(node.args) == 2:
            self._sum(node)
        elif node.op in ("call_module", "call_function", "call_method") and len(node.all_input_nodes) == 1:
            self._apply(node, node.all_input_nodes[0], self._operation(node))
        else:
            self._refuse(node)

    def _operation(self, node: fx.Node) -> Any:
        """What a node does: a layer, or one that does the same as a function."""
        if node.op == "call_module":
            return self.module.get_submodule(str(node.target))
        make = FUNCTIONS.get(_called(node))
        if make is None:
            self._refuse(node)
        try:
            return make(
                *node.args[1:], **{key: value for key, value in node.kwargs.items() if key != "input"}
            )
        except TypeError:  # options that the layer does not have
            self._refuse(node)

    def _apply(self, node: fx.Node, source: fx.Node, operation: Any) -> None:
        at = self.at[source]
        if self.flat is not None:
            self._after(node, source, operation)
        elif type(operation) is nn.Flatten and (operation.start_dim, operation.end_dim) == (1, -1):
            if at != len(self.values) - 1:
                self._refuse(node)
            self.flat = node
        elif type(operation) is nn.ReLU and at > 0 and len(source.users) == 1:
            self.steps[at - 1] = replace(self.steps[at - 1], relu=True)
        elif not _does_nothing(operation):
            at = self._step(node, at, operation)
        self.at[node] = at

    def _drop(self, node: fx.Node, layer: nn.Module) -> Drop:
        """What a dropout layer does in one of its places."""
        if layer not in self.layers or (
            getattr(layer, "inplace", False) and len(node.all_input_nodes[0].users) > 1
        ):
            self._refuse(node)  # a function, or one that changes what others read
        number = self.layers[layer] + (self.calls[layer] << 32)
        self.calls[layer] += 1
        return Drop(number, float(getattr(layer, "p")), type(layer) is nn.Dropout2d)  # noqa: B009

    def _after(self, node: fx.Node, source: fx.Node, operation: Any) -> None:
        """A node after the image is flattened."""
        if source is not self.flat:
            self._refuse(node)
        if type(operation) is nn.Linear:
            self.head.append(Layer(*self._parameters(node, operation), False))
        elif type(operation) is nn.ReLU and self.head and len(source.users) == 1:
            self.head[-1] = replace(self.head[-1], relu=True)
        elif type(operation) is nn.Dropout and operation.p > 0 and self.steps and not self.head:
            self.steps.append(Step(len(self.steps), drop=self._drop(node, operation)))
            self.values.append(self.values[-1])
        elif type(operation) is nn.Dropout and operation.p > 0 and len(self.head) - 1 not in self.drops:
            self.drops[len(self.head) - 1] = self._drop(node, operation)
        elif not _does_nothing(operation):
            self._refuse(node)
        self.flat = node

    def _sum(self, node: fx.Node) -> None:
        """The sum of two values of one shape, neither of which is the images."""
        at = [self.at.get(source, 0) if isinstance(source, fx.Node) else 0 for source in node.args]
        one, two = sorted(at)
        if self.flat is not None or one == 0 or one == two or self.values[one] != self.values[two]:
            self._refuse(node)
        self.values.append(self.values[one])
        self.steps.append(Step(one, other=two))
        self.at[node] = len(self.steps)

    def _norm(self, node: fx.Node, source: int, layer: nn.BatchNorm2d) -> int:
        known = layer.affine and layer.track_running_stats and layer.momentum is not None and source > 0
        if not known or layer.momentum is None:
            self._refuse(node)
        mean, variance, counter = (
            f"{node.target}.{leaf}" for leaf in ("running_mean", "running_var", "num_batches_tracked")
        )
        norm = Norm(mean, variance, counter, layer.eps, layer.momentum)
        weight, bias = self._parameters(node, layer)
        self.steps.append(Step(source, weight=weight, bias=bias, norm=norm))
        self.values.append(self.values[source])
        return len(self.steps)

    def _step(self, node: fx.Node, source: int, operation: Any) -> int:
        """A layer that makes a value of another; gives the number of what it makes."""
        if type(operation) is nn.BatchNorm2d:
            return self._norm(node, source, operation)
        if type(operation) in (nn.Dropout, nn.Dropout2d) and source > 0:
            self.steps.append(Step(source, drop=self._drop(node, operation)))
            self.values.append(self.values[source])
            return len(self.steps)
        channels, height, width = self.values[source]
        window = _window(operation, height, width)
        if window is None:
            self._refuse(node)
        if type(operation) is nn.Conv2d:
            channels = operation.out_channels
            step = Step(source, window, *self._parameters(node, operation), operation.groups)
        else:
            step = Step(source, window, largest=type(operation) is nn.MaxPool2d)
        self.values.append((channels, *window.over(height, width)))
        self.steps.append(step)
        return len(self.steps)

    def _parameters(
        self, node: fx.Node, layer: nn.Conv2d | nn.Linear | nn.BatchNorm2d
    ) -> tuple[str, str | None]:
        names = [f"{node.target}.{leaf}" for leaf, _ in layer.named_parameters()]
        if set(names) & self.used:
            raise UnknownError(f"a layer in two places, '{node.target}'")
        self.used |= set(names)
        return names[0], names[1] if len(names) > 1 else None

    def _refuse(self, node: fx.Node) -> NoReturn:
        what = f"layer '{node.target}'" if node.op == "call_module" else f"step '{node.name}'"
        if node.op == "call_module":
            what += f" ({type(self.module.get_submodule(str(node.target))).__name__})"
        raise UnknownError(what)


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


FUNCTIONS: Mapping[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "flatten": _flatten,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}
"""Functions and methods that do what a layer does."""


SUMS = ("add", "add_", "iadd")
"""What makes the sum of two values, by the name of the function or method."""


def _called(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _does_nothing(layer: Any) -> bool:
    return type(layer) is nn.Identity or (type(layer) in (nn.Dropout, nn.Dropout2d) and layer.p == 0)


def _window(layer: Any, height: int, width: int) -> Window | None:
    """The window of a layer over an image; None for a layer that is not known, or has an option that is not."""
    if type(layer) is nn.AdaptiveAvgPool2d:
        return Window(height, width) if layer.output_size in (1, (1, 1)) else None
    if type(layer) is nn.Conv2d:
        known = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    elif type(layer) is nn.MaxPool2d:
        known = not layer.ceil_mode and not layer.return_indices and _pair(layer.dilation) == (1, 1)
    elif type(layer) is nn.AvgPool2d:
        known = not layer.ceil_mode and layer.count_include_pad and layer.divisor_override is None
    else:
        known = False
    if not known:
        return None
    (down, across), (gap, other) = _pair(layer.stride), _pair(getattr(layer, "dilation", 1))
    if down != across or gap != other:
        return None
    return Window(*_pair(layer.kernel_size), down, *_pair(layer.padding), gap)


def _pair(number: Any) -> tuple[int, int]:
    return (number, number) if isinstance(number, int) else (number[0], number[1])
