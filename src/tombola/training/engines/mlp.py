"""The engine for multilayer perceptrons: every layer of the whole stack is one batched matrix product."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from tombola.models.architecture import Architecture
from tombola.training.engines.base import ENGINES, LEAST, Demand, Job, autocast, takes, widened
from tombola.training.engines.chain import Layer, chain
from tombola.training.engines.steps import GradientEngine


def layers_of(architecture: Architecture) -> list[Layer] | None:
    """The `chain` of an architecture; `architecture.ask(layers_of)` works it out once."""
    return chain(architecture.build())


@ENGINES.register("mlp")
class MlpEngine(GradientEngine):
    """Flatten, Linear and ReLU in a row: batched matrix products with the gradients written by hand.

    Networks of one group share their batch, so their first layer is one wider product: [batch, in] times
    [in, arms * out]. Writing the backward pass by hand saves a third of the time that autograd takes at
    these sizes, and leaves the gradients where the optimizer reads them.
    """

    name: ClassVar[str] = "mlp"
    chunk: ClassVar[int] = 1000
    stack_size: ClassVar[int] = 32

    def __init__(self, job: Job) -> None:
        layers = job.architecture.ask(layers_of)
        assert layers is not None, "holds() was asked first"
        self.stack, self.layers, self.recipe = job.stack, layers, job.recipe
        self.groups = torch.tensor(list(job.groups), device=job.stack.device)
        count = max(job.groups) + 1
        # Arms of a replicate stand side by side, so equal groups are a reshape of the stack's axis.
        arms = job.stack.size // count
        even = list(job.groups) == [r // arms for r in range(count * arms)]
        self._count = count if even else job.stack.size

    @staticmethod
    def holds(architecture: Architecture, device: torch.device, demand: Demand = LEAST) -> bool:
        return takes(demand.recipe, device) and architecture.ask(layers_of) is not None

    def _spread(self, x: Tensor) -> Tensor:
        """[G, batch, ...] -> [G', batch, features], where G' divides the stack evenly."""
        flat = x.flatten(2)
        return flat if flat.shape[0] in (1, self._count) else flat[self.groups]

    def _forward(self, x: Tensor) -> list[Tensor]:
        """Input of each layer, then the logits; the first is [G', batch, in], the others [R, batch, units]."""
        inputs = [x]
        for index, layer in enumerate(self.layers):
            weight = self.stack.params[layer.weight]
            if index == 0:
                out = self._first(x, weight)
                if layer.bias:
                    out.add_(self.stack.params[layer.bias].unsqueeze(1))
            elif layer.bias:
                out = torch.baddbmm(self.stack.params[layer.bias].unsqueeze(1), inputs[-1], weight.mT)
            else:
                out = torch.bmm(inputs[-1], weight.mT)
            inputs.append(out.relu_() if layer.relu else out)
        return inputs

    def _first(self, x: Tensor, weight: Tensor) -> Tensor:
        """First layer: the networks of a group as one product. x [G', batch, in] -> [R, batch, units]."""
        groups, (size, units, features) = x.shape[0], weight.shape
        wide = torch.bmm(x, weight.view(groups, -1, features).mT)
        return wide.view(groups, -1, size // groups, units).transpose(1, 2).reshape(size, -1, units)

    def _first_gradient(self, delta: Tensor, x: Tensor) -> Tensor:
        """Gradient of the first weight, [R, units, in], from delta [R, batch, units] and x [G', batch, in]."""
        groups, (size, batch, units) = x.shape[0], delta.shape
        wide = delta.view(groups, size // groups, batch, units).transpose(2, 3)
        return torch.bmm(wide.reshape(groups, -1, batch), x).view(size, units, -1)

    @torch.no_grad()
    def backward(self, x: Tensor, y: Tensor, iteration: int | Tensor) -> None:
        with autocast(self.recipe, self.stack.device):
            inputs = self._forward(self._spread(x))
            targets = y.expand(self.stack.size, -1) if y.shape[0] == 1 else y[self.groups]
            delta = self._error(widened(inputs.pop()), targets)
            for index in range(len(self.layers) - 1, -1, -1):
                delta = self._layer_back(index, inputs, delta)

    def _error(self, logits: Tensor, targets: Tensor) -> Tensor:
        """d(mean cross-entropy)/d(logits) = (softmax - target) / batch; logits [R, batch, classes]. The target is
        one-hot, mixed with the uniform distribution in the share of the recipe's label smoothing."""
        smoothing = self.recipe.label_smoothing
        delta = torch.softmax(logits, dim=-1)
        hot = delta.new_full((1, 1, 1), smoothing - 1.0).expand(*targets.shape, 1)
        delta.scatter_add_(2, targets.unsqueeze(2), hot)
        if smoothing:
            delta.sub_(smoothing / delta.shape[-1])
        return delta.div_(targets.shape[1])

    def _layer_back(self, index: int, inputs: list[Tensor], delta: Tensor) -> Tensor:
        """Leave the gradients of a layer, in its weights' own precision; returns the error of the layer below."""
        layer, below = self.layers[index], inputs[index]
        weight = self.stack.params[layer.weight]
        if layer.bias:
            self.stack.params[layer.bias].grad = delta.sum(1, dtype=weight.dtype)
        if index == 0:
            weight.grad = self._first_gradient(delta, below).to(weight.dtype)
            return delta
        weight.grad = torch.bmm(delta.mT, below).to(weight.dtype)
        delta = torch.bmm(delta, weight)
        return delta.mul_(below > 0) if self.layers[index - 1].relu else delta

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        with autocast(self.recipe, self.stack.device):
            return widened(self._forward(self._spread(x))[-1])
