"""The training loop, read top to bottom: R networks, one recipe, no word to the host until the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from tombola.data import Resident, split
from tombola.files import canonical, digest_of
from tombola.models import Architecture
from tombola.training.batches import Batches, Group
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines import choose
from tombola.training.recipe import Recipe
from tombola.training.record import Record, Trained
from tombola.training.stack import Stack, Start, require_same_shapes
from tombola.training.trainer import Trainer


def train_stack(
    architecture: Architecture,
    starts: Sequence[Start],
    data: Resident,
    recipe: Recipe,
    validation: int | float,
    *,
    engine: str = "auto",
    snapshot_at: int | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Train the networks of one stack from their starts to the recipe's last iteration.

    Selection (the early stop) sees the validation split alone. `progress` is called with the iteration at
    every evaluation. Raises UserError when a start does not fit the architecture, or the recipe or a start does not
    fit the engine.
    """
    require_same_shapes(architecture, starts)
    stack = Stack(architecture, starts, data.device)
    groups, index = _groups(starts, data.n_train, validation)
    keys = [start.seeds.key("dropout", start.level) for start in starts]
    pinned = any(start.pinned for start in starts)
    kind = choose(engine, architecture, data.device, recipe, pinned)
    net = kind(architecture, stack, index, keys, recipe)
    trainer = net.trainer(recipe, Batches(groups, recipe.batch, data.device), data)
    record = Record(net, stack, data, groups, recipe)
    first = stack.iteration
    key = _key(architecture, starts, data, recipe, validation, net.name, snapshot_at) if checkpoint else ""
    if checkpoint and (kept := checkpoint.read(key)):
        first = _resume(kept, stack, trainer, record)

    stops = {*record.points} if snapshot_at is None else {*record.points, snapshot_at}
    for iteration, stop in pairwise(sorted(t for t in stops if t >= first)):
        if record.evaluates(iteration):
            if checkpoint and checkpoint.due():
                checkpoint.write(iteration, _tensors(stack, trainer, record), key)
            record.evaluate(iteration)
            if progress:
                progress(iteration)
        if iteration == snapshot_at:
            record.take_snapshot()
        trainer.advance(iteration, stop)
    record.evaluate(recipe.iterations)
    if progress:
        progress(recipe.iterations)
    trained = record.finish()
    if checkpoint:
        checkpoint.clear()
    return trained


def _groups(starts: Sequence[Start], n_train: int, validation: int | float) -> tuple[list[Group], list[int]]:
    """The groups of a stack in order of appearance, and which of them each network belongs to."""
    known: dict[tuple[Any, int], int] = {}
    groups: list[Group] = []
    for start in starts:
        name = (start.seeds, start.level)
        if name not in known:
            known[name] = len(groups)
            parts = split(n_train, validation, start.seeds.stream("split"))
            groups.append(Group(start.seeds, start.level, parts))
    return groups, [known[start.seeds, start.level] for start in starts]


def _key(
    architecture: Architecture,
    starts: Sequence[Start],
    data: Resident,
    recipe: Recipe,
    validation: int | float,
    engine: str,
    snapshot_at: int | None,
) -> str:
    """What a checkpoint must agree on to be this stack's."""
    networks = [
        [list(s.seeds.root), s.level, s.iteration, digest_of(s.masked_state()), digest_of(s.mask.pack())]
        for s in starts
    ]
    examples = [data.name, list(data.shape), data.n_train, data.n_test, validation]
    asked = [recipe.model_dump(mode="json"), engine, snapshot_at]
    return canonical([architecture.name, networks, examples, asked])


def _tensors(stack: Stack, trainer: Trainer, record: Record) -> dict[str, Tensor]:
    named = {f"stack/{n}": t for n, t in stack.tensors().items()}
    named |= {f"optimizer/{n}": t for n, t in trainer.tensors().items()}
    return named | {f"record/{n}": t for n, t in record.tensors.items()}


def _resume(kept: tuple[int, dict[str, Tensor]], stack: Stack, trainer: Trainer, record: Record) -> int:
    iteration, tensors = kept
    parts: dict[str, dict[str, Tensor]] = {"stack": {}, "optimizer": {}, "record": {}}
    for name, tensor in tensors.items():
        place, _, rest = name.partition("/")
        parts[place][rest] = tensor
    stack.load(parts["stack"])
    trainer.restore(parts["optimizer"])
    record.tensors = {name: tensor.to(stack.device) for name, tensor in parts["record"].items()}
    return iteration
