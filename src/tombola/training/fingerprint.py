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
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from tombola.data.resident import Resident
from tombola.errors import UserError, notice
from tombola.models.architecture import Architecture
from tombola.models.generators import CPU, protected, put_back, seed_others
from tombola.models.state import load_state
from tombola.seeds import key, stream
from tombola.training.made_up import EXAMPLES, TILE, Inputs, Spread, made_up, short
from tombola.training.noise import Noise, swap_dropout

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


def recorded(architecture: Architecture, spread: Spread, data: Resident) -> dict[str, Any] | None:
    """The fingerprint as it is stored; None, with a notice, where the network does not let it be taken."""
    try:
        return taken(architecture, Inputs.like(data), spread).model_dump(mode="json", exclude_none=True)
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
        state = made_up(module, weights)
        module.to(precision)
        taken_as = precision if architecture.examples.is_floating_point() else architecture.examples.dtype
        x = torch.from_numpy(inputs.draw()).to(taken_as)
        rng = stream("fingerprint", "labels")
        of_numbers = inputs.targets is not None
        made_up_labels = (
            rng.standard_normal((EXAMPLES, inputs.classes))
            if of_numbers
            else rng.integers(0, inputs.classes, EXAMPLES)
        )
        labels = torch.from_numpy(made_up_labels)
        drew: list[str] = []

        load_state(module, state)
        module.eval()  # a statement: some override it and return nothing
        with _watched(drew, "evaluation"), torch.no_grad():
            numbers = {"evaluation": _sketch(module(x.clone()))}

        load_state(module, state)  # being measured may have changed buffers
        module.train()
        noise.begin(1)
        before = {name: buffer.clone() for name, buffer in module.named_buffers()}
        trained = {name: param for name, param in module.named_parameters() if param.requires_grad}
        with _watched(drew, "training"):
            logits = module(x.clone())
            loss = (
                F.mse_loss(logits, labels.to(logits.dtype)) if of_numbers else F.cross_entropy(logits, labels)
            )
            gradients = (
                torch.autograd.grad(loss, list(trained.values()), allow_unused=True) if trained else ()
            )
        numbers |= {"training": _sketch(logits), "loss": _sketch(loss)}
        for (name, param), gradient in zip(trained.items(), gradients, strict=True):
            numbers[f"gradient {name}"] = _sketch(torch.zeros_like(param) if gradient is None else gradient)
        for name, buffer in module.named_buffers():
            numbers[f"update {name}"] = _sketch(buffer.double() - before[name].double())
    return numbers, drew


@contextmanager
def _watched(drew: list[str], part: str) -> Iterator[None]:
    """A place where all generators begin anew; `part` is noted down where torch's was drawn from."""
    torch.default_generator.manual_seed(SEED)  # not torch.manual_seed: see models/generators.py
    seed_others(SEED)
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
    return short(size), short(one), short(other)


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
