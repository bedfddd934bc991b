"""The networks known by name, and how their weights are drawn.

A new one is a function that takes shape, classes and its options. That of a family, such as "vgg-D-wK", gets the
numbers in a name first, as a tuple.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial

from torch import nn

from tombola.errors import UserError, nearest
from tombola.registry import Registry

Shape = tuple[int, ...]
Factory = Callable[..., nn.Module]

MODELS: Registry[Factory] = Registry("model", "tombola.models")


LONGEST = 200
"""Characters of a name."""
MOST_LAYERS = 1000


def find(name: str) -> Factory:
    """The function of a named network; an unknown name is a UserError with the nearest one."""
    if len(name) > LONGEST:
        raise UserError(
            f"model '{name[:40]}...': a name of {len(name):,} characters; expected at most {LONGEST}"
        )
    factory = _lookup(name)
    if factory is not None:
        return factory
    tidy = re.sub(r"[^a-z0-9]+", "-", name.lower())  # lenet-300_100 and LeNet 300 100 alike
    if _lookup(tidy) is not None:
        raise UserError(f"unknown model '{name}'; did you mean '{tidy}'?")
    raise UserError(
        f"unknown model '{name}' (a network of your own is given as 'package.module:factory')"
        f"{nearest(name, _of_its_kind(tidy) or MODELS.examples)}"
    )


def is_ours(name: str) -> bool:
    """Whether the function of a named network is one of this package: they are tried out in its tests."""
    found: object = find(name)
    while isinstance(found, partial):
        found = found.func
    return getattr(found, "__module__", "").startswith("tombola.")


def _lookup(name: str) -> Factory | None:
    if match := MODELS.match(name):
        factory, numbers = match
        return partial(factory, numbers) if numbers else factory
    if MODELS.match(re.sub("(?<![0-9])0+", "1", name)):
        raise UserError(f"model '{name}': its numbers must be positive, without leading zeros")
    return None


def _of_its_kind(name: str) -> list[str]:
    """The nearest of the known names that differ by their numbers only: resnet-20 for resnet-21."""

    def far(other: str) -> list[int]:
        return [abs(n - m) for n, m in zip(_numbers(other), _numbers(name), strict=True)]

    kin = [each for each in MODELS.examples if re.sub("[0-9]+", "#", each) == re.sub("[0-9]+", "#", name)]
    return sorted(kin, key=far)[:1]


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", name)))


def require_depth(name: str, depth: int, valid: Collection[int]) -> None:
    """Raise UserError for a depth that the family of this network does not have, with the nearest one."""
    if depth not in valid:
        near = min(valid, key=lambda each: abs(each - depth))
        listed = ", ".join(map(str, sorted(valid)))
        raise UserError(f"model '{name}': no depth {depth}, expected one of: {listed}; the nearest is {near}")


def require_few(name: str, layers: int) -> None:
    """Raise UserError for more layers than a network can be built of."""
    if layers > MOST_LAYERS:
        raise UserError(f"model '{name}': {layers:,} layers; expected at most {MOST_LAYERS:,}")


def require_image(name: str, shape: Shape, least: int) -> tuple[int, int, int]:
    """The shape as (channels, height, width); UserError where it is none, or has a side below `least`."""
    if len(shape) != 3:
        raise UserError(f"model '{name}': input of shape {shape}, expected (channels, height, width)")
    channels, height, width = shape
    if min(height, width) < least:
        raise UserError(
            f"model '{name}': input of shape {shape} is too small, "
            f"expected a height and width of at least {least}"
        )
    return channels, height, width
