"""What a network computes with beside its parameters and buffers: layers in plain lists, tensors as attributes.

torch finds the layers of a module where they are assigned to it as attributes, or stand in an nn.ModuleList or
nn.ModuleDict. What stands elsewhere is neither trained nor saved, and nothing says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tombola.errors import UserError

OWN = frozenset(vars(nn.Module()))
"""Attributes that every module has."""
CONTAINERS = (list, tuple, set, frozenset, dict)
DEEPEST = 4
"""Containers within containers that are looked into: some hold themselves."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """A layer or a tensor that a module holds and has not registered: the attribute that leads to it, the plain
    container that it stands in ("" where it is the attribute itself), and where in that."""

    place: str
    container: str
    within: tuple[Any, ...]
    thing: nn.Module | Tensor

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors in it."""
        thing = self.thing
        return [thing] if isinstance(thing, Tensor) else [*thing.parameters(), *thing.buffers()]

    @property
    def trains(self) -> bool:
        """Whether it asks for a gradient."""
        return any(tensor.requires_grad and tensor.is_leaf for tensor in self.tensors)

    def __str__(self) -> str:
        if self.container:
            kind = "layers" if isinstance(self.thing, nn.Module) else "tensors"
            return f"the {kind} in the plain {self.container} '{self.place}'"
        return f"the {'layer' if isinstance(self.thing, nn.Module) else 'tensor'} '{self.place}'"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        mapping = self.container == "dict"
        if isinstance(self.thing, nn.Module):
            if not self.container:
                return "assign it as an attribute after super().__init__()"
            return f"use nn.Module{'Dict' if mapping else 'List'}"
        if self.trains:
            if not self.container:
                return "use nn.Parameter"
            return f"use nn.Parameter{'Dict' if mapping else 'List'}"
        return "use register_buffer"


def require_registered(name: str, module: nn.Module) -> None:
    """Raise UserError for layers and tensors that ask for a gradient where no optimizer would find them."""
    found = next((each for each in hidden(module) if each.trains), None)
    if found is not None:
        are = "are" if found.container else "is"
        raise UserError(
            f"model '{name}': {found} {are} not registered and would be neither trained nor saved; {found.remedy}"
        )


def hidden(module: nn.Module) -> list[Hidden]:
    """What the module and its parts hold in their attributes beside what is registered, in module order."""
    known = {id(part) for part in module.modules()}
    known |= {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    return [
        each
        for path, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in OWN
        for each in _held(value, f"{path}.{key}".lstrip("."), "", (), known)
        if any(id(tensor) not in known for tensor in each.tensors)
    ]


def _held(
    value: Any, place: str, container: str, within: tuple[Any, ...], known: set[int]
) -> Iterator[Hidden]:
    if id(value) in known:
        return
    if isinstance(value, nn.Module | Tensor):
        yield Hidden(place, container, within, value)
    elif isinstance(value, CONTAINERS) and len(within) < DEEPEST:
        kind = container or next(each.__name__ for each in CONTAINERS if isinstance(value, each))
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _held(each, place, kind, (*within, key), known)


def difference(one: nn.Module, other: nn.Module) -> str:
    """Why two builds of one network with the same parameters and buffers may compute different things: what is found
    by looking, else that it must be something."""
    theirs = {(each.place, each.within): each.thing for each in hidden(other)}
    for each in hidden(one):
        twin = theirs.get((each.place, each.within))
        if isinstance(each.thing, nn.Module) or not _same(each.thing, twin):
            are = "are" if each.container else "is"
            return f"{each} {are} not registered; {each.remedy}"
    parts = dict(other.named_modules())
    for path, part in one.named_modules():
        twin = parts.get(path)
        if _called(part) != _called(twin):
            return f"'{path}' is {_called(part)} in one and {_called(twin)} in another"
        for key, value in vars(part).items():
            if key not in OWN and not _same(value, other_value := vars(twin).get(key)):
                place = f"{path}.{key}".lstrip(".")
                return f"'{place}' is {_called(value)} in one and {_called(other_value)} in another"
    return (
        "something that is drawn when the network is built (an activation, a mask, a permutation) "
        "is no part of its state"
    )


def _same(one: Any, other: Any) -> bool:
    """Whether two attributes are equal, as far as that can be seen."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(_same, one, other))
    if callable(one) and hasattr(one, "__name__"):
        return _called(one) == _called(other)
    return not isinstance(one, int | float | str) or bool(one == other)


def _called(value: Any) -> str:
    """What a layer, a function or a number is called in a sentence."""
    if isinstance(value, nn.Module):
        return f"{type(value).__name__}({value.extra_repr()})"
    brief: str = getattr(value, "__name__", None) or repr(value)
    return brief if len(brief) <= 40 and "\n" not in brief else f"one {type(value).__name__}"
