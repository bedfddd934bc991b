"""The training loop, read top to bottom: R networks, one recipe, no word to the host until the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from tombola.data.resident import Resident
from tombola.files import canonical, digest_of
from tombola.metrics import METRICS
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.training.batches import Batches, Group, groups_of
from tombola.training.checkpoint import Checkpoint
from tombola.training.device import say_if_emulated
from tombola.training.engines.base import Course, Demand, Engine, Job, Trainer
from tombola.training.engines.select import choose
from tombola.training.foreign_noise import require_batch
from tombola.training.loss import require_kind
from tombola.training.parallel import Ranks, size_of
from tombola.training.recipe import Recipe
from tombola.training.record import Record
from tombola.training.search.base import Search
from tombola.training.search.early_bird import Watch, Watching
from tombola.training.stack import Stack, require_same_shapes
from tombola.training.start import Start
from tombola.training.trained import Trained


def train_stack(
    architecture: Architecture,
    starts: Sequence[Start],
    data: Resident,
    recipe: Recipe,
    validation: int | float,
    *,
    engine: str = "auto",
    search: Search | None = None,
    watch: Watch | None = None,
    snapshot_at: int | None = None,
    until: int | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
    ranks: Ranks | None = None,
) -> list[Trained]:
    """Train the networks of one stack from their starts to the recipe's last iteration, or `until` one before it.

    Selection (the early stop) sees the validation split alone. With a `search` the training finds masks, beginning from
    those that `search.start` gave the starts; a `watch` only looks at it, and may end it as soon as the masks that it
    makes stand still, the snapshot being taken. `progress` is called with the iteration at every evaluation. Of several
    processes (`ranks`) each calls this alike, the first alone with a checkpoint. Raises
    UserError when a start does not fit the architecture, or the recipe or a start does not fit the engine.
    """
    net, groups, course = _set_up(
        architecture, starts, data, recipe, validation, engine, moving=search is not None, ranks=ranks
    )
    stack = net.stack
    if search is None:
        trainer, selects_from = net.trainer(course), 0
    else:
        trainer = search.method.trainer(net, course, starts, search.goal)
        selects_from = search.method.selects_from(recipe)
    record = Record(net, stack, data, groups, recipe, selects_from)
    watching = Watching(watch, stack, starts, recipe, course.batches.length) if watch else None
    first = stack.iteration
    asked = [
        net.name,
        snapshot_at,
        search.describe() if search else None,
        watch.describe() if watch else None,
        *([] if until is None else [until]),
    ]
    key = _key(architecture, starts, data, recipe, validation, asked) if checkpoint else ""
    kept = checkpoint.read(key) if checkpoint else None
    if kept := ranks.share(kept) if ranks else kept:
        first = _resume(kept, stack, trainer, record, watching)

    stops = {*record.points, *(watching.points if watching else ())}
    stops |= set() if snapshot_at is None else {snapshot_at}
    last, end = recipe.iterations if until is None else until, first
    for iteration, stop in pairwise(sorted({last, *(t for t in stops if first <= t < last)})):
        if record.evaluates(iteration):
            if checkpoint and checkpoint.due():
                checkpoint.write(iteration, _tensors(stack, trainer, record, watching), key)
            record.evaluate(iteration)
            if progress:
                progress(iteration)
        if iteration == snapshot_at:
            record.take_snapshot()
        if watching:
            watching.see(iteration)
            if watching.still() and iteration >= (snapshot_at or 0):
                end = iteration
                break
        trainer.advance(iteration, stop)
        end = stop
    if watching and end == last:
        watching.see(last)
    if end == snapshot_at:
        record.take_snapshot()
    record.end_at(end)
    if progress:
        progress(last)
    trained = record.finish(trainer.masks())
    if watching:
        trained = [replace(t, birds=birds) for t, birds in zip(trained, watching.birds(), strict=True)]
    if checkpoint:
        checkpoint.clear()
    return trained


def first_steps(
    architecture: Architecture,
    starts: Sequence[Start],
    data: Resident,
    recipe: Recipe,
    validation: int | float,
    points: Sequence[int],
    *,
    engine: str = "auto",
) -> list[dict[int, State]]:
    """The states of each network of a stack at these iterations, trained as `train_stack` trains it, and no further.

    Raises UserError as that does.
    """
    net, _, course = _set_up(architecture, starts, data, recipe, validation, engine)
    trainer, now = net.trainer(course), net.stack.iteration
    found: list[dict[int, State]] = [{} for _ in starts]
    for point in sorted(points):
        if point > now:
            trainer.advance(now, point)
            now = point
        for r, states in enumerate(found):
            states[point] = net.stack.state(r)
    return found


def _set_up(
    architecture: Architecture,
    starts: Sequence[Start],
    data: Resident,
    recipe: Recipe,
    validation: int | float,
    engine: str,
    moving: bool = False,
    ranks: Ranks | None = None,
) -> tuple[Engine, list[Group], Course]:
    """The engine that holds the networks of a stack, the groups that see one batch each, and what they train on."""
    require_same_shapes(architecture, starts)
    require_kind(METRICS[recipe.metric], data.name, data.train_y)
    say_if_emulated(recipe, data.device)
    require_batch(architecture, recipe)
    stack = Stack(architecture, starts, data.device, moving)
    groups, index = groups_of(starts, data.n_train, validation)
    keys = [start.seeds.key("dropout", start.level) for start in starts]
    demand = Demand(
        recipe, any(start.pinned for start in starts), stack.moving, data.streamed, size_of(ranks)
    )
    kind = choose(engine, architecture, data.device, demand)
    net = kind(Job(architecture, stack, index, keys, recipe, ranks))
    return net, groups, Course(recipe, Batches(groups, recipe.batch, data.device), data)


def _key(
    architecture: Architecture,
    starts: Sequence[Start],
    data: Resident,
    recipe: Recipe,
    validation: int | float,
    asked: list[Any],
) -> str:
    """What a checkpoint must agree on to be this stack's."""
    networks = [
        [list(s.seeds.path), s.level, s.iteration, digest_of(s.masked_state()), digest_of(s.mask.pack())]
        for s in starts
    ]
    examples = [data.name, list(data.shape), data.n_train, data.n_test, validation]
    return canonical([architecture.name, networks, examples, [recipe.model_dump(mode="json"), *asked]])


def _tensors(stack: Stack, trainer: Trainer, record: Record, watching: Watching | None) -> dict[str, Tensor]:
    named = {f"stack/{n}": t for n, t in stack.tensors().items()}
    named |= {f"optimizer/{n}": t for n, t in trainer.tensors().items()}
    named |= {f"watch/{n}": t for n, t in (watching.tensors() if watching else {}).items()}
    return named | {f"record/{n}": t for n, t in record.tensors.items()}


def _resume(
    kept: tuple[int, dict[str, Tensor]],
    stack: Stack,
    trainer: Trainer,
    record: Record,
    watching: Watching | None,
) -> int:
    iteration, tensors = kept
    parts: dict[str, dict[str, Tensor]] = {"stack": {}, "optimizer": {}, "record": {}, "watch": {}}
    for name, tensor in tensors.items():
        place, _, rest = name.partition("/")
        parts[place][rest] = tensor
    stack.load(parts["stack"])
    trainer.restore(parts["optimizer"])
    if watching:
        watching.restore(parts["watch"])
    record.tensors = {name: tensor.to(stack.device) for name, tensor in parts["record"].items()}
    return iteration
