"""Taking a stack from one iteration to another by the gradients of an engine: what happens between two evaluations."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from tombola.training.augment import Augment, Crops
from tombola.training.engines.base import Course, Engine, Trainer
from tombola.training.optimizer import make_optimizer
from tombola.training.recipe import TORCH


class GradientEngine(Engine):
    """An engine that gives gradients, with which steps are taken here, through torch."""

    def trainer(self, course: Course) -> Trainer:
        """One step after the other, on a GPU as a recorded graph where the data are there."""
        recorded = self.stack.device.type == "cuda" and not course.data.streamed and self.ranks is None
        recorded &= not course.recipe.optimizer.startswith(TORCH)  # whose first state need not be zero
        return Graphed(self, course) if recorded else Steps(self, course)

    @abstractmethod
    def backward(self, x: Tensor, y: Tensor, iteration: int | Tensor) -> None:
        """Leave the gradient of each network's mean cross-entropy (with the recipe's label smoothing) in `.grad`
        of the stack's parameters. `iteration` may be an int64 scalar on the device, which is never read on the host."""
        ...


class Steps(Trainer):
    """One step after the other through torch: gather, augmentation, gradients, mask, fused optimizer."""

    def __init__(self, engine: GradientEngine, course: Course) -> None:
        self.engine, self.course, self.data = engine, course, course.data
        self.recipe, self.batches = course.recipe, course.batches
        self.optimizer = make_optimizer(list(engine.stack.params.values()), self.recipe)
        groups, device = self.batches.groups, self.data.device
        self.augment = Augment(self.recipe, groups, device) if self.recipe.augments else None
        self.crops = Crops(groups) if self.recipe.resized_crop else None

    def advance(self, start: int, stop: int) -> None:
        for iteration in range(start, stop):
            self.optimizer.lr = self.recipe.lr_at(iteration)
            if self.data.streamed and iteration + 1 < stop:
                coming, ranks = self.batches.at(iteration + 1), self.engine.ranks
                crops = self._crops(coming, iteration + 1)
                own = ranks.part(coming.shape[1]) if ranks else slice(None)
                self.data.expect(coming[:, own], None if crops is None else crops[:, own])
            self.take(self.batches.at(iteration), iteration)

    def take(self, rows: Tensor, iteration: int | Tensor) -> None:
        """The step that leads from `iteration` (or an int64 scalar on the device) on a batch, int64 [G, batch]."""
        self.differentiate(rows, iteration)
        self.engine.stack.silence()
        self.optimizer.step()
        self.engine.stack.settle(self.optimizer)

    def differentiate(self, rows: Tensor, iteration: int | Tensor) -> None:
        """Leave the gradients of that step in the stack's parameters, those of dead weights too."""
        crops, ranks = self._crops(rows, iteration), self.engine.ranks
        own = ranks.part(rows.shape[1]) if ranks else slice(0, None)
        rows = rows[:, own]
        x = self.data.train(rows, None if crops is None else crops[:, own])
        if self.augment:
            self.augment.begin(iteration)
            x = self.augment(x, own.start)
        self.engine.backward(x, self.data.train_y[rows], iteration)

    def _crops(self, rows: Tensor, iteration: int | Tensor) -> Tensor | None:
        return self.crops.at(int(iteration), rows.shape[1]) if self.crops else None

    def tensors(self) -> dict[str, Tensor]:
        return self.optimizer.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.optimizer.restore(tensors)


Step = Callable[[], None]
Recorder = Callable[[Step, torch.device], Step]
"""Turns a step into one that does the same and costs less; it may run the step a few times first."""

WARMUP = 3
"""Steps before a capture, in which libraries choose kernels and set aside memory (torch's notes on CUDA graphs)."""
AHEAD = 256
"""Steps whose batches are laid out on the device at a time: seldom enough not to be seen, and a few MB at most."""


def captured(step: Step, device: torch.device) -> Step:
    """Record the kernels of a step in a CUDA graph, as torch's notes on CUDA graphs say: warm up on a side stream,
    then capture. Raises RuntimeError when the step cannot be captured."""
    with torch.cuda.device(device):
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARMUP):
                step()
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # The outer context is for a capture that fails: torch would leave its own stream behind as the current one.
        with torch.cuda.stream(current), torch.cuda.graph(graph):
            step()
    return graph.replay


class Graphed(Steps):
    """`Steps` without the host: all that differs from step to step is read from tensors on the device.

    The iteration is a counter that each step raises by one; batches are rows of a table that is filled ahead, learning
    rates a table made once. So a step is the same sequence of kernels every time and can be recorded. What warming up
    changed is undone: every step, also the first and the first after a resume, is computed by the same graph.

    Learning rates are float64 on a CPU, where the bits are those of `Steps`, and float32 on a GPU, where the fused
    optimizers read nothing else. A step that cannot be recorded is run as it is, with a warning, to the same end.
    """

    def __init__(self, engine: GradientEngine, course: Course, recorder: Recorder = captured) -> None:
        super().__init__(engine, course)
        recipe, batches = course.recipe, course.batches
        self._recorder = recorder
        self._replay: Step | None = None
        device = engine.stack.device
        # Counters are vectors of one element, which index_select takes as they are.
        self._iteration = torch.zeros(1, dtype=torch.int64, device=device)
        self._first = torch.zeros_like(self._iteration)
        self._rows = self._iteration.new_zeros(AHEAD, len(batches.groups), batches.batch)
        # Warming up at the very end goes a few steps too far.
        last = recipe.iterations - 1
        rates = [recipe.lr_at(min(t, last)) for t in range(recipe.iterations + WARMUP)]
        dtype = torch.float64 if device.type == "cpu" else torch.float32
        self._rates = torch.tensor(rates, dtype=dtype, device=device)
        self._lr = self.optimizer.lr = self._rates.new_zeros(())

    def advance(self, start: int, stop: int) -> None:
        for first in range(start, stop, AHEAD):
            last = min(first + AHEAD, stop)
            self._rows[: last - first] = self.batches.between(first, last).transpose(0, 1)
            self._first.fill_(first)
            self._iteration.fill_(first)
            if self._replay is None:
                self._replay = self._record()
            for _ in range(first, last):
                self._replay()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(tensors)
        self._replay = None  # the optimizer's state lies elsewhere now

    def _step(self) -> None:
        """The step that the counters stand at; nothing in it comes from the host."""
        rows = self._rows.index_select(0, self._iteration - self._first)[0]
        self._lr.copy_(self._rates.index_select(0, self._iteration)[0])
        self.take(rows, self._iteration[0])
        self._iteration.add_(1)

    def _record(self) -> Step:
        """The recorded step; whatever recording it has changed is as before."""
        changing = self._changing()  # held on to, so that the ids stay theirs
        before = {id(tensor): tensor.clone() for tensor in changing}
        try:
            replay = self._recorder(self._step, self.engine.stack.device)
        except RuntimeError as problem:
            why = str(problem).strip().partition("\n")[0]
            warnings.warn(f"steps run one by one, since they cannot be a CUDA graph: {why}", stacklevel=2)
            replay = self._step
        with torch.no_grad():
            for tensor in self._changing():
                # The optimizer makes its state in its first step, and a fresh state is zero.
                tensor.copy_(before[id(tensor)]) if id(tensor) in before else tensor.zero_()
        return replay

    def _changing(self) -> list[Tensor]:
        """Every tensor that a step changes for the next one to see."""
        return [*self.engine.stack.tensors().values(), *self.tensors().values(), self._iteration]
