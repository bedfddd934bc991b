"""What a network computes, as numbers that can be stored: so that other code does not go on under its name.

Weights and inputs are made up from named streams, like the network's initial weights and like the data. On them the
outputs are taken in evaluation and in training, the loss, the gradient of every parameter, and what training does to
buffers. The record says itself what they were made from, so that it can be taken again without the data. Of each
tensor its size and two random projections are kept: of two tensors that differ, none of the three agrees by chance.

Everything is computed on the CPU and in float64 where the network can, so that processors agree to far better than the
tolerance; a network that makes float32 tensors of its own is taken in float32, and allowed more.
"""

from __future__ import annotations

import hashlib
import math
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from tombola.data import Resident
from tombola.errors import UserError, notice
from tombola.models import Architecture, State, load_state, state_of
from tombola.models.factory import protected
from tombola.seeds import key, stream
from tombola.training.dropout import Noise, swap_dropout
from tombola.training.generators import CPU, put_back

EXAMPLES = 4
"""Made-up inputs: enough for batch norm to have a variance."""
SAMPLE = 500
"""Training examples that inputs are made like."""
TILE = 4099
"""Random numbers that are drawn for a tensor, and then repeated: a prime, so no axis of weights repeats with it."""
TOLERANCES = {"float64": 1e-5, "float32": 1e-2}
"""How far numbers may be apart, as a share of the size of what they are of. In float64 processors agree to what is
stored, seven digits, and where a network goes through float32 within, to a few of its roundings. In float32 a ReLU
whose input is nearly zero may switch, and moves the gradients of a layer by up to a hundredth."""
FLOOR = 1e-3
"""Gradients below this share of the network's largest are measured by it: those that are zero by rounding alone (of a
bias before a batch norm) have no size of their own. The same for what happens to buffers."""
SEED = key("fingerprint", "generators") >> 65
WORDS = {
    "evaluation": "its outputs in evaluation differ",
    "training": "its outputs in training differ",
    "loss": "its loss in training differs",
    "gradient": "the gradient of {name} differs",
    "update": "what training does to {name} differs",
}
"""Kind of number -> what to say where it is another one."""

Sketch = tuple[float, float, float]
"""Root mean square of a tensor's entries, and two random projections of the same scale."""
Spread = dict[str, tuple[float, float]]
"""Parameter -> mean and population deviation of its entries."""


class Inputs(BaseModel):
    """What made-up inputs are like: shape and classes of the data, mean, deviation and range when normalised, and
    whether all are whole numbers, as indices of words are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    classes: int
    mean: float
    deviation: float
    low: float
    high: float
    whole: bool

    @classmethod
    def like(cls, data: Resident) -> Inputs:
        """As some training examples are."""
        rows = torch.arange(0, data.n_train, max(1, data.n_train // SAMPLE), device=data.device)[:SAMPLE]
        x = data.train(rows).double().cpu()
        mean, deviation, low, high = map(_short, (x.mean(), x.std(correction=0), x.min(), x.max()))
        return cls(
            shape=data.shape,
            classes=data.classes,
            mean=mean,
            deviation=deviation,
            low=low,
            high=high,
            whole=bool((x == x.round()).all()),
        )

    def draw(self) -> NDArray[Any]:
        """Inputs [EXAMPLES, *shape], float64: normal numbers cut off at the range, or whole numbers out of it."""
        rng, size = stream("fingerprint", "inputs"), (EXAMPLES, *self.shape)
        if self.whole:
            return rng.integers(math.ceil(self.low), math.floor(self.high) + 1, size).astype(np.float64)
        return np.clip(self.mean + self.deviation * rng.standard_normal(size), self.low, self.high)


class Fingerprint(BaseModel):
    """What a network computes, and from what. `model_dump(mode="json")` is what is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Inputs
    weights: Spread
    precision: str
    """"float64" or "float32"."""
    drawn: dict[str, str]
    """"evaluation" and "training", where the network drew from torch's generator then -> a digest of what this
    generator gives: it is not the same on every processor."""
    numbers: dict[str, Sketch]
    """"evaluation", "training", "loss", "gradient NAME", "update NAME" -> numbers."""


def spread_of(architecture: Architecture, state: State) -> Spread:
    """Mean and deviation of every floating-point parameter."""
    found = {name: state[name].double() for name in architecture.shapes if state[name].is_floating_point()}
    return {name: (_short(value.mean()), _short(value.std(correction=0))) for name, value in found.items()}


def recorded(architecture: Architecture, spread: Spread, data: Resident) -> dict[str, Any] | None:
    """The fingerprint as it is stored; None, with a notice, where the network does not let it be taken."""
    try:
        return taken(architecture, Inputs.like(data), spread).model_dump(mode="json")
    except UserError as problem:
        notice(f"{problem}, so a later change of its code will not be found")
        return None


def require_same(
    architecture: Architecture, table: object, made: str, cure: str = "put the code back", where: str = ""
) -> None:
    """Raise UserError where an architecture computes something else than a stored fingerprint says.

    `made` says when it was taken ("this run was made"), `where` begins every sentence. Without a fingerprint a notice
    says that nothing can be checked.
    """
    name = architecture.name
    if table is None:
        notice(
            f"{where}nothing is recorded of what model '{name}' computed when {made}, so a change of its code since "
            "then would not be found"
        )
        return
    try:
        old = Fingerprint.model_validate(table)
    except ValidationError:
        raise UserError(f"{where}the record of what model '{name}' computed is broken") from None
    try:
        new = taken(architecture, old.inputs, old.weights)
    except UserError as problem:
        raise UserError(f"{where}{problem}, but did not when {made}; {cure}") from None
    found = difference(old, new)
    if found is not None:
        raise UserError(f"{where}model '{name}' computes something else than when {made} ({found}); {cure}")
    for part in unknown(old, new):
        notice(
            f"{where}model '{name}' draws from torch's generator in {part}, which gives other numbers here than when "
            f"{made}, so what it computes then cannot be checked"
        )


def taken(architecture: Architecture, inputs: Inputs, weights: Spread) -> Fingerprint:
    """The fingerprint with weights of these spreads and inputs like these.

    Raises UserError where the network fails on them, or gives numbers that are not finite.
    """
    problem: Exception | None = None
    for precision in (torch.float64, torch.float32):
        try:
            numbers, drew = _compute(architecture, inputs, weights, precision)
        except Exception as found:  # whatever foreign code comes up with
            problem = found
            continue
        if not all(math.isfinite(number) for sketch in numbers.values() for number in sketch):
            problem = ValueError("its numbers are not finite")
            continue
        short = str(precision).removeprefix("torch.")
        drawn = {part: f"{_generator()} {short}" for part in drew}
        return Fingerprint(inputs=inputs, weights=weights, precision=short, drawn=drawn, numbers=numbers)
    first = str(problem).strip().partition("\n")[0]
    raise UserError(
        f"model '{architecture.name}' fails on made-up inputs like the data ({type(problem).__name__}: {first})"
    )


def difference(old: Fingerprint, new: Fingerprint) -> str | None:
    """In words, the first thing that is not computed alike; None where all is, to the tolerance."""
    tolerance = max(TOLERANCES[each.precision] for each in (old, new))
    scales = _scales(old, new)
    for place in [*old.numbers, *(place for place in new.numbers if place not in old.numbers)]:
        kind, _, name = place.partition(" ")
        if ("evaluation" if kind == "evaluation" else "training") in unknown(old, new):
            continue
        if place not in old.numbers or place not in new.numbers:
            return f"{name} is {'trained' if kind == 'gradient' else 'there'} in one and not in the other"
        one, other = old.numbers[place], new.numbers[place]
        scale = max(one[0], other[0], FLOOR * scales[kind])
        apart = max(abs(a - b) for a, b in zip(one, other, strict=True))
        if apart > tolerance * scale:
            return f"{WORDS[kind].format(name=name)} by {100 * apart / scale:.2g}%"
    return None


def unknown(old: Fingerprint, new: Fingerprint) -> list[str]:
    """Which of "evaluation" and "training" cannot be compared: both drew, from generators that are not the same."""
    return [part for part in old.drawn if part in new.drawn and old.drawn[part] != new.drawn[part]]


def _scales(*prints: Fingerprint) -> dict[str, float]:
    """The largest size of each kind of number."""
    sizes = dict.fromkeys(WORDS, 0.0)
    for place, sketch in (item for each in prints for item in each.numbers.items()):
        kind = place.partition(" ")[0]
        sizes[kind] = max(sizes[kind], sketch[0])
    return sizes


def _compute(
    architecture: Architecture, inputs: Inputs, weights: Spread, precision: torch.dtype
) -> tuple[dict[str, Sketch], list[str]]:
    """The numbers, and in which of evaluation and training torch's generator was drawn from."""
    with put_back(), protected(SEED), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        noise = Noise(SEED, CPU)
        module = swap_dropout(architecture.make(), noise)
        state = _made_up(module, weights)
        module.to(precision)
        x = torch.from_numpy(inputs.draw()).to(precision)
        rng = stream("fingerprint", "labels")
        labels = torch.from_numpy(rng.integers(0, inputs.classes, EXAMPLES))
        drew: list[str] = []

        load_state(module, state)
        with _watched(drew, "evaluation"), torch.no_grad():
            numbers = {"evaluation": _sketch(module.eval()(x.clone()))}

        load_state(module, state)  # being measured may have changed buffers
        module.train()
        noise.begin(1)
        before = {name: buffer.clone() for name, buffer in module.named_buffers()}
        trained = {name: param for name, param in module.named_parameters() if param.requires_grad}
        with _watched(drew, "training"):
            logits = module(x.clone())
            loss = F.cross_entropy(logits, labels)
            gradients = (
                torch.autograd.grad(loss, list(trained.values()), allow_unused=True) if trained else ()
            )
        numbers |= {"training": _sketch(logits), "loss": _sketch(loss)}
        for (name, param), gradient in zip(trained.items(), gradients, strict=True):
            numbers[f"gradient {name}"] = _sketch(torch.zeros_like(param) if gradient is None else gradient)
        for name, buffer in module.named_buffers():
            numbers[f"update {name}"] = _sketch(buffer.double() - before[name].double())
    return numbers, drew


def _made_up(module: nn.Module, weights: Mapping[str, tuple[float, float]]) -> State:
    """A state with every floating-point parameter drawn anew, about as large as `weights` says.

    Nothing stays at zero, behind which a branch would be invisible (last gammas, biases, layer scales), and running
    statistics are not those of a network that has seen nothing. Other buffers are as the factory makes them.
    """
    state = state_of(module)
    for name, (mean, deviation) in weights.items():
        shape = state[name].shape
        least = 0.1 / math.sqrt(shape[1:].numel()) if shape else 0.1
        width = max(math.sqrt(3) * deviation, 0.3 * abs(mean), least)
        drawn = torch.from_numpy(np.resize(_uniform(name, shape.numel()), shape.numel()))
        state[name] = (mean + width * drawn).view(shape).to(state[name].dtype)
    for name, value in state.items():
        drawn = torch.from_numpy(np.resize(_uniform(name, value.numel()), value.numel())).view(value.shape)
        if name.endswith("running_mean"):
            state[name] = value + 0.1 * drawn.to(value.dtype)
        elif name.endswith("running_var"):
            state[name] = value * (1 + 0.3 * drawn.to(value.dtype))
    return state


def _uniform(name: str, count: int) -> NDArray[np.float64]:
    """Numbers from -1 to 1 for a tensor, TILE at most."""
    return stream("fingerprint", "state", name).uniform(-1, 1, min(count, TILE))


@contextmanager
def _watched(drew: list[str], part: str) -> Iterator[None]:
    """A place where all generators begin anew; `part` is noted down where torch's was drawn from."""
    torch.default_generator.manual_seed(SEED)  # not torch.manual_seed: see models/factory.py
    random.seed(SEED)
    np.random.seed(SEED % (1 << 32))  # noqa: NPY002 - the one that foreign code draws from
    fresh = torch.get_rng_state()
    yield
    if not torch.equal(torch.get_rng_state(), fresh):
        drew.append(part)


def _sketch(tensor: Tensor) -> Sketch:
    flat = tensor.detach().double().reshape(-1)
    if not len(flat):
        return 0.0, 0.0, 0.0
    rows, rest = divmod(len(flat), TILE)
    folded = flat[: rows * TILE].view(rows, TILE).sum(0)
    folded[:rest] += flat[rows * TILE :]
    root = math.sqrt(len(flat))
    size, one, other = flat.norm() / root, *(folded @ direction / root for direction in _directions())
    return _short(size), _short(one), _short(other)


@cache
def _directions() -> tuple[Tensor, Tensor]:
    rng = stream("fingerprint", "projections")
    return torch.from_numpy(rng.standard_normal(TILE)), torch.from_numpy(rng.standard_normal(TILE))


@cache
def _generator() -> str:
    """A digest of what torch's seeded generator gives on this machine. Dropout goes through another library on some
    processors than on others."""
    with put_back(), protected(SEED):
        drawn = torch.cat([torch.rand(16), F.dropout(torch.ones(64)), torch.randperm(16).float()])
    return hashlib.sha256(drawn.numpy().tobytes()).hexdigest()[:8]


def _short(number: Tensor) -> float:
    """A number to seven digits, which is more than the tolerance looks at."""
    return float(f"{float(number):.7g}")
