"""Alignment: which hidden unit of one subject is the counterpart of which unit of another.

Units have no identity across seeds, so what is compared across seeds is compared modulo their order. Each
alignment fits the second subject to the first, and thereby finds likeness also where there is none: what is
measured after it is judged against nulls that went through the same alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tombola.alignment.matching import Floats, assigned, colours, descend, forward
from tombola.alignment.network import Network, Permutations
from tombola.alignment.outputs import unit_activations
from tombola.alignment.subject import Subject, WeightsAt
from tombola.alignment.weights import match_weights
from tombola.alignment.words import RAW, Side
from tombola.registry import Registry

TIE = 1e-7
"""What equal colours add to the similarity of two units: enough to decide between equal sums, and no more."""


@dataclass(frozen=True)
class Request:
    """Two subjects of one network to align, the side whose signs are read where signs are, and randomness."""

    a: Subject
    b: Subject
    network: Network
    side: Side
    rng: np.random.Generator


@dataclass(frozen=True)
class Alignment:
    """A way to find the counterparts of units; `sided` where it reads signs, at the side that is measured."""

    find: Callable[[Request], Permutations]
    sided: bool = False


ALIGNMENTS: Registry[Alignment] = Registry("alignment")


def align(
    a: Subject,
    b: Subject,
    network: Network,
    by: str,
    side: Side = "end",
    rng: np.random.Generator | None = None,
) -> Permutations:
    """The permutations that lay `b` over `a`; `network.relabelled(b, permutations)` is b in a's order.

    `rng` orders the steps of coordinate descent (a fixed order where none is given). Raises UserError for an
    unknown alignment and where a subject lacks what it reads.
    """
    network.check((a, b))
    if rng is None:
        rng = np.random.Generator(np.random.Philox(0))
    return ALIGNMENTS[by].find(Request(a, b, network, side, rng))


def raw(request: Request) -> Permutations:
    """Units as they come: meaningful where the two share their initial weights (Paganini & Forde 2020)."""
    return request.network.identity()


def weights_at_dense(request: Request) -> Permutations:
    """Weight matching of the trained dense networks (Ainsworth et al. 2023, 3.2)."""
    return _by_weights(request, "dense")


def weights_at_end(request: Request) -> Permutations:
    """Weight matching of the trained tickets (Ainsworth et al. 2023, 3.2)."""
    return _by_weights(request, "end")


def activations_at_dense(request: Request) -> Permutations:
    """Correlation of the dense networks' unit activations on examples (Ainsworth et al. 2023, 3.1)."""
    mine, theirs = (
        unit_activations(request.network, subject.weights("dense")) for subject in (request.a, request.b)
    )
    return tuple(
        assigned(sum((x @ y.T for x, y in zip(*both, strict=True)), start=np.zeros((group.size,) * 2)))
        for group, *both in zip(request.network.groups, mine, theirs, strict=True)
    )


def by_mask(request: Request) -> Permutations:
    """Jaccard distance of the units' input sets, layer by layer: NNSTD (Liu et al. 2020)."""
    a, b = (
        {name: living.astype(np.float64) for name, living in subject.living().items()}
        for subject in (request.a, request.b)
    )
    return forward(a, b, request.network, jaccard_of_sets)


def signed(request: Request) -> Permutations:
    """Signed similarity of the units, layer by layer, then coordinate descent (docs/sign-similarity.md)."""
    a, b = (
        {name: signs.astype(np.float64) for name, signs in subject.signs(request.side).items()}
        for subject in (request.a, request.b)
    )
    mine, theirs = (colours(signs, request.network) for signs in (a, b))
    ties = [TIE * (x[:, None] == y[None, :]) for x, y in zip(mine, theirs, strict=True)]
    start = forward(a, b, request.network, similarity_of_signs, ties)
    return descend(a, b, request.network, start, request.rng)


def _by_weights(request: Request, which: WeightsAt) -> Permutations:
    """Weights and biases of the prunable layers."""
    a, b = (subject.weights(which) for subject in (request.a, request.b))
    return match_weights(a, b, request.network, list(request.a.mask), request.rng)


def jaccard_of_sets(a: Floats, b: Floats) -> Floats:
    """Common features of two rows of 0 and 1, of those that either has; 1 for two empty ones."""
    both = a @ b.T
    either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - both
    return _of(both, either, where_empty=1.0)


def similarity_of_signs(a: Floats, b: Floats) -> Floats:
    """Equal minus opposite signs of two rows of -1, 0 and 1, of the features that either has; 0 for none."""
    either = np.abs(a).sum(axis=1)[:, None] + np.abs(b).sum(axis=1)[None, :] - np.abs(a) @ np.abs(b).T
    return _of(a @ b.T, either, where_empty=0.0)


def _of(part: Floats, whole: Floats, where_empty: float) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, where_empty), where=whole > 0)


ALIGNMENTS.register(
    RAW, "units as they come: meaningful where the two share their initial weights (Paganini & Forde 2020)"
)(Alignment(raw))
ALIGNMENTS.register(
    "weights@dense", "weight matching of the trained dense networks (Ainsworth et al. 2023, 3.2)"
)(Alignment(weights_at_dense))
ALIGNMENTS.register("weights@end", "weight matching of the trained tickets (Ainsworth et al. 2023, 3.2)")(
    Alignment(weights_at_end)
)
ALIGNMENTS.register(
    "activations@dense",
    "correlation of the dense networks' unit activations on examples (Ainsworth et al. 2023, 3.1)",
)(Alignment(activations_at_dense))
ALIGNMENTS.register(
    "mask", "jaccard distance of the units' input sets, layer by layer: NNSTD (Liu et al. 2020)"
)(Alignment(by_mask))
ALIGNMENTS.register(
    "signed",
    "signed similarity of the units, layer by layer, then coordinate descent (docs/sign-similarity.md)",
)(Alignment(signed, sided=True))
