"""An architecture: a network whose weights are yet to be drawn, and what other rooms need to know of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict
from torch import nn

from tombola.errors import UserError, nearest
from tombola.models.factory import Option, draws_afresh, load, maker, probe, protected
from tombola.models.named import MODELS, find, glorot, kaiming
from tombola.models.scope import Scope
from tombola.models.state import (
    State,
    frozen_in,
    load_state,
    prunable,
    require_memory_of_their_own,
    roles_of,
    state_dict_names,
    state_of,
)

__all__ = [
    "MODELS",
    "Architecture",
    "ModelSpec",
    "State",
    "architecture",
    "load_state",
    "prunable",
    "state_of",
]


class ModelSpec(BaseModel):
    """The [model] table: a name (`lenet-300-100`, `conv-2`, `package.module:factory`) and its options.

    Every network of ours has the option `init`: "glorot-normal" (the default) or "kaiming-normal".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Option] = {}


@dataclass(frozen=True)
class Architecture:
    """How to build a network and draw its weights, with the names, roles and shapes of its parameters."""

    name: str
    make: Callable[[], nn.Module]
    """A fresh module on the CPU; `build` does the same without disturbing torch's generator."""
    draw: Callable[[np.random.Generator], State]
    """The initial state from a stream; `initial` does the same without disturbing torch's generator."""
    can_reinit: bool
    """False where there is no distribution to draw new weights from: a bare instance, a loaded network."""
    prunable: tuple[str, ...]
    """Names of the Linear and Conv weights, in module order."""
    roles: Mapping[str, str]
    """Prunable name -> "conv", "shortcut", "linear" or "output"."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shapes of all parameters."""
    input_shape: tuple[int, ...]
    classes: int
    keys: Mapping[str, str] = field(default_factory=dict)
    """Each key of the module's `state_dict()` -> the name that a State has for its tensor."""
    frozen: frozenset[str] = frozenset()
    """Names of the parameters that are not trained."""

    @property
    def scope(self) -> Scope:
        """How much of it is prunable."""
        return Scope(self.shapes, self.prunable)

    def build(self) -> nn.Module:
        """A fresh module whose weights are to be loaded; torch's generator is as before."""
        with protected():
            return self.make()

    def initial(self, rng: np.random.Generator) -> State:
        """The initial state drawn from the stream: the same stream gives the same bits."""
        with protected():
            return self.draw(rng)


def architecture(
    model: ModelSpec | str | nn.Module | Callable[..., nn.Module], shape: tuple[int, ...], classes: int
) -> Architecture:
    """The architecture of a named network, a factory (by name or as itself) or a bare instance.

    `shape` is that of one input without the batch, `classes` the number of logits. A factory is called with
    those of the keywords `shape` and `classes` that it accepts and with the options.

    Raises UserError for an unknown name, a factory that cannot be found, called or repeated, wrong options,
    and a network that does not turn a batch of such inputs into [batch, classes].
    """
    shape = tuple(shape)
    if isinstance(model, nn.Module):
        return _of_instance(model, shape, classes)
    if callable(model):
        return _of_factory(_label(model), model, {}, shape, classes)
    spec = model if isinstance(model, ModelSpec) else ModelSpec(name=model)
    if ":" in spec.name:
        return _of_factory(spec.name, load(spec.name), spec.options, shape, classes)
    return _of_name(spec, shape, classes)


def _of_name(spec: ModelSpec, shape: tuple[int, ...], classes: int) -> Architecture:
    initialisers = {"glorot-normal": glorot, "kaiming-normal": kaiming}
    init = str(spec.options.get("init", "glorot-normal"))
    if init not in initialisers:
        raise UserError(f"model '{spec.name}': option 'init' is '{init}'{nearest(init, initialisers)}")
    options = {key: value for key, value in spec.options.items() if key != "init"}
    make = maker(spec.name, find(spec.name), shape, classes, options, also=("init",))

    def draw(rng: np.random.Generator) -> State:
        return initialisers[init](make(), rng)

    return _described(spec.name, make, draw, True, shape, classes)


def _of_factory(
    name: str,
    factory: Callable[..., nn.Module],
    options: Mapping[str, Option],
    shape: tuple[int, ...],
    classes: int,
) -> Architecture:
    make = maker(name, factory, shape, classes, options)

    def draw(rng: np.random.Generator) -> State:
        with protected(seed=int(rng.integers(2**63, dtype=np.uint64))):
            return state_of(make())

    described = partial(_described, name, make, draw, shape=shape, classes=classes)
    described(can_reinit=True)  # the plain mistakes first: they have the clearer sentences
    return described(can_reinit=draws_afresh(name, make))


def _of_instance(module: nn.Module, shape: tuple[int, ...], classes: int) -> Architecture:
    name = type(module).__name__
    require_memory_of_their_own(name, module)  # of two such parameters a copy makes two apart
    try:
        original = copy.deepcopy(module).cpu()  # so that training the caller's module changes nothing here
    except Exception as problem:
        raise UserError(
            f"model '{name}': this instance cannot be copied; give a function that builds it"
        ) from problem
    return _described(
        name, partial(copy.deepcopy, original), lambda rng: state_of(original), False, shape, classes
    )


def _described(
    name: str,
    make: Callable[[], nn.Module],
    draw: Callable[[np.random.Generator], State],
    can_reinit: bool,
    shape: tuple[int, ...],
    classes: int,
) -> Architecture:
    """Build the network once to probe it and to note the names, roles and shapes of its parameters."""
    with protected():
        module = make()
    require_memory_of_their_own(name, module)
    probe(name, module, shape, classes)
    frozen = frozen_in(module)
    if all(key in frozen for key, _ in module.named_parameters()):
        raise UserError(
            f"model '{name}': all of its parameters are frozen (requires_grad = False), so there is nothing to train"
        )
    return Architecture(
        name=name,
        make=make,
        draw=draw,
        can_reinit=can_reinit,
        prunable=prunable(module),
        roles=roles_of(module),
        shapes={key: tuple(parameter.shape) for key, parameter in module.named_parameters()},
        input_shape=shape,
        classes=classes,
        keys=state_dict_names(module),
        frozen=frozen,
    )


def _label(factory: Callable[..., nn.Module]) -> str:
    name = getattr(factory, "__qualname__", type(factory).__name__)
    return f"{getattr(factory, '__module__', '?')}:{name}"
