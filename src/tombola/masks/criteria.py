"""Criteria: what a weight scores. The lowest scores are pruned.

A new criterion is a function of `Weights` that returns a score for every weight, registered under its name. The
last ones here look at the network and its data as well, through a probe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.masks.probe import Probe
from tombola.registry import Registry


@dataclass(frozen=True)
class Weights:
    """What a criterion may look at: one weight tensor in double precision, to be left as it is, and a stream."""

    initial: Tensor
    """The weights the training started from."""
    final: Tensor
    """The weights it ended with, same shape: for pruning at initialisation, the initial ones once more."""
    rng: np.random.Generator
    name: str = ""
    mask: Tensor | None = None
    """Which of them live; all where it is None."""
    probe: Probe | None = None
    """The masked network with the final weights, on a batch of training data."""

    @property
    def living(self) -> Tensor:
        """Which of them live."""
        return torch.ones_like(self.final, dtype=torch.bool) if self.mask is None else self.mask

    @property
    def network(self) -> Probe:
        """The probe. Raises UserError where there is none."""
        if self.probe is None:
            raise UserError(
                "this criterion looks at the network and its data, and no probe of them was given"
            )
        return self.probe


Criterion = Callable[[Weights], Tensor]


CRITERIA: Registry[Criterion] = Registry("criterion", defaults={"probe": False, "rounds": 1})
"""Criteria by name. `probe`: it looks at the network and its data; `rounds`: in how many pruning by it is done. Weights
are scored anew in each, and how many are left falls exponentially from round to round."""


@CRITERIA.register("large-final")
def large_final(weights: Weights) -> Tensor:
    """Magnitude after training: weights that end near zero go first (Frankle & Carbin 2019, section 2)."""
    return weights.final.abs()


@CRITERIA.register("small-final")
def small_final(weights: Weights) -> Tensor:
    """The reverse of large-final: weights that end far from zero go first (Zhou et al. 2019, section 2)."""
    return -weights.final.abs()


@CRITERIA.register("large-init")
def large_init(weights: Weights) -> Tensor:
    """Magnitude at initialisation, also known as magnitude-init (Zhou et al. 2019, section 2)."""
    return weights.initial.abs()


@CRITERIA.register("small-init")
def small_init(weights: Weights) -> Tensor:
    """The reverse of large-init: weights that begin far from zero go first (Zhou et al. 2019, section 2)."""
    return -weights.initial.abs()


@CRITERIA.register("large-init-large-final")
def large_init_large_final(weights: Weights) -> Tensor:
    """Kept if large both before and after training: the lesser of two percentiles (Zhou et al. 2019, section 2)."""
    return _lesser_percentile(weights.initial.abs(), weights.final.abs(), weights.living)


@CRITERIA.register("small-init-small-final")
def small_init_small_final(weights: Weights) -> Tensor:
    """Kept if small both before and after training: the lesser of two percentiles (Zhou et al. 2019, section 2)."""
    return _lesser_percentile(-weights.initial.abs(), -weights.final.abs(), weights.living)


@CRITERIA.register("magnitude-increase")
def magnitude_increase(weights: Weights) -> Tensor:
    """By how much training made a weight larger in magnitude (Zhou et al. 2019, section 2)."""
    return weights.final.abs() - weights.initial.abs()


@CRITERIA.register("movement")
def movement(weights: Weights) -> Tensor:
    """How far training moved a weight, in either direction (Zhou et al. 2019, section 2)."""
    return (weights.final - weights.initial).abs()


@CRITERIA.register("large-final-same-sign")
def large_final_same_sign(weights: Weights) -> Tensor:
    """Large-final for weights that kept their sign, zero for the others (Zhou et al. 2019, section 5)."""
    return weights.final.abs() * (weights.initial.sign() * weights.final.sign() > 0)


@CRITERIA.register("large-final-diff-sign")
def large_final_diff_sign(weights: Weights) -> Tensor:
    """Large-final for weights that changed their sign, zero for the others (Zhou et al. 2019, section 5)."""
    return weights.final.abs() * (weights.initial.sign() * weights.final.sign() < 0)


@CRITERIA.register("random")
def random(weights: Weights) -> Tensor:
    """Random scores: what any criterion has to beat (Zhou et al. 2019, section 2).

    Where groups of several sizes compete, each has one of them: every group is as likely to stay as another.
    """
    return torch.from_numpy(weights.rng.random(tuple(weights.final.shape)))


def _lesser_percentile(first: Tensor, second: Tensor, living: Tensor) -> Tensor:
    """The highest percentile that a weight reaches by both values, among the living weights of its tensor."""
    return torch.minimum(_percentile(first, living), _percentile(second, living))


def _percentile(values: Tensor, living: Tensor) -> Tensor:
    """Share of the living weights with a smaller value; a value that is not finite stays what it is."""
    smaller = torch.searchsorted(values[living].sort().values, values.contiguous())
    return torch.where(values.isfinite(), smaller.double() / max(int(living.sum()), 1), values.double())


TEMPERATURE = 200.0
"""What GraSP divides logits by; its authors' code has 200, and Frankle et al. 2021 keep it."""
SYNFLOW_ROUNDS = 100


@CRITERIA.register("gradient", probe=True)
def gradient(weights: Weights) -> Tensor:
    """Magnitude of the loss's gradient: weights that the loss does not pull at go first (Evci et al. 2020)."""
    return weights.network.gradient[weights.name].abs()


@CRITERIA.register("snip", probe=True)
def snip(weights: Weights) -> Tensor:
    """Weight times gradient, in magnitude: what the loss loses with the weight, to first order (Lee et al. 2019)."""
    return (weights.final * weights.network.gradient[weights.name]).abs()


@CRITERIA.register("grasp", probe=True)
def grasp(weights: Weights) -> Tensor:
    """Weight times (Hessian times gradient): what is lost of the gradient with the weight (GraSP: Wang et al. 2020).

    The paper scores -w * Hg and prunes the highest, which are the lowest here.
    """
    return weights.final * weights.network.hessian_gradient(TEMPERATURE)[weights.name]


@CRITERIA.register("synflow", probe=True, rounds=SYNFLOW_ROUNDS)
def synflow(weights: Weights) -> Tensor:
    """Flow through the weight in the network of absolute weights, in 100 rounds (SynFlow: Tanaka et al. 2020)."""
    return weights.network.flow[weights.name]
