"""The engine that gets faster as the mask gets sparser: multilayer perceptrons on a CPU, living weights only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tombola.data import Resident
from tombola.errors import UserError
from tombola.models import Architecture
from tombola.training.batches import Batches
from tombola.training.engines.base import ENGINES, Engine
from tombola.training.engines.mlp import Layer, chain
from tombola.training.recipe import Recipe
from tombola.training.stack import Stack
from tombola.training.trainer import Trainer

try:
    from tombola.training.engines import kernels
except ImportError:  # pragma: no cover - numba has wheels for Linux and macOS only
    kernels = None  # type: ignore[assignment]


@ENGINES.register("sparse")
class SparseEngine(Engine):
    """Multilayer perceptrons on a CPU: compiled loops over living weights, one network a core.

    Networks never meet in an operation, so each has the same bits whatever stack it is in and however many
    threads there are. Biases of all units train, also of units whose weights are all dead.
    """

    name: ClassVar[str] = "sparse"
    chunk: ClassVar[int] = 1024
    stack_size: ClassVar[int] = 32

    def __init__(
        self, architecture: Architecture, stack: Stack, groups: Sequence[int], dropout_keys: Sequence[int]
    ) -> None:
        layers = chain(architecture.build())
        assert layers is not None, "holds() was asked first"
        if stack.pins:
            raise UserError("engine 'sparse' holds dead weights at zero only; use --engine mlp for this arm")
        self.stack, self.groups = stack, list(groups)
        self.nets = [Net(stack, layers, r) for r in range(stack.size)]

    @staticmethod
    def holds(architecture: Architecture, device: torch.device) -> bool:
        if kernels is None or device.type != "cpu":
            return False
        module = architecture.build()
        return chain(module) is not None and all(p.dtype == torch.float32 for p in module.parameters())

    def trainer(self, recipe: Recipe, batches: Batches, data: Resident) -> Trainer:
        return SparseTrainer(self, recipe, batches, data)

    def backward(self, x: Tensor, y: Tensor, iteration: int) -> None:
        raise NotImplementedError("the sparse engine takes its steps whole, in SparseTrainer")

    def logits(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).numpy()
        out = np.empty((self.stack.size, flat.shape[1], self.nets[0].classes), dtype=np.float32)

        def one(r: int) -> None:
            net = self.nets[r]
            net.read()
            rows = flat[0 if len(flat) == 1 else self.groups[r]]
            kernels.logits(
                rows, net.active, net.inputs, net.ptr, net.source, net.relu, net.w, net.bias, out[r]
            )

        in_parallel(one, self.stack.size)
        return torch.from_numpy(out)


class Net:
    """One network of a stack as flat arrays of living weights (see kernels.py for the layout)."""

    def __init__(self, stack: Stack, layers: Sequence[Layer], r: int) -> None:
        self._views: list[tuple[NDArray[np.float32], NDArray[np.int64], slice]] = []
        self._biases: list[tuple[NDArray[np.float32], slice]] = []
        ptr, relu, biased = [0], list[bool](), list[bool]()
        source: list[NDArray[np.int64]] = []
        below, place = 0, 0  # the number of the first unit that a layer reads, and of its weights so far
        for layer in layers:
            weight = stack.params[layer.weight][r].numpy()
            units, features = weight.shape
            mask = stack.masks.get(layer.weight)
            alive = np.ones(weight.shape, bool) if mask is None else mask[r].numpy().astype(bool)
            at, reads = np.flatnonzero(alive), np.nonzero(alive)[1]
            self._views.append((weight.reshape(-1), at, slice(place, place + len(at))))
            ptr += (place + np.cumsum(alive.sum(1))).tolist()
            source.append(below + reads)
            if layer.bias:
                self._biases.append(
                    (stack.params[layer.bias][r].numpy(), slice(len(relu), len(relu) + units))
                )
            relu += [layer.relu] * units
            biased += [layer.bias is not None] * units
            place, below = place + len(at), below + features
        self.inputs, self.classes = stack.params[layers[0].weight].shape[2], units
        self.ptr, self.source = np.array(ptr, np.int64), np.concatenate(source).astype(np.int32)
        self.relu, self.biased = np.array(relu), np.array(biased)
        used = np.unique(self.source).astype(np.int64)
        self.active = used[used < self.inputs]
        self.w, self.bias = np.empty(place, np.float32), np.zeros(len(relu), np.float32)
        self.read()

    def read(self) -> None:
        """Take the weights from the stack."""
        for weight, at, part in self._views:
            self.w[part] = weight[at]
        for bias, part in self._biases:
            self.bias[part] = bias

    def write(self) -> None:
        """Put the weights into the stack; dead ones there stay what they are."""
        for weight, at, part in self._views:
            weight[at] = self.w[part]
        for bias, part in self._biases:
            bias[:] = self.bias[part]


class SparseTrainer(Trainer):
    """Whole runs of steps in compiled code, network by network, one a core."""

    def __init__(self, engine: SparseEngine, recipe: Recipe, batches: Batches, data: Resident) -> None:
        self.engine, self.recipe, self.batches = engine, recipe, batches
        self.raw, self.shift, self.scale = data.raw()
        self.labels = data.train_y.numpy()
        self.moments = [np.zeros((2, len(net.w)), np.float32) for net in engine.nets]
        self.bias_moments = [np.zeros((2, len(net.bias)), np.float32) for net in engine.nets]
        adam = recipe.optimizer == "adam"
        self.settings = np.array(
            [adam, *recipe.betas, recipe.eps, recipe.momentum, recipe.nesterov, recipe.weight_decay],
            np.float64,
        )

    def advance(self, start: int, stop: int) -> None:
        steps = range(start, stop)
        rows = torch.stack([self.batches.at(t) for t in steps]).transpose(0, 1).contiguous().numpy()
        rates = np.array([self.recipe.lr_at(t) for t in steps])
        taken = start - self.engine.stack.iteration

        def one(r: int) -> None:
            net = self.engine.nets[r]
            net.read()
            kernels.advance(
                self.raw,
                self.labels,
                rows[self.engine.groups[r]],
                self.shift,
                self.scale,
                net.active,
                np.array([net.inputs, len(net.bias), net.classes]),
                net.ptr,
                net.source,
                net.relu,
                net.biased,
                net.w,
                net.bias,
                self.moments[r],
                self.bias_moments[r],
                rates,
                self.settings,
                taken,
            )
            net.write()

        in_parallel(one, self.engine.stack.size)

    def tensors(self) -> dict[str, Tensor]:
        named = {f"{r}.weights": torch.from_numpy(state) for r, state in enumerate(self.moments)}
        return named | {f"{r}.biases": torch.from_numpy(state) for r, state in enumerate(self.bias_moments)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for r in range(len(self.moments)):
            self.moments[r][:] = tensors[f"{r}.weights"].numpy()
            self.bias_moments[r][:] = tensors[f"{r}.biases"].numpy()


def in_parallel(work: Callable[[int], Any], count: int) -> None:
    """Call work(0), ..., work(count - 1), one a core; the first error is raised."""
    list(_pool(torch.get_num_threads()).map(work, range(count)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # Subnormal numbers cost a CPU many times a normal one; the setting belongs to a thread, so each makes it.
    return ThreadPoolExecutor(threads, "tombola", initializer=torch.set_flush_denormal, initargs=(True,))
