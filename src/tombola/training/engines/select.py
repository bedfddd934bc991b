"""Which engine a network gets."""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch

from tombola.errors import UserError
from tombola.models.architecture import Architecture
from tombola.training.augment import require_images
from tombola.training.engines.base import ENGINES, LEAST, PLAIN, Demand, Engine
from tombola.training.foreign_noise import habits
from tombola.training.recipe import CROSS_ENTROPY

PREFERENCE = {"cpu": ("sparse", "sparse-conv", "mlp", "modules"), "cuda": ("mlp", "stacked", "modules")}
"""Which engine "auto" takes on a kind of device: the first that holds all that is asked. The order is fixed, not timed
afresh for every run, so that equal runs have equal bits; `tombola bench` times it."""


def choose(
    name: str, architecture: Architecture, device: torch.device, demand: Demand = LEAST
) -> type[Engine]:
    """The engine called `name`, or for "auto" the first of PREFERENCE that can do what is demanded.

    Raises UserError when the named engine cannot, saying what it lacks, and when the recipe augments what are not
    images.
    """
    require_images(demand.recipe, architecture.input_shape)
    if demand.recipe.resized_crop and not demand.streamed:
        raise UserError(
            "recipe.resized_crop cuts images out of their files, which are not there any more once they are in memory; "
            "expected data of the name images:FOLDER?size=224&stream"
        )
    if demand.ranks > 1:
        _require_shareable(name, architecture, demand)
        name = "modules"
    if name == "auto":
        return _preferred(architecture, device, demand)
    engine = ENGINES[name]
    if not engine.holds(architecture, device, demand):
        what = _lacking(engine, architecture, device, demand)
        raise UserError(f"engine '{name}' cannot {what}; it is for: {ENGINES.describe(name)}")
    return engine


def _preferred(architecture: Architecture, device: torch.device, demand: Demand) -> type[Engine]:
    order = [ENGINES[name] for name in PREFERENCE[device.type]]
    first = next(engine for engine in order if engine.holds(architecture, device, demand))
    if device.type == "cuda" and first is order[-1]:
        warnings.warn(
            f"{architecture.name} does something that cannot be computed for a whole stack at once, so engine "
            f"'{first.name}' computes its networks one after the other, which a GPU is slow at",
            stacklevel=3,
        )
    return first


def _require_shareable(name: str, architecture: Architecture, demand: Demand) -> None:
    """Raise UserError for what processes of torchrun cannot train together."""
    recipe, together = demand.recipe, f"{demand.ranks} processes of torchrun cannot train together"
    if name != "auto" and not ENGINES[name].shares:
        raise UserError(f"{together} by engine '{name}'; expected 'modules'")
    if recipe.batch < demand.ranks:
        raise UserError(
            f"{together} on batches of {recipe.batch}; expected recipe.batch = {demand.ranks} at least"
        )
    if recipe.loss != CROSS_ENTROPY:
        raise UserError(f"{together} by recipe.loss = {recipe.loss}, which may be no mean over examples")
    if architecture.ask(habits).draws:
        raise UserError(
            f"{together} {architecture.name}, which draws random numbers of its own as it computes"
        )


def _lacking(engine: type[Engine], architecture: Architecture, device: torch.device, demand: Demand) -> str:
    """What an engine cannot do, of all that is demanded: one thing is tried at a time."""
    if not engine.holds(architecture, device):
        noisy = architecture.ask(habits).draws
        why = ", which draws random numbers of its own as it computes" if noisy else ""
        if architecture.several:
            why = ", which takes several inputs"
        elif unknown := engine.unknown(architecture):
            why = f", which has {unknown}"
        return f"hold {architecture.name} on {device.type}{why}"
    if not engine.holds(architecture, device, Demand(streamed=demand.streamed)):
        return "train on images that are not in memory"
    for option, value in demand.recipe:
        if not engine.holds(architecture, device, Demand(PLAIN.model_copy(update={option: value}))):
            return f"train {architecture.name} with recipe.{option} = {value}"
    if not engine.holds(architecture, device, replace(demand, pinned=False)):
        return "train networks whose masks change while they train"
    return "keep dead weights frozen at values other than zero"
