"""Searches through `train_stack`: what they end with, what they refuse, and going on after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.cases import also_slow
from support.search_parts import VALIDATION, long, search, starts_of
from support.training_parts import CPU, kind, same
from tombola.errors import UserError
from tombola.masks.rule import PruneRule
from tombola.training.checkpoint import Checkpoint
from tombola.training.engines.base import ENGINES, Demand
from tombola.training.engines.select import choose
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES, Search
from tombola.training.trained import Trained

NAMES = ["gradual", "set", "rigl"]


class PowerError(Exception):
    """The power went out."""


def train(
    what: str,
    name: str,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
    chosen: Recipe | None = None,
    **options: Any,
) -> list[Trained]:
    arch, data, engine = kind(what)
    sought = search(arch, name, **options)
    return train_stack(
        arch,
        starts_of(arch, sought, 0, 1),
        data,
        chosen or long(weight_decay=0.01),
        VALIDATION,
        engine=engine,
        search=sought,
        checkpoint=checkpoint,
        progress=progress,
    )


def assert_same(a: Trained, b: Trained) -> None:
    assert same(a.end, b.end)
    assert same(a.best, b.best)
    assert a.mask == b.mask
    assert a.history == b.history


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_what_is_found_is_the_mask_of_the_end(what: str, name: str) -> None:
    arch = kind(what)[0]
    counts = search(arch, name).goal.counts
    for trained in train(what, name):
        assert trained.mask is not None
        assert trained.mask.counts() == counts
        assert same(trained.mask.apply(trained.end), trained.end)
        assert not trained.diverged
        assert trained.iterations == 20


def test_an_ordinary_training_finds_none() -> None:
    arch, data, engine = kind("mlp")
    starts = starts_of(arch, search(arch, "set"), 0)
    assert train_stack(arch, starts, data, long(), VALIDATION, engine=engine)[0].mask is None


SGD = long(optimizer="sgd", lr=0.1, momentum=0.9)


@cache
def by_momentum(what: str, name: str) -> list[Trained]:
    """A search that nobody disturbed."""
    return train(what, name, chosen=SGD)


@pytest.mark.parametrize("stop", also_slow([0, 10], [5, 15]))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_interrupted_in_the_middle_it_ends_with_the_same_bits(
    what: str, name: str, stop: int, tmp_path: Path
) -> None:
    def cut(iteration: int) -> None:
        if iteration == stop:
            raise PowerError

    undisturbed = by_momentum(what, name)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    with pytest.raises(PowerError):
        train(what, name, checkpoint, cut, SGD)
    assert checkpoint.path.exists()
    seen: list[int] = []
    resumed = train(what, name, Checkpoint(checkpoint.path, seconds=1e9), seen.append, SGD)
    assert seen[0] == stop, "it went on where it was"
    for a, b in zip(resumed, undisturbed, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("other", [{"every": 3}, {"fraction": 0.2}, {"rule": PruneRule(rate=0.4)}])
def test_a_checkpoint_of_another_search_is_not_taken_up(other: dict[str, Any], tmp_path: Path) -> None:
    def cut(iteration: int) -> None:
        if iteration == 10:
            raise PowerError

    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    with pytest.raises(PowerError):
        train("mlp", "set", checkpoint, cut)
    seen: list[int] = []
    found = train("mlp", "set", checkpoint, seen.append, **other)
    assert seen[0] == 0
    for a, b in zip(found, train("mlp", "set", **other), strict=True):
        assert_same(a, b)


def test_the_early_stop_of_gradual_pruning_has_the_final_count() -> None:
    """High learning rates make the first evaluations the best ones, which are of networks that are too dense."""
    worse = long(lr=0.3, evaluate_every=2)
    for trained in train("mlp", "gradual", chosen=worse):
        rows = zip(
            trained.history["iteration"], trained.history["split"], trained.history["loss"], strict=True
        )
        losses = {at: loss for at, part, loss in rows if part == "validation"}
        assert min(losses, key=losses.__getitem__) <= 15, "or this shows nothing"
        late = {
            at: loss for at, loss in losses.items() if at > 12
        }  # at 12 it is measured before it is pruned
        assert trained.early_stop_iteration == min(late, key=late.__getitem__)
        assert trained.early_stop_val_loss == min(late.values())
        assert trained.mask is not None
        assert same(trained.mask.apply(trained.best), trained.best)


def test_an_evaluation_is_made_before_the_pruning_of_its_iteration() -> None:
    assert SEARCHES["gradual"](end=0.6).selects_from(long()) == 13, "at 12 the network is still too dense"
    assert SEARCHES["set"]().selects_from(long()) == SEARCHES["rigl"]().selects_from(long()) == 0


def test_other_seeds_find_other_masks_and_the_same_seed_the_same() -> None:
    for name in NAMES:
        first, again = train("odd", name), train("odd", name)
        assert [t.mask for t in first] == [t.mask for t in again]
        assert first[0].mask != first[1].mask


def test_engines_that_read_masks_once_are_not_for_searches() -> None:
    arch = kind("mlp")[0]
    assert choose("auto", arch, CPU, Demand(moving=True)) is ENGINES["mlp"]
    assert choose("auto", arch, CPU) is ENGINES["sparse"]
    with pytest.raises(
        UserError, match="engine 'sparse' cannot train networks whose masks change while they train"
    ):
        train("mlp sparse", "set")


RULES: list[tuple[str, dict[str, Any], PruneRule, str]] = [
    ("gradual", {}, PruneRule(criterion="snip"), "criterion 'snip'"),
    ("gradual", {}, PruneRule(structure="2:4"), "structure '2:4'"),
    ("gradual", {"begin": 0.8, "end": 0.5}, PruneRule(), "begins at iteration 16 and ends at 10 of 20"),
    ("gradual", {"begin": 0.41, "end": 0.44}, PruneRule(), "begins at iteration 8 and ends at 8 of 20"),
    ("set", {}, PruneRule(criterion="movement"), "grows them at random, found criterion 'movement'"),
    ("rigl", {}, PruneRule(criterion="random"), "grows them by gradient, found criterion 'random'"),
    ("rigl", {}, PruneRule(structure="channels"), "found structure 'channels'"),
    ("set", {"every": 15}, PruneRule(), "every is 15, so that no mask would change: expected less than 15"),
    ("rigl", {"until": 0.1}, PruneRule(), "expected less than 2"),
]


@pytest.mark.parametrize(("name", "options", "rule", "words"), RULES)
def test_what_cannot_work_is_refused(name: str, options: dict[str, Any], rule: PruneRule, words: str) -> None:
    method = SEARCHES[name](**{"every": 2} | options)
    with pytest.raises(UserError, match=words):
        method.require(rule, long())


def test_what_can_work_is_not_refused() -> None:
    SEARCHES["gradual"]().require(PruneRule(criterion="movement", structure="channels"), long())
    SEARCHES["set"](every=14).require(PruneRule(allocation="erk"), long())
    SEARCHES["rigl"](every=19, until=1.0).require(PruneRule(), long())


def test_shares_of_a_training_are_exact() -> None:
    """0.29 of 100 is 29, though 0.29 * 100 is less in floating point."""
    points = SEARCHES["gradual"](every=1000, end=0.29).points(long(iterations=100))
    assert points == [29]


def test_a_search_says_what_it_is() -> None:
    arch = kind("mlp")[0]
    found = [search(arch, "set"), search(arch, "set", every=3), search(arch, "rigl"), search(arch, "gradual")]
    described = [repr(each.describe()) for each in found]
    assert len(set(described)) == 4
    assert repr(Search(found[0].method, found[0].goal).describe()) == described[0]
