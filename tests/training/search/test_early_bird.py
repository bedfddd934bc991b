"""Early birds: a dense training that is watched, and the masks that are seen in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from support.cases import also_slow
from support.training_parts import kind, recipe, same, start
from tombola.errors import UserError
from tombola.files import read_tensors, write_tensors
from tombola.masks.ladder import ladder
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import Architecture
from tombola.models.state import State
from tombola.training.checkpoint import Checkpoint
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.search.base import Goal
from tombola.training.search.bird import Bird
from tombola.training.search.early_bird import EarlyBirds, Watch
from tombola.training.trained import Trained

VALIDATION = 5


class PowerError(Exception):
    """The power went out."""


def watch_of(arch: Architecture, rule: PruneRule | None = None, **options: Any) -> Watch:
    """For levels 1 and 2 of a ladder of halves."""
    rule = rule or PruneRule(rate=0.5)
    rates = rates_for(rule, arch.roles)
    rungs = ladder({n: arch.shapes[n] for n in arch.prunable}, rates, rule.allocation, 2, rule.structure)
    return Watch(EarlyBirds(**options), [Goal(rung, rates, rule) for rung in rungs[1:]])


def long(**other: Any) -> Recipe:
    return recipe(**{"iterations": 20, "evaluate_every": 5} | other)


def train(
    what: str,
    watch: Watch | None,
    *replicates: int,
    chosen: Recipe | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
    **other: Any,
) -> list[Trained]:
    arch, data, engine = kind(what)
    starts = [start(arch, r) for r in replicates or (0, 1)]
    return train_stack(
        arch,
        starts,
        data,
        chosen or long(),
        VALIDATION,
        engine=engine,
        watch=watch,
        checkpoint=checkpoint,
        progress=progress,
        **other,
    )


def largest(state: State, counts: dict[str, int]) -> dict[str, Tensor]:
    """The largest weights of each tensor; there are no ties among trained ones."""
    found = {}
    for name, count in counts.items():
        border = state[name].abs().flatten().sort(descending=True).values[count - 1]
        found[name] = state[name].abs() >= border
    return found


def assert_birds(a: Trained, b: Trained) -> None:
    assert len(a.birds) == len(b.birds)
    for one, two in zip(a.birds, b.birds, strict=True):
        assert one.mask == two.mask
        assert (one.level, one.iteration, one.drawn, one.iterations) == (
            two.level,
            two.iteration,
            two.drawn,
            two.iterations,
        )
        assert np.array_equal(one.distances, two.distances)


@pytest.mark.parametrize("what", ["mlp", "mlp sparse", "odd"])
def test_being_watched_changes_nothing(what: str) -> None:
    arch = kind(what)[0]
    for a, b in zip(train(what, watch_of(arch, every=3)), train(what, None), strict=True):
        assert same(a.end, b.end)
        assert same(a.best, b.best)
        assert a.history == b.history
        assert len(a.birds) == 2
        assert b.birds == ()


def test_looks_are_at_the_ends_of_epochs_and_at_the_end() -> None:
    """45 examples in batches of 8 are 5.6 steps."""
    assert EarlyBirds().points(long(), 45) == [6, 12, 18, 20]
    assert EarlyBirds().points(long(iterations=18), 45) == [6, 12, 18]
    assert EarlyBirds().points(long(iterations=18), 48) == [6, 12, 18]
    assert EarlyBirds().points(long(iterations=4), 45) == [4]
    assert EarlyBirds(every=7).points(long(), 45) == [7, 14, 20]
    (found,) = train("mlp", watch_of(kind("mlp")[0]), 0)
    assert [bird.iterations for bird in found.birds] == [(6, 12, 18, 20)] * 2


@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_masks_and_distances_are_those_of_the_weights_of_their_iteration(what: str) -> None:
    """Any distance is below 1, so that the second mask is taken."""
    arch = kind(what)[0]
    sparse = watch_of(arch, every=5, window=1, threshold=1.0)
    found = train(what, sparse)
    at = {t: train(what, None, snapshot_at=t) for t in (5, 10)}
    for r, trained in enumerate(found):
        for level, bird in enumerate(trained.birds, start=1):
            assert (bird.level, bird.iteration, bird.drawn) == (level, 10, True)
            counts = dict(sparse.goals[level - 1].counts)
            assert bird.mask.counts() == counts
            masks = {t: largest(many[r].snapshot or {}, counts) for t, many in at.items()}
            assert bird.mask == Mask(masks[10])
            differ = sum(int((masks[5][n] != masks[10][n]).sum()) for n in counts)
            whole = sum(math.prod(arch.shapes[n]) for n in counts)
            assert bird.distances.shape == (4, 4)
            assert bird.distances[0, 1] == bird.distances[1, 0] == differ / whole
            assert (np.diag(bird.distances) == 0).all()


def test_masks_that_never_stand_still_are_those_of_the_end() -> None:
    arch = kind("mlp")[0]
    watch = watch_of(arch, every=4, threshold=1e-9)
    for trained in train("mlp", watch, chosen=long(lr=0.1)):
        for bird, goal in zip(trained.birds, watch.goals, strict=True):
            assert (bird.iteration, bird.drawn) == (20, False)
            assert bird.mask == Mask(largest(trained.end, dict(goal.counts)))


def test_masks_that_stand_still_from_the_first_are_drawn_after_five_distances() -> None:
    arch = kind("mlp")[0]
    found = train("mlp", watch_of(arch, every=2), 0, chosen=long(lr=1e-12))
    for bird in found[0].birds:
        assert (bird.iteration, bird.drawn) == (12, True)  # looks at 2, 4, ..., 12: five distances
        assert (bird.distances == 0).all()


def test_what_ties_again_goes_again() -> None:
    """Weights that are all alike leave a random mask, the same at every look, and another one for each network."""
    arch, data, engine = kind("mlp")
    starts = [start(arch, r, state={n: torch.ones(s) for n, s in arch.shapes.items()}) for r in (0, 1)]
    chosen = long(optimizer="sgd", lr=1e-12)
    found = train_stack(arch, starts, data, chosen, VALIDATION, engine=engine, watch=watch_of(arch, every=2))
    for trained in found:
        assert all((bird.distances == 0).all() for bird in trained.birds)
        assert trained.birds[1].mask.counts() == dict(watch_of(arch).goals[1].counts)
    assert found[0].birds[0].mask != found[1].birds[0].mask


def test_global_counts_and_channels() -> None:
    arch = kind("odd")[0]
    channels = PruneRule(rate=0.5, structure="channels", rates={"output": 0.0, "idle.weight": 0.0})
    for rule in (PruneRule(rate=0.5, allocation="global"), channels):
        watch = watch_of(arch, rule)
        for trained in train("odd", watch):
            for bird, goal in zip(trained.birds, watch.goals, strict=True):
                assert bird.mask.count() == sum(goal.counts.values())
    rows = bird.mask["conv.weight"].flatten(1).float().mean(1)
    assert set(rows.tolist()) == {0.0, 1.0}


def test_a_network_does_not_depend_on_who_else_is_there() -> None:
    watch = watch_of(kind("odd")[0], every=3)
    both, alone = train("odd", watch, 0, 1), train("odd", watch, 1)
    assert_birds(both[1], alone[0])
    assert both[0].birds[0].mask != both[1].birds[0].mask


@pytest.mark.parametrize("stop", also_slow([5, 10], [0, 15]))
@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_interrupted_in_the_middle_it_sees_the_same(what: str, stop: int, tmp_path: Path) -> None:
    def cut(iteration: int) -> None:
        if iteration == stop:
            raise PowerError

    watch = watch_of(kind(what)[0], every=5 if stop == 10 else 2)
    undisturbed = train(what, watch)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    with pytest.raises(PowerError):
        train(what, watch, checkpoint=checkpoint, progress=cut)
    seen: list[int] = []
    again = Checkpoint(checkpoint.path, seconds=1e9)
    resumed = train(what, watch, checkpoint=again, progress=seen.append)
    assert seen[0] == stop, "it went on where it was"
    for a, b in zip(resumed, undisturbed, strict=True):
        assert same(a.end, b.end)
        assert_birds(a, b)


def test_a_checkpoint_of_another_watch_is_not_taken_up(tmp_path: Path) -> None:
    def cut(iteration: int) -> None:
        if iteration == 10:
            raise PowerError

    arch = kind("mlp")[0]
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    for other in (None, watch_of(arch, every=4), watch_of(arch, PruneRule(rate=0.4), every=3)):
        with pytest.raises(PowerError):
            train("mlp", watch_of(arch, every=3), checkpoint=checkpoint, progress=cut)
        seen: list[int] = []
        train("mlp", other, checkpoint=checkpoint, progress=seen.append)
        assert seen[0] == 0


def test_weights_that_are_lost_leave_no_masks() -> None:
    watch = watch_of(kind("mlp")[0], every=2)
    for trained in train("mlp", watch, chosen=long(optimizer="sgd", lr=1e30)):
        assert trained.diverged
        assert all(len(bird.iterations) < 10 for bird in trained.birds)


def test_what_was_seen_is_the_same_on_disk(tmp_path: Path) -> None:
    (trained,) = train("odd", watch_of(kind("odd")[0]), 0)
    for bird in trained.birds:
        bird.save(tmp_path / "bird.safetensors", "here")
        back = Bird.load(tmp_path / "bird.safetensors", "here")
        assert (back.level, back.iteration, back.drawn) == (bird.level, bird.iteration, bird.drawn)
        assert back.mask == bird.mask
        assert back.iterations == bird.iterations
        assert np.array_equal(back.distances, bird.distances)
    tensors, about = read_tensors(tmp_path / "bird.safetensors")
    for key, value in {"level": "1", "iteration": [1], "drawn": 1, "shapes": {"w": [-1]}}.items():
        write_tensors(tmp_path / "mask.safetensors", tensors, {**about, key: value})
        with pytest.raises(UserError, match=r"mask.safetensors: not what was seen of an early-bird ticket"):
            Bird.load(tmp_path / "mask.safetensors", "here")
    bird.mask.save(tmp_path / "mask.safetensors")
    with pytest.raises(UserError, match=r"mask.safetensors: not what was seen of an early-bird ticket"):
        Bird.load(tmp_path / "mask.safetensors", "here")


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(UserError, match="criterion 'snip' cannot: it looks at the network"):
        EarlyBirds().require(PruneRule(criterion="snip"), long())
    with pytest.raises(UserError, match=r"every is 20, so that only the end would be seen: .* \(20\)"):
        EarlyBirds(every=20).require(PruneRule(), long())
    EarlyBirds(every=19).require(PruneRule(criterion="movement", structure="channels"), long())
