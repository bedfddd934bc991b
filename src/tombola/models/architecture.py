"""An architecture: a network whose weights are yet to be drawn, and what other rooms need to know of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tombola.errors import UserError, nearest, notice
from tombola.models.catalog import find, is_ours
from tombola.models.computed import require_own_weights
from tombola.models.factory import (
    TriedOut,
    builds_worth_comparing,
    fixed_weights,
    load,
    maker,
    require_repeatable,
    seeded_build,
)
from tombola.models.generators import protected
from tombola.models.hidden import require_registered
from tombola.models.initializers import glorot, kaiming
from tombola.models.scope import Scope
from tombola.models.spec import ModelSpec, Option
from tombola.models.state import (
    State,
    frozen_in,
    prunable,
    require_memory_of_their_own,
    roles_of,
    state_dict_names,
    state_of,
)
from tombola.models.trial import (
    WholeNumbersError,
    random_examples,
    require_fit,
    require_sizes,
    says_probabilities,
    try_out,
)
from tombola.several import Several

T = TypeVar("T")


@dataclass(frozen=True)
class Architecture:
    """How to build a network and draw its weights, with the names, roles and shapes of its parameters."""

    name: str
    make: Callable[[], nn.Module]
    """A fresh module on the CPU; `build` does the same without disturbing torch's generator."""
    draw: Callable[[np.random.Generator], State]
    """The initial state from a stream; `initial` does the same without disturbing torch's generator."""
    can_reinit: bool
    """False where there is no distribution to draw new weights from: a bare instance, a loaded network, a factory that
    seeds itself."""
    prunable: tuple[str, ...]
    """Names of the Linear and Conv weights and of the matrices that were opted in, in module order."""
    roles: Mapping[str, str]
    """Prunable name -> "conv", "shortcut", "linear" or "output"; "matrix" for one that was opted in."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shapes of all parameters."""
    buffers: Mapping[str, tuple[int, ...]]
    """Shapes of all buffers."""
    input_shape: tuple[int, ...]
    classes: int
    examples: Tensor = field(repr=False, compare=False)
    """What it was tried out on, [n, *input_shape]: a few normalised examples, or made-up ones."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Each key of the module's `state_dict()` -> the name that a State has for its tensor."""
    several: Several | None = None
    """The inputs that a row of `input_shape` stands for, where it takes several."""
    frozen: frozenset[str] = frozenset()
    """Names of the parameters that are not trained."""
    fixed: tuple[str, ...] = ()
    """Prunable names whose weights, other than constant ones, are the same for every seed: all, where it cannot be
    drawn anew."""
    _answers: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def prunable_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of each prunable weight, in module order."""
        return {name: self.shapes[name] for name in self.prunable}

    @property
    def scope(self) -> Scope:
        """How much of it is prunable."""
        return Scope(self.shapes, self.prunable)

    def blank(self, *count: int) -> Tensor:
        """Inputs of nothing but zeros, [*count, *input_shape], on the CPU: numbers in torch's default type, or whole
        numbers where the network reads such."""
        whole = not self.examples.is_floating_point()
        return torch.zeros(*count, *self.input_shape, dtype=self.examples.dtype if whole else None)

    def build(self) -> nn.Module:
        """A fresh module whose weights are to be loaded; torch's generator is as before."""
        with protected():
            return self.make()

    def initial(self, rng: np.random.Generator) -> State:
        """The initial state drawn from the stream: the same stream gives the same bits."""
        with protected():
            return self.draw(rng)

    def ask(self, trial: Callable[..., T], *about: Hashable) -> T:
        """`trial(self, *about)`, which builds the network to find something out: once, and remembered."""
        key = (trial, *about)
        if key not in self._answers:
            self._answers[key] = trial(self, *about)
        answer: T = self._answers[key]
        return answer


def architecture(
    model: ModelSpec | str | nn.Module | Callable[..., nn.Module],
    shape: tuple[int, ...],
    classes: int,
    examples: Tensor | None = None,
    *,
    prune: Sequence[str] = (),
    several: Several | None = None,
) -> Architecture:
    """The architecture of a named network, a factory (by name or as itself) or a bare instance.

    `shape` is that of one input without the batch, `classes` the number of logits. A factory is called with
    those of the keywords `shape` and `classes` that it accepts and with the options. The network is tried out on
    `examples`, [n, *shape] on the CPU and normalised as in training (n >= 2), or on made-up ones. `prune` are
    patterns of matrices to prune beside those of a spec. With `several` inputs an example is a row of their numbers; a
    factory is told their shapes, and `forward` is called with as many tensors.

    Raises UserError for an unknown name, a factory that cannot be found, called or repeated, wrong options, a network
    that does not turn a batch of such inputs into [batch, classes] or cannot be trained on one, and one that is not
    what its parameters and buffers say.
    """
    shape = tuple(shape)
    given = Given(shape, classes, tuple(prune), examples, several)
    if isinstance(model, nn.Module):
        return _of_instance(model, given)
    if callable(model):
        return _of_factory(_label(model), model, {}, given)
    spec = model if isinstance(model, ModelSpec) else ModelSpec(name=model)
    given = replace(given, prune=(*spec.prune, *given.prune))
    if ":" in spec.name:
        return _of_factory(spec.name, load(spec), spec.options, given)
    return _of_name(spec, given)


@dataclass(frozen=True)
class Given:
    """What a network is bound to: see `architecture`."""

    shape: tuple[int, ...]
    classes: int
    prune: tuple[str, ...]
    examples: Tensor | None
    several: Several | None

    def maker(
        self,
        name: str,
        factory: Callable[..., Any],
        options: Mapping[str, Option],
        also: Sequence[str] = (),
    ) -> Callable[[], nn.Module]:
        """`factory.maker` for these inputs."""
        shape: Any = self.several.shapes if self.several else self.shape
        make = maker(name, factory, shape, self.classes, options, also)
        return make if self.several is None else partial(_split, make, self.several)


def _split(make: Callable[[], nn.Module], several: Several) -> nn.Module:
    """A network made anew that takes its inputs apart, where they come as one row."""
    module = make()
    module.register_forward_pre_hook(partial(_apart, several))
    return module


def _apart(several: Several, module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return several.apart(given[0]) if len(given) == 1 else given


def _of_name(spec: ModelSpec, given: Given) -> Architecture:
    initialisers = {"glorot-normal": glorot, "kaiming-normal": kaiming}
    init = str(spec.options.get("init", "glorot-normal"))
    if init not in initialisers:
        raise UserError(f"model '{spec.name}': option 'init' is '{init}'{nearest(init, initialisers)}")
    if given.several and is_ours(spec.name):
        raise UserError(
            f"model '{spec.name}' takes one input, and an example of the data has several, {given.several}"
        )
    options = {key: value for key, value in spec.options.items() if key != "init"}
    make = given.maker(spec.name, find(spec.name), options, also=("init",))

    def draw(rng: np.random.Generator) -> State:
        return initialisers[init](make(), rng)

    module = seeded_build(make, 0)
    tried, shown = _tried(spec.name, make, draw, module, given)
    if not is_ours(spec.name):  # their weights are drawn here, but what else is?
        fixed_weights(spec.name, make, module, shown, tried.prunable, builds_worth_comparing(module))
    require_own_weights(spec.name, module, tried.prunable, shown.x)
    return tried


def _of_factory(
    name: str, factory: Callable[..., nn.Module], options: Mapping[str, Option], given: Given
) -> Architecture:
    make = given.maker(name, factory, options)

    def draw(rng: np.random.Generator) -> State:
        with protected(seed=int(rng.integers(2**63, dtype=np.uint64))):
            return state_of(make())

    module = seeded_build(make, 0)
    tried, shown = _tried(name, make, draw, module, given)
    require_repeatable(name, make, module, shown.state)
    fixed = fixed_weights(name, make, module, shown, tried.prunable, builds_worth_comparing(module))
    require_own_weights(name, module, tried.prunable, shown.x)
    can_reinit = len(fixed) < len(tried.prunable)
    if can_reinit:  # a layer that begins at zero, as the last of a block may, has nothing to draw
        fixed = tuple(key for key in fixed if (shown.state[key] != shown.state[key].view(-1)[0]).any())
    return replace(tried, fixed=fixed, can_reinit=can_reinit)


def _of_instance(module: nn.Module, given: Given) -> Architecture:
    name = type(module).__name__
    require_sizes(name, module)
    require_memory_of_their_own(name, module)  # of two such parameters a copy makes two apart
    try:
        original = copy.deepcopy(module).cpu()  # so that training the caller's module changes nothing here
    except Exception as problem:
        raise UserError(
            f"model '{name}': this instance cannot be copied; give a function that builds it"
        ) from problem
    make: Callable[[], nn.Module] = partial(copy.deepcopy, original)
    if given.several:
        make = partial(_split, make, given.several)
    copied = make()
    tried, shown = _tried(name, make, lambda rng: state_of(original), copied, given)
    require_own_weights(name, copied, tried.prunable, shown.x)
    return replace(tried, fixed=tried.prunable, can_reinit=False)


def _tried(
    name: str,
    make: Callable[[], nn.Module],
    draw: Callable[[np.random.Generator], State],
    module: nn.Module,
    given: Given,
) -> tuple[Architecture, TriedOut]:
    """Try a network out, and note the names, roles and shapes of its parameters."""
    require_sizes(name, module)
    require_memory_of_their_own(name, module)
    require_registered(name, module)  # what is not registered may be all there is to prune
    weights = prunable(module, given.prune)
    require_fit(name, module, weights)
    frozen = frozen_in(module)
    if all(key in frozen for key, _ in module.named_parameters()):
        raise UserError(
            f"model '{name}': all of its parameters are frozen (requires_grad = False), so there is nothing to train"
        )
    state = state_of(module)
    x = random_examples(given.shape) if given.examples is None else given.examples
    if given.several and given.examples is None and any(given.several.whole):
        x = torch.zeros_like(x)
    try:
        answers = try_out(name, module, x, given.classes)
    except WholeNumbersError:
        if given.examples is not None:
            raise
        # Made up, and whole: of this type where it makes them such itself, else as such.
        x = torch.zeros_like(x)
        try:
            answers = try_out(name, module, x, given.classes)
        except WholeNumbersError:
            x = x.to(torch.int64)
            answers = try_out(name, module, x, given.classes)
    if says_probabilities(answers):
        notice(
            f"model '{name}' answers with probabilities (they are from 0 to 1 and sum to 1), and cross-entropy takes "
            "logits: leave the softmax out, or it is taken twice"
        )
    shown = TriedOut(state, x, given.classes, answers)
    described = Architecture(
        name=name,
        make=make,
        draw=draw,
        can_reinit=True,
        prunable=weights,
        roles=roles_of(module, given.prune),
        shapes={key: tuple(parameter.shape) for key, parameter in module.named_parameters()},
        buffers={key: tuple(buffer.shape) for key, buffer in module.named_buffers()},
        input_shape=given.shape,
        classes=given.classes,
        examples=x,
        keys=state_dict_names(module),
        several=given.several,
        frozen=frozen,
    )
    return described, shown


def _label(factory: Callable[..., nn.Module]) -> str:
    name = getattr(factory, "__qualname__", type(factory).__name__)
    return f"{getattr(factory, '__module__', '?')}:{name}"
