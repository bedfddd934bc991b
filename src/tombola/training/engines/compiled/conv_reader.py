"""Networks of convolutions and pools that end in linear layers, read off a module: its operations, and whether they are
all that it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import fx, nn

from tombola.models.architecture import Architecture
from tombola.models.generators import protected
from tombola.models.trial import hooked
from tombola.training.engines.chain import Layer
from tombola.training.engines.compiled.conv_graph import Drop, Graph, Norm, Shape, Step, Window
from tombola.training.engines.compiled.conv_trial import computes
from tombola.training.foreign_noise import habits
from tombola.training.noise import dropouts


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
                _read(module, mode, architecture.input_shape) for mode in (True, False, True, True)
            )
        except UnknownError as problem:
            return str(problem)
        if architecture.ask(habits).draws or any(each != training for each in again):
            # A trace has but one of the branches that chance takes.
            return "a forward pass that draws at random"
        if training != measured:
            return "another forward pass in evaluation"
        # Nor has it what lies around operations, such as no_grad, or what one does to a tensor that others hold.
        return (
            training
            if computes(module, training)
            else "a forward pass that does more than its operations say"
        )


def _require_plain(module: nn.Module, shape: Sequence[int]) -> None:
    """Raise UnknownError for what a trace does not show: hooks, frozen or shared parameters, types but float32."""
    params = [param for _, param in module.named_parameters(remove_duplicate=False)]
    if len(shape) != 3:
        raise UnknownError("inputs that are not images")
    if hooked(module):
        raise UnknownError("hooks")
    if len({id(param) for param in params}) < len(params):
        raise UnknownError("a shared parameter")
    if not all(param.requires_grad for param in params):
        raise UnknownError("a frozen parameter")
    if any(param.dtype != torch.float32 for param in params):
        raise UnknownError("parameters that are not float32")


def _read(module: nn.Module, mode: bool, shape: Sequence[int]) -> Graph:
    module.train(mode)
    if any(part.training != mode for part in module.modules()):
        raise UnknownError("a layer that stays in " + ("evaluation" if mode else "training"))
    try:
        traced = fx.symbolic_trace(module).graph
    except Exception as problem:  # tracing meets foreign code, which fails in any way it likes
        raise UnknownError("a forward pass that cannot be traced") from problem
    reader = _Reader(module, (shape[0], shape[1], shape[2]))
    for node in traced.nodes:
        reader.follow(node)
    return reader.graph()


class _Reader:
    """Goes through a trace, node by node; `flat` is the node that the linear layers have come to, `read` are the nodes
    whose value is read by several others, also under another name (`nn.Identity` gives it one)."""

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
        self.read: set[fx.Node] = set()
        self.used: set[str] = set()

    def graph(self) -> Graph:
        if unused := {name for name, _ in self.module.named_parameters()} - self.used:
            raise UnknownError(f"a parameter that is not used, '{min(unused)}'")
        if not any(step.convolves for step in self.steps):
            raise UnknownError("no convolution")
        sources = {source for step in self.steps for source in step.sources}
        if any(value not in sources for value in range(len(self.steps))):
            raise UnknownError("a layer whose result is not read")
        return Graph(tuple(self.values), tuple(self.steps), tuple(self.head), tuple(self.drops.items()))

    def follow(self, node: fx.Node) -> None:
        """Note what a node does."""
        if node.op == "placeholder" and not self.at:
            self.at[node] = 0
        elif node.op == "output":
            if node.args[0] is not self.flat or not self.head or self.head[-1].relu:
                raise UnknownError("no linear layer at the end")
        elif node.op in ("call_function", "call_method") and _called(node) in SUMS and _of_two(node):
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
        if len(source.users) > 1:
            self.read.add(source)
        if self.flat is not None:
            self._after(node, source, operation)
        elif type(operation) is nn.Flatten and (operation.start_dim, operation.end_dim) == (1, -1):
            if at != len(self.values) - 1:
                self._refuse(node)
            self.flat = node
        elif type(operation) is nn.ReLU and at > 0 and source not in self.read:
            self.steps[at - 1] = replace(self.steps[at - 1], relu=True)
        elif not _does_nothing(operation):
            at = self._step(node, at, operation)
        elif source in self.read:
            self.read.add(node)
        self.at[node] = at

    def _drop(self, node: fx.Node, layer: nn.Module) -> Drop:
        """What a dropout layer does in one of its places."""
        if layer not in self.layers or (
            getattr(layer, "inplace", False) and node.all_input_nodes[0] in self.read
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


def _of_two(node: fx.Node) -> bool:
    """Whether a sum is of two values as they are: `alpha` multiplies one of them."""
    return len(node.args) == 2 and not node.kwargs


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
