"""Which engine a network gets."""

from __future__ import annotations

import warnings

import torch

from tombola.errors import UserError
from tombola.models.architecture import Architecture
from tombola.training.augment import require_images
from tombola.training.engines.base import ENGINES, PLAIN, Engine
from tombola.training.foreign_noise import habits
from tombola.training.recipe import Recipe

PREFERENCE = {"cpu": ("sparse", "mlp", "modules"), "cuda": ("mlp", "stacked", "modules")}
"""Which engine "auto" takes on a kind of device: the first that holds all that is asked. The order is fixed, not timed
afresh for every run, so that equal runs have equal bits; `tombola bench` times it."""


def choose(
    name: str,
    architecture: Architecture,
    device: torch.device,
    recipe: Recipe = PLAIN,
    pinned: bool = False,
    moving: bool = False,
) -> type[Engine]:
    """The engine called `name`, or for "auto" the first of PREFERENCE that holds architecture, recipe, pins and
    moving masks.

    Raises UserError when the named engine cannot hold them, saying what it lacks, and when the recipe augments
    what are not images.
    """
    require_images(recipe, architecture.input_shape)
    if name == "auto":
        return _preferred(architecture, device, recipe, pinned, moving)
    engine = ENGINES[name]
    if not engine.holds(architecture, device, recipe, pinned, moving):
        what = _refused(engine, architecture, device, recipe, moving)
        raise UserError(f"engine '{name}' cannot {what}; it is for: {ENGINES.describe(name)}")
    return engine


def _preferred(
    architecture: Architecture, device: torch.device, recipe: Recipe, pinned: bool, moving: bool
) -> type[Engine]:
    order = [ENGINES[name] for name in PREFERENCE[device.type]]
    found = next(engine for engine in order if engine.holds(architecture, device, recipe, pinned, moving))
    if device.type == "cuda" and found is order[-1]:
        warnings.warn(
            f"{architecture.name} does something that cannot be computed for a whole stack at once, so engine "
            f"'{found.name}' computes its networks one after the other, which a GPU is slow at",
            stacklevel=3,
        )
    return found


def _refused(
    engine: type[Engine], architecture: Architecture, device: torch.device, recipe: Recipe, moving: bool
) -> str:
    """What an engine cannot do, of all that was asked: found by asking for one thing at a time."""
    if not engine.holds(architecture, device, PLAIN, False):
        noisy = architecture.ask(habits).draws
        why = ", which draws random numbers of its own as it computes" if noisy else ""
        return f"hold {architecture.name} on {device.type}{why}"
    for option, value in recipe:
        if not engine.holds(architecture, device, PLAIN.model_copy(update={option: value}), False):
            return f"train {architecture.name} with recipe.{option} = {value}"
    if not engine.holds(architecture, device, recipe, False, moving):
        return "train networks whose masks change while they train"
    return "keep dead weights frozen at values other than zero"
