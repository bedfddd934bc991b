"""Criteria that look at the network and its data: gradients, curvature, flow.

They score the masked network at the final weights (see `Probe`), each in the network as its paper does at
initialisation, where the final weights are the initial ones.
"""

from __future__ import annotations

from torch import Tensor

from tombola.masks.criteria import CRITERIA, Weights

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
