"""Hidden units: which axes of which tensors list the same units, so that they can be put in another order.

The function of a network does not depend on the order of its hidden units (Hecht-Nielsen 1990), as long as all
that lists them changes together: the layers that write to them, the norms on them, the layers that read them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from tombola.errors import UserError
from tombola.models.architecture import Architecture
from tombola.models.generators import protected
from tombola.models.state import State

Permutation = NDArray[np.intp]

POINTWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity)
POOLS = (_MaxPoolNd, _AvgPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
ALIKE_LAYERS = (*POINTWISE, *POOLS, _DropoutNd)
ALIKE = (
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"),
    *("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
    *("dropout", "dropout2d", "neg", "contiguous", "clone"),
)
"""What treats every unit alike and apart from the others, by the name of the function or method."""
BETWEEN = ("add", "add_", "iadd", "sub", "isub", "mul", "imul")
"""What takes two tensors unit by unit, or one and a number."""
RESHAPES = ("flatten", "view", "reshape", "squeeze")


@dataclass(frozen=True)
class UnitGroup:
    """Hidden units that can only be put in another order together.

    `places` are the (parameter or buffer, axis, positions per unit) that list them: an axis has
    `size * positions` entries, unit by unit. Positions are 1 but where a linear layer reads a flattened image.
    """

    size: int
    places: tuple[tuple[str, int, int], ...]


def unit_axes(architecture: Architecture) -> list[UnitGroup]:
    """The groups of hidden units of a network, in the order of its forward pass; none where nothing is hidden.

    Any network of linear layers, convolutions, batch norms, activations, pools, sums and flattening is
    followed; the units of a residual stream are one group. Raises UserError for a network that does anything
    else, such as attention, or whose forward pass depends on its input.
    """
    with protected(), torch.no_grad():
        module = architecture.build()
        module.eval()
        try:
            followed = _Followed(architecture.name, module)
            blank = architecture.blank(2)
            followed.run(*(architecture.several.apart(blank) if architecture.several else (blank,)))
        except UserError:
            raise
        except Exception as problem:  # tracing meets foreign code, which fails in any way it likes
            first = str(problem).partition("\n")[0].partition(". ")[0]
            raise UserError(
                f"model '{architecture.name}': its hidden units cannot be followed, since its forward pass "
                f"cannot be traced ({type(problem).__name__}: {first})"
            ) from problem
    return followed.groups()


def permute(
    state: Mapping[str, Tensor], groups: Sequence[UnitGroup], permutations: Sequence[Permutation]
) -> State:
    """Copies of the tensors (weights, masks, ...) in which unit i of a group is what unit `permutation[i]` was."""
    new = {name: tensor.clone() for name, tensor in state.items()}
    for group, permutation in zip(groups, permutations, strict=True):
        for name, axis, positions in group.places:
            if name in new:
                order = permutation[:, None] * positions + np.arange(positions)
                new[name] = new[name].index_select(axis, torch.from_numpy(order.reshape(-1)))
    return new


class Units(NamedTuple):
    """What axis 1 of a tensor lists: the units of a set, each at so many positions."""

    label: int
    positions: int


class _Followed(fx.Interpreter):
    """A forward pass that notes for every tensor on its way which units its axis 1 lists.

    Sets of units are labelled by numbers; sets that turn out to be the same are merged under one.
    """

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__(fx.symbolic_trace(module))
        self.extra_traceback = False  # which would be added to the sentence of a refusal
        self.name = name
        self.names = {
            id(tensor): key for key, tensor in [*module.named_parameters(), *module.named_buffers()]
        }
        self.units: dict[fx.Node, Units] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.sizes: list[int] = []
        self.merged: list[int] = []
        self.fixed: set[int] = set()
        self.places: dict[tuple[str, int], Units] = {}

    def groups(self) -> list[UnitGroup]:
        """The sets that are neither inputs nor outputs, with what lists them."""
        fixed = {self._label(label) for label in self.fixed}
        places: dict[int, list[tuple[str, int, int]]] = {}
        for (name, axis), units in self.places.items():
            label = self._label(units.label)
            if label not in fixed:
                places.setdefault(label, []).append((name, axis, units.positions))
        return [UnitGroup(self.sizes[label], tuple(found)) for label, found in places.items()]

    def run_node(self, node: fx.Node) -> Any:
        """Run one step of the pass, then say what its result lists."""
        result = super().run_node(node)
        if isinstance(result, Tensor):
            self.shapes[node] = tuple(result.shape)
            self.units[node] = self._follow(node)
        return result

    def _follow(self, node: fx.Node) -> Units:
        shape, sources = self.shapes[node], [each for each in node.all_input_nodes if each in self.units]
        if node.op == "placeholder":
            return self._fix(self._new(shape[1]))
        if node.op == "output":
            return self._fix(self.units[sources[0]])
        if not sources:  # a parameter of the network's own, or a tensor made on the way
            self._refuse(node)
        if node.op == "call_module":
            return self._through_layer(node, self.fetch_attr(str(node.target)), sources[0])
        called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        alike = all(self._alike(source, node) for source in sources)
        if called in BETWEEN and alike:
            for other in sources[1:]:
                self._merge(node, self.units[sources[0]], self.units[other])
            return self.units[sources[0]]
        if (called in ALIKE and alike) or (called == "mean" and self._spares_units(node, sources[0])):
            return self.units[sources[0]]
        if called in RESHAPES:
            return self._flattened(node, sources[0])
        self._refuse(node)

    def _through_layer(self, node: fx.Node, layer: Any, source: fx.Node) -> Units:
        units, flat = self.units[source], len(self.shapes[source]) == 2
        if isinstance(layer, nn.Linear) and flat:
            self._list(node, layer.weight, 1, units)
            return self._written(node, layer.weight, 0, layer.bias)
        if isinstance(layer, _ConvNd) and layer.groups == 1:
            inputs, outputs = (0, 1) if isinstance(layer, _ConvTransposeNd) else (1, 0)
            self._list(node, layer.weight, inputs, units)
            return self._written(node, layer.weight, outputs, layer.bias)
        if isinstance(layer, _ConvNd) and layer.groups == layer.in_channels == layer.out_channels:
            for tensor in (layer.weight, layer.bias):  # depthwise: every unit stays itself
                self._list(node, tensor, 0, units)
            return units
        if isinstance(layer, _BatchNorm):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                self._list(node, tensor, 0, units)
            return units
        if isinstance(layer, ALIKE_LAYERS) and self._alike(source, node):
            return units
        if isinstance(layer, nn.Flatten):
            return self._flattened(node, source)
        self._refuse(node)

    def _written(self, node: fx.Node, weight: Tensor, axis: int, bias: Tensor | None) -> Units:
        """The units that a layer writes to: its own, and the same ones each time it is used."""
        units = self._new(weight.shape[axis])
        self._list(node, weight, axis, units)
        self._list(node, bias, 0, units)
        return units

    def _list(self, node: fx.Node, tensor: Tensor | None, axis: int, units: Units) -> None:
        """Note that the axis of a parameter or buffer lists these units."""
        if tensor is not None:
            self._merge(node, units, self.places.setdefault((self.names[id(tensor)], axis), units))

    def _flattened(self, node: fx.Node, source: fx.Node) -> Units:
        """Axis 1 of [batch, units, ...] made [batch, units * ...]: so many more positions per unit."""
        (batch, entries, *rest), units = self.shapes[source], self.units[source]
        if self.shapes[node] != (batch, entries * math.prod(rest)):
            self._refuse(node)
        return Units(units.label, units.positions * math.prod(rest))

    def _alike(self, source: fx.Node, node: fx.Node) -> bool:
        """Whether two tensors have equally many axes and entries along the first two: examples and units."""
        one, other = self.shapes[source], self.shapes[node]
        return len(one) == len(other) and one[:2] == other[:2]

    def _spares_units(self, node: fx.Node, source: fx.Node) -> bool:
        """Whether a mean is one over places of the image, within each unit."""
        given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        axes = [given] if isinstance(given, int) else list(given) if isinstance(given, tuple | list) else [0]
        return all(isinstance(axis, int) and axis % len(self.shapes[source]) >= 2 for axis in axes)

    def _new(self, size: int) -> Units:
        self.sizes.append(size)
        self.merged.append(len(self.merged))
        return Units(len(self.merged) - 1, 1)

    def _fix(self, units: Units) -> Units:
        self.fixed.add(units.label)
        return units

    def _label(self, label: int) -> int:
        """The label that a set has now."""
        while self.merged[label] != label:
            label = self.merged[label]
        return label

    def _merge(self, node: fx.Node, one: Units, other: Units) -> None:
        if one.positions != other.positions:
            self._refuse(node)
        self.merged[self._label(one.label)] = self._label(other.label)

    def _refuse(self, node: fx.Node) -> NoReturn:
        what = f"layer '{node.target}'" if node.op == "call_module" else f"step '{node.name}'"
        raise UserError(
            f"model '{self.name}': its hidden units cannot be followed through {what}, expected linear layers, "
            "convolutions, batch norms, activations, pools, sums and flattening only"
        )
