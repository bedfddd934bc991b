"""Networks that are not ours: finding a factory, calling it, and telling plainly what is wrong with it."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from tombola.errors import UserError, nearest
from tombola.models.spec import Option
from tombola.models.trial import brief

Make = Callable[[], nn.Module]


@contextmanager
def protected(seed: int | None = None) -> Iterator[None]:
    """Torch's CPU generator is put back afterwards (seeded within, if asked); new tensors lie on the CPU."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if seed is not None:
            # Not torch.manual_seed, which would also reseed the accelerators' generators for good.
            torch.default_generator.manual_seed(seed)
        yield


def load(name: str) -> Callable[..., Any]:
    """The factory `package.module:factory` stands for; modules of the current folder are found as well.

    Raises UserError when the module cannot be imported, lacks the name, or the name is no factory.
    """
    place, _, attribute = name.partition(":")
    if not place or not attribute:
        raise UserError(f"model '{name}': expected the form 'package.module:factory'")
    found: Any = _imported(name, place)
    for part in attribute.split("."):
        if not hasattr(found, part):
            within = found.__name__ if isinstance(found, ModuleType | type) else type(found).__name__
            public = [each for each in dir(found) if not each.startswith("_")]
            raise UserError(f"model '{name}': '{within}' has no '{part}'{nearest(part, public)}")
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        raise UserError(
            f"model '{name}': this is a network already built, expected a function that builds one"
        )
    if not callable(found):
        raise UserError(
            f"model '{name}': this is of type {type(found).__name__}, expected a function or class"
        )
    factory: Callable[..., Any] = found
    return factory


def _imported(name: str, place: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as problem:
        missing = problem.name if isinstance(problem, ModuleNotFoundError) else None
        if missing and (place == missing or place.startswith(missing + ".")):
            raise UserError(
                f"model '{name}': no module '{missing}' in the current folder or among the installed packages"
            ) from problem
        raise UserError(f"model '{name}': importing '{place}' failed ({brief(problem)})") from problem


def maker(
    name: str,
    factory: Callable[..., Any],
    shape: tuple[int, ...],
    classes: int,
    options: Mapping[str, Option],
    also: Collection[str] = (),
) -> Make:
    """A function that calls the factory with what it accepts of `shape` and `classes`, and with the options.

    `also` are options that are read elsewhere: no keywords of the factory, but fit to be suggested.
    Raises UserError at once for options the factory does not take or parameters nobody gives it, and at
    each call when the factory fails or returns something else than a module.
    """
    given = _keywords(name, factory, {"shape": shape, "classes": classes}, options, also)

    def make() -> nn.Module:
        try:
            module = factory(**given)
            if isinstance(module, nn.Module):
                return module.cpu()
        except UserError:
            raise
        except Exception as problem:
            raise UserError(f"model '{name}': its factory failed ({brief(problem)})") from problem
        raise UserError(
            f"model '{name}': its factory returned type {type(module).__name__}, expected an nn.Module"
        )

    return make


def _keywords(
    name: str,
    factory: Callable[..., Any],
    known: Mapping[str, Any],
    options: Mapping[str, Option],
    also: Collection[str],
) -> dict[str, Any]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # written in C: it has to look after its arguments by itself
        return dict(options)
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    given = {key: value for key, value in known.items() if key in by_name}
    for option in options:
        if option in given:
            raise UserError(f"model '{name}': option '{option}' comes from the data and cannot be set")
        if option not in by_name and not takes_any:
            valid = by_name.difference(known).union(also)
            raise UserError(f"model '{name}' has no option '{option}'{nearest(option, valid)}")
    given |= options
    for p in parameters:
        required = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if required and (p.name not in given or p.kind == p.POSITIONAL_ONLY):
            raise UserError(
                f"model '{name}': its factory needs '{p.name}', which neither the data nor the options give"
            )
    return given
