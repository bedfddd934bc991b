"""Connectivity: what lies on the straight line between two trained networks, and how far apart they are.

Two networks are linearly connected where no network between them errs much more than they do (Frankle et al. 2020,
arXiv 1912.05671, section 2). Nothing here changes its operands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from tombola.data.resident import Resident
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture
from tombola.models.state import State, load_state, state_of
from tombola.seeds import Seeds
from tombola.training.engines.base import PLAIN, Demand, Job, autocast
from tombola.training.engines.select import choose
from tombola.training.memory import networks_that_fit
from tombola.training.recipe import Recipe
from tombola.training.scoring import Examples
from tombola.training.stack import Stack
from tombola.training.start import Start

STABLE = 0.02
"""Two copies whose error barrier is below this are stable: two points (Frankle et al. 2020, section 3)."""

NORM_BATCH = 250
"""Examples of one batch when statistics of batch norm are taken anew."""

PATH = {"alpha": pl.Float64, "split": pl.String, "loss": pl.Float64, "error": pl.Float64}


def steps(count: int) -> list[float]:
    """`count` evenly spaced places from 0 to 1, both ends among them; at least 2."""
    if count < 2:
        raise ValueError(f"a path has two ends, found {count} places")
    return [i / (count - 1) for i in range(count)]


def interpolated(a: State, b: State, alpha: float) -> State:
    """(1 - alpha) a + alpha b of every floating-point tensor: exactly a at 0 and b at 1. Other tensors are a's."""
    return {
        name: torch.lerp(tensor, b[name], alpha) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in a.items()
    }


def recalibrated(
    architecture: Architecture, state: State, batches: Iterable[Tensor], recipe: Recipe = PLAIN
) -> State:
    """The state with the running statistics of its batch norms taken anew: the plain mean over the batches, each
    [n, *input shape] on the device that computes, all of one size. All else is as it was; dropout is off.

    Between two networks the averaged statistics are not those of the averaged weights: without this, much of a
    barrier would be theirs (Jordan et al. 2023, REPAIR).
    """
    module = architecture.build()
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    if not norms:
        return dict(state)
    load_state(module, state)
    module.eval()
    for norm in norms:
        norm.reset_running_stats()  # what is not finite would outlive a weight of zero
        norm.train()
    with torch.no_grad():
        for count, x in enumerate(batches, start=1):
            for norm in norms:
                norm.momentum = 1 / count  # torch's own cumulative average would ask the device for its count
            module.to(x.device)
            with autocast(recipe, x.device):
                module(x.clone())  # some networks write into their input
    fresh = state_of(module)
    return {name: fresh[name] if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def path(
    architecture: Architecture,
    a: State,
    b: State,
    data: Resident,
    rows: Tensor,
    alphas: Sequence[float],
    recipe: Recipe = PLAIN,
) -> pl.DataFrame:
    """Loss (nats) and error (0..1) of the networks between a (alpha = 0) and b (alpha = 1): `PATH`, two rows an
    alpha, split `train` on the training examples `rows` (int64 [n], on the device) and `test`.

    Statistics of batch norm are taken anew at every alpha, the ends too, on `rows` in their order, without
    augmentation. `recipe` says in which precision is computed.
    """
    plain = Recipe(precision=recipe.precision)
    kind = choose("auto", architecture, data.device, Demand(plain, streamed=data.streamed))
    size = networks_that_fit(architecture, data.device, plain, kind.name)
    dense = Mask.dense(architecture.prunable_shapes)
    batches = [data.train(few) for few in norm_batches(rows)] if normalises(architecture) else []
    examples = {"train": Examples(data, "train", rows[None]), "test": Examples(data, "test")}
    found = []
    for first in range(0, len(alphas), size):
        few = alphas[first : first + size]
        states = [recalibrated(architecture, interpolated(a, b, alpha), batches, plain) for alpha in few]
        stack = Stack(architecture, [Start(state, dense, Seeds.single(0)) for state in states], data.device)
        net = kind(Job(architecture, stack, [0] * len(few), [0] * len(few), plain))
        scores = {split: net.score(part) for split, part in examples.items()}
        for split, score in scores.items():
            columns = zip(few, score.loss.tolist(), score.metric.tolist(), strict=True)
            found += [(alpha, split, loss, 1 - accuracy) for alpha, loss, accuracy in columns]
    return pl.DataFrame(found, schema=PATH, orient="row").sort("split", "alpha")


def normalises(architecture: Architecture) -> bool:
    """Whether the network has batch norms with running statistics."""
    parts = architecture.build().modules()
    return any(isinstance(part, _BatchNorm) and part.track_running_stats for part in parts)


def norm_batches(rows: Tensor) -> list[Tensor]:
    """`rows` in batches of NORM_BATCH; what is left over at the end stays out, so that all batches weigh the same."""
    whole = max(1, len(rows) // NORM_BATCH)
    return list(torch.split(rows[: whole * NORM_BATCH], NORM_BATCH))


def barrier(values: Sequence[float], alphas: Sequence[float]) -> float:
    """The largest of the values on a path minus the mean of those at its ends, alpha = 0 and alpha = 1; never negative.

    Of errors it is the instability of Frankle et al. (2020, section 2), of losses the barrier of Ainsworth et al.
    (2023, definition 2.2). NaN where a value is. Raises ValueError where an end is missing.
    """
    at = dict(zip(alphas, values, strict=True))
    if not at.keys() >= {0.0, 1.0}:
        raise ValueError(f"a barrier is measured from alpha = 0 and alpha = 1, found {sorted(at)}")
    return float(np.max(np.array(list(values), dtype=np.float64))) - (at[0.0] + at[1.0]) / 2


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor], where: Mask | None = None) -> float:
    """L2 norm of the difference of two networks' weights (Frankle et al. 2019, arXiv 1903.01611, section 3): of the
    prunable weights that `where` marks, or of all tensors given."""
    one, other = _flat(a, where), _flat(b, where)
    return float(torch.linalg.vector_norm(one - other))


def angle(a: Mapping[str, Tensor], b: Mapping[str, Tensor], where: Mask | None = None) -> float:
    """The angle in degrees between two networks' weights (Frankle et al. 2019, appendix B), chosen as in `distance`;
    NaN where one of them has none but zeros."""
    one, other = _flat(a, where), _flat(b, where)
    lengths = torch.linalg.vector_norm(one), torch.linalg.vector_norm(other)
    if not (lengths[0] > 0 and lengths[1] > 0):
        return math.nan
    u, v = one / lengths[0], other / lengths[1]
    # Kahan's formula: an arc cosine would lose half of the digits where the angle is small.
    half = torch.atan2(torch.linalg.vector_norm(u - v), torch.linalg.vector_norm(u + v))
    return math.degrees(2 * float(half))


def angular(degrees: float) -> float:
    """An angle as 2 angle / pi: 0 the same direction, 1 at right angles, as unrelated weights nearly are, 2 opposite
    (Maene et al. 2021)."""
    return degrees / 90


def _flat(state: Mapping[str, Tensor], where: Mask | None) -> Tensor:
    """The chosen weights as one float64 vector."""
    if where is None:
        return torch.cat([tensor.double().flatten() for tensor in state.values()])
    return torch.cat([state[name][living].double() for name, living in where.items()])
