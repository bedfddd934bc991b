"""Supermasks through `train_stack`: interrupted, and on digits, where they beat random masks and train no weight."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from support.score_parts import BOTH, VALIDATION, long, search, starts_of
from support.training_parts import CPU, kind, same
from tombola.data.dataset import DATASETS
from tombola.data.resident import Resident
from tombola.masks.rule import PruneRule
from tombola.models.architecture import architecture
from tombola.training.checkpoint import Checkpoint
from tombola.training.loop import train_stack
from tombola.training.trained import Trained


class PowerError(Exception):
    """The power went out."""


def train(
    what: str, name: str, checkpoint: Checkpoint | None = None, progress: Callable[[int], None] | None = None
) -> list[Trained]:
    arch, data, engine = kind(what)
    sought = search(arch, name, momentum=0.5)
    return train_stack(
        arch,
        starts_of(arch, sought, 0, 1),
        data,
        long(label_smoothing=0.1),
        VALIDATION,
        engine=engine,
        search=sought,
        checkpoint=checkpoint,
        progress=progress,
    )


@cache
def by_itself(what: str, name: str) -> list[Trained]:
    """A search that nobody disturbed."""
    return train(what, name)


@pytest.mark.parametrize("stop", [0, 5, 15])
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("what", ["mlp", "odd"])
def test_interrupted_in_the_middle_it_ends_with_the_same_bits(
    what: str, name: str, stop: int, tmp_path: Path
) -> None:
    def cut(iteration: int) -> None:
        if iteration == stop:
            raise PowerError

    undisturbed = by_itself(what, name)
    checkpoint = Checkpoint(tmp_path / "c.safetensors", seconds=0)
    with pytest.raises(PowerError):
        train(what, name, checkpoint, cut)
    seen: list[int] = []
    resumed = train(what, name, Checkpoint(checkpoint.path, seconds=1e9), seen.append)
    assert seen[0] == stop, "it went on where it was"
    for a, b in zip(resumed, undisturbed, strict=True):
        assert same(a.end, b.end)
        assert same(a.best, b.best)
        assert a.mask == b.mask
        assert a.history == b.history


def on_digits(name: str, **options: Any) -> Trained:
    data = Resident(DATASETS["digits"](None), "standard", CPU)
    arch = architecture("lenet-48-32", (1, 8, 8), 10)
    sought = search(arch, name, PruneRule(rate=0.3), **options)
    chosen = long(iterations=250, batch=60, evaluate_every=50)
    (trained,) = train_stack(arch, starts_of(arch, sought, 0), data, chosen, 100, engine="mlp", search=sought)
    initial = starts_of(arch, sought, 0)[0].state
    for key, value in trained.end.items():
        if key not in sought.goal.rates:
            assert torch.equal(value, initial[key])
    return trained


@pytest.mark.parametrize(("name", "least"), [("edge-popup", 0.6), ("supermask", 0.75)])
def test_a_mask_alone_computes(name: str, least: float) -> None:
    """No weight is trained. At a learning rate of next to nothing the mask stays the random one it begins with."""
    learnt, random = on_digits(name), on_digits(name, lr=1e-12)
    assert random.mask is not None
    assert learnt.mask is not None
    assert random.mask.counts() == learnt.mask.counts()
    assert learnt.final_test_accuracy > least
    assert random.final_test_accuracy < 0.3
