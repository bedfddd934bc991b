"""The engine that gets faster as the mask gets sparser: multilayer perceptrons on a CPU, living weights only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tombola.models.architecture import Architecture
from tombola.training.augment import Augment
from tombola.training.engines.base import ENGINES, LEAST, Course, Demand, Engine, Job, Trainer
from tombola.training.engines.compiled import sparse_kernels
from tombola.training.engines.compiled.compiling import listen
from tombola.training.engines.compiled.sparse_layout import Floats, Ints, Living, Pace, Scales
from tombola.training.engines.mlp import layers_of
from tombola.training.recipe import CROSS_ENTROPY
from tombola.training.scoring import Examples, Score

_compiling = listen(
    sparse_kernels.__name__.rpartition(".")[0],
    "compiling the sparse engine for this machine, once; later trainings find it on disk",
)


def seconds_compiling() -> float:
    """Seconds that compiling the sparse engine took in this process; they are not a training's."""
    return _compiling.seconds


class Net(Protocol):
    """One network of a stack as the compiled loops have it."""

    @property
    def classes(self) -> int:
        """How many logits there are."""
        ...

    def read(self) -> None:
        """Take the weights from the stack."""
        ...

    def write(self) -> None:
        """Put the weights into the stack; dead ones there stay what they are."""
        ...

    def moments(self) -> dict[str, Floats]:
        """The optimizer's state before the first step."""
        ...

    def advance(
        self, moments: dict[str, Floats], laid: NDArray[Any], labels: Ints, scales: Scales, pace: Pace
    ) -> None:
        """Train on batches [steps, features, lanes] with labels [steps, batch]."""
        ...

    def score(self, blocks: NDArray[Any], labels: Ints, scales: Scales) -> tuple[float, int]:
        """Summed cross-entropy (nats) and number of hits on blocks [n, features, lanes] with labels [examples]."""
        ...

    def logits(self, x: Floats, out: Floats) -> None:
        """Logits of normalised examples [n, features] into out [n, classes]."""
        ...


def in_loops(device: torch.device, demand: Demand) -> bool:
    """Whether compiled loops over living weights train as is asked, whatever the network."""
    recipe = demand.recipe
    if device.type != "cpu" or demand.pinned or demand.moving or demand.streamed:
        return False
    if recipe.precision != "float32":
        return False
    return recipe.optimizer in ("adam", "sgd") and recipe.loss == CROSS_ENTROPY


@ENGINES.register("sparse")
class SparseEngine(Engine):
    """Multilayer perceptrons on a CPU: compiled loops over living weights, one network a core.

    Networks never meet in an operation, so each has the same bits whatever stack it is in and however many
    threads there are. Biases of all units train, also of units whose weights are all dead.
    """

    name: ClassVar[str] = "sparse"
    chunk: ClassVar[int] = 1024
    stack_size: ClassVar[int] = 32

    def __init__(self, job: Job) -> None:
        layers = job.architecture.ask(layers_of)
        assert layers is not None, "holds() was asked first"
        self.nets: Sequence[Net] = [Living(job.stack, layers, r) for r in range(job.stack.size)]
        self._take(job)

    def _take(self, job: Job) -> None:
        self.stack, self.groups = job.stack, list(job.groups)
        self._kept: dict[Examples, NDArray[Any]] = {}

    @staticmethod
    def holds(architecture: Architecture, device: torch.device, demand: Demand = LEAST) -> bool:
        if demand.recipe.augments or not in_loops(device, demand):
            return False
        return architecture.ask(layers_of) is not None and architecture.ask(_is_single)

    def trainer(self, course: Course) -> Trainer:
        return SparseTrainer(self, course)

    def logits(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).numpy()
        out = np.empty((self.stack.size, flat.shape[1], self.nets[0].classes), dtype=np.float32)

        def one(r: int) -> None:
            net = self.nets[r]
            net.read()
            rows = flat[0 if len(flat) == 1 else self.groups[r]]
            net.logits(rows, out[r])

        in_parallel(one, self.stack.size)
        return torch.from_numpy(out)

    def score(self, examples: Examples) -> Score:
        raw, shift, scale = examples.data.raw(examples.part)
        y = (examples.data.train_y if examples.part == "train" else examples.data.test_y).numpy()
        rows = np.arange(examples.count)[None] if examples.rows is None else examples.rows.numpy()
        lanes = sparse_kernels.LANES
        piece = max(1, EVALUATION_ROOM // (raw.shape[1] * raw.itemsize * lanes)) * lanes
        loss, hits = np.zeros(self.stack.size), np.zeros(self.stack.size, np.int64)
        for net in self.nets:
            net.read()
        for first in range(0, examples.count, piece):
            part = rows[:, first : first + piece]
            blocks = self._blocks(examples, raw, part)

            def one(r: int, part: NDArray[np.int64] = part, blocks: NDArray[Any] = blocks) -> None:
                net, g = self.nets[r], self.groups[r] if len(part) > 1 else 0
                found = net.score(blocks[g], y[part[g]], (shift, scale))
                loss[r] += found[0]
                hits[r] += found[1]

            in_parallel(one, self.stack.size)
        return Score(torch.from_numpy(loss / examples.count), torch.from_numpy(hits / examples.count))

    def keep(self, better: Tensor, kept: Mapping[str, Tensor]) -> None:
        # Few networks are better than ever at any one time, and here the host is the device.
        for r in np.flatnonzero(better.numpy()):
            for name, tensor in self.stack.tensors().items():
                kept[name][r].copy_(tensor[r])

    def _blocks(self, examples: Examples, raw: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """Examples laid out for the kernels, [G, blocks, features, lanes]; those that are small enough are kept, as
        the validation set is measured again and again."""
        if examples in self._kept:
            return self._kept[examples]
        count = rows.shape[1]
        whole = count // sparse_kernels.LANES
        shape = (len(rows), -(-count // sparse_kernels.LANES), raw.shape[1], sparse_kernels.LANES)
        blocks = np.zeros(shape, raw.dtype)

        def lay(g: int) -> None:
            head, tail = np.split(rows[g], [whole * sparse_kernels.LANES])
            sparse_kernels.lay_out(raw, head.reshape(whole, sparse_kernels.LANES), blocks[g, :whole])
            if len(tail):
                sparse_kernels.lay_out(raw, tail[None], blocks[g, whole:])

        in_parallel(lay, len(rows))
        if count == examples.count:
            self._kept[examples] = blocks
        return blocks


def _is_single(architecture: Architecture) -> bool:
    """Whether all parameters are float32."""
    return all(parameter.dtype == torch.float32 for parameter in architecture.build().parameters())


class SparseTrainer(Trainer):
    """Whole runs of steps in compiled code, network by network, one a core.

    Networks of a group see the same batches, so these are laid out once for all of them.
    """

    def __init__(self, engine: SparseEngine, course: Course) -> None:
        recipe, data = course.recipe, course.data
        self.engine, self.recipe, self.batches = engine, recipe, course.batches
        self.raw, shift, scale = data.raw("train")
        self.scales = shift, scale
        self.data, self.labels = data, data.train_y.numpy()
        self.augment = Augment(recipe, course.batches.groups, data.device) if recipe.augments else None
        if self.augment:  # which takes normalised images
            self.scales = np.zeros_like(shift), np.ones_like(scale)
        self._laid = np.empty(0, np.float32 if self.augment else self.raw.dtype)
        self.moments = [net.moments() for net in engine.nets]
        self.rule = sparse_kernels.Rule(
            recipe.optimizer == "adam", *recipe.betas, recipe.eps, recipe.momentum, recipe.nesterov,
            recipe.weight_decay, recipe.label_smoothing,
        )  # fmt: skip

    def advance(self, start: int, stop: int) -> None:
        lanes = _up(self.recipe.batch, sparse_kernels.LANES)
        stride = max(1, ROOM // (lanes * self.raw.shape[1] * self._laid.itemsize))
        in_parallel(lambda r: self.engine.nets[r].read(), self.engine.stack.size)
        for first in range(start, stop, stride):
            self._advance(first, min(first + stride, stop), lanes)
        in_parallel(lambda r: self.engine.nets[r].write(), self.engine.stack.size)

    def _advance(self, start: int, stop: int, lanes: int) -> None:
        steps = range(start, stop)
        rows = self.batches.between(start, stop).contiguous().numpy()
        rates = np.array([self.recipe.lr_at(t) for t in steps])
        pace = Pace(rates, self.rule, start - self.engine.stack.iteration)
        features = self.raw.shape[1]
        size = len(rows) * len(steps) * features * lanes
        if len(self._laid) < size:  # kept, since fresh memory costs more than what is written into it
            self._laid = np.empty(size, self._laid.dtype)
        laid = self._laid[:size].reshape(len(rows), len(steps), features, lanes)

        def lay(g: int) -> None:
            sparse_kernels.lay_out(self.raw, rows[g], laid[g])

        def one(r: int) -> None:
            net, g = self.engine.nets[r], self.engine.groups[r]
            net.advance(self.moments[r], laid[g], self.labels[rows[g]], self.scales, pace)

        if self.augment:
            self._lay_changed(self.augment, steps, rows, laid)
        else:
            in_parallel(lay, len(rows))
        in_parallel(one, self.engine.stack.size)

    def _lay_changed(self, augment: Augment, steps: range, rows: Ints, laid: Floats) -> None:
        """Batches of images that were flipped and cropped, laid out as `lay_out` does."""
        laid[..., rows.shape[2] :] = 0
        for s, iteration in enumerate(steps):
            augment.begin(iteration)
            images = augment(self.data.train(torch.from_numpy(rows[:, s]))).flatten(2)
            laid[:, s, :, : rows.shape[2]] = images.numpy().transpose(0, 2, 1)

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{r}.{name}": torch.from_numpy(state)
            for r, moments in enumerate(self.moments)
            for name, state in moments.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for r, moments in enumerate(self.moments):
            for name, state in moments.items():
                state[:] = tensors[f"{r}.{name}"].numpy()


EVALUATION_ROOM = 20_000_000
"""Bytes of a group's examples that are laid out at a time to be measured: 5,000 images of 32 x 32 x 3."""

ROOM = 8_000_000
"""Bytes of a group's batches that are laid out at a time: about a hundred steps on images of 28 x 28."""


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def in_parallel(work: Callable[[int], Any], count: int) -> None:
    """Call work(0), ..., work(count - 1), one a core; the first error is raised."""
    list(_pool(torch.get_num_threads()).map(work, range(count)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # Subnormal numbers cost a CPU many times a normal one; the setting belongs to a thread, so each makes it.
    return ThreadPoolExecutor(threads, "tombola", initializer=torch.set_flush_denormal, initargs=(True,))
