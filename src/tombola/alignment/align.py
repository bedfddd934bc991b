"""Alignment: which hidden unit of one subject is the counterpart of which unit of another.

Units have no identity across seeds, so what is compared across seeds is compared modulo their order. Each
alignment fits the second subject to the first, and thereby finds likeness also where there is none: what is
measured after it is judged against nulls that went through the same alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from tombola.alignment.matching import Floats, assigned, forward, ties
from tombola.alignment.network import Network, Permutations
from tombola.alignment.outputs import unit_activations
from tombola.alignment.restarts import RESTARTS, best, starts
from tombola.alignment.subject import Subject, WeightsAt
from tombola.alignment.weights import match_weights
from tombola.alignment.words import RAW, Side
from tombola.errors import UserError
from tombola.registry import Registry


@dataclass(frozen=True)
class Request:
    """Two subjects of one network to align, the side whose signs are read where signs are, and randomness.

    `left_out` is the prunable tensor that may not be read, and neither may its bias.
    """

    a: Subject
    b: Subject
    network: Network
    side: Side
    rng: np.random.Generator
    left_out: str | None = None

    @property
    def names(self) -> list[str]:
        """The prunable tensors that may be read."""
        return [name for name in self.a.mask if name != self.left_out]


@dataclass(frozen=True)
class Alignment:
    """A way to find the counterparts of units.

    `sided` where it reads signs, at the side that is measured; `dense` where it reads the trained dense networks and
    nothing else of the subjects; `held_out` where each prunable tensor is laid by a matching of its own, that has read
    neither it nor its bias.
    """

    find: Callable[[Request], Permutations]
    sided: bool = False
    dense: bool = False
    held_out: bool = False


ALIGNMENTS: Registry[Alignment] = Registry("alignment", asked=("held_out",))
HELD_OUT = "-held-out"
"""How the names of alignments end that lay every tensor by a matching that has not read it."""


def align(
    a: Subject,
    b: Subject,
    network: Network,
    by: str,
    side: Side = "end",
    rng: np.random.Generator | None = None,
) -> Permutations:
    """The permutations that lay `b` over `a`; `network.relabelled(b, permutations)` is b in a's order.

    `rng` orders the steps of coordinate descent and draws its random starts (fixed ones where none is given). Raises
    UserError for an unknown alignment, one that is held out (`align_tensors`), and where a subject lacks what it reads.
    """
    network.check((a, b))
    if ALIGNMENTS[by].held_out:
        raise UserError(
            f"alignment '{by}' lays every tensor by a matching of its own, expected one of the whole network, such as "
            f"'{by.removesuffix(HELD_OUT)}'"
        )
    return ALIGNMENTS[by].find(Request(a, b, network, side, rng or _fixed()))


def align_tensors(
    a: Subject,
    b: Subject,
    network: Network,
    by: str,
    side: Side = "end",
    rng: np.random.Generator | None = None,
) -> dict[str, Permutations]:
    """The permutations that lay each prunable tensor of `b` over that of `a`, by its name, for an alignment that is
    held out; `network.collage(b, found)` is b in a's order, tensor by tensor.

    A tensor's permutations come from all the others: neither it nor its bias is read, in `a` or in `b`. That is enough
    in residual streams too, whose units are then matched by the other tensors that write to the stream or read it: a
    tensor of a network that shares nothing with another's is independent of every matching that has not read it, so
    that under such a matching the two are as if their units were in random order, but for how large units are.
    Raises UserError as `align` does.
    """
    network.check((a, b))
    request = Request(a, b, network, side, rng or _fixed())
    return {name: ALIGNMENTS[by].find(replace(request, left_out=name)) for name in a.mask}


def _fixed() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(0))


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
    """Jaccard distance of the units' input sets, layer by layer, ties by colours: NNSTD (Liu et al. 2020)."""
    a, b = (
        {name: living.astype(np.float64) for name, living in subject.living().items()}
        for subject in (request.a, request.b)
    )
    return forward(a, b, request.network, jaccard_of_sets, ties(a, b, request.network))


def signed(request: Request) -> Permutations:
    """Signed similarity of the units, layer by layer, then coordinate descent (docs/sign-similarity.md).

    Descent also starts from units matched inwards from both ends and from a random order; the largest sum wins.
    """
    signs = (subject.signs(request.side) for subject in (request.a, request.b))
    a, b = ({name: each[name].astype(np.float64) for name in request.names} for each in signs)
    network, rng = request.network, request.rng
    first = forward(a, b, network, similarity_of_signs, ties(a, b, network))
    others = islice(starts(a, b, network, rng, RESTARTS), 1, None)  # in the place of units as they come
    return best(a, b, network, chain([first], others), rng)


def _by_weights(request: Request, which: WeightsAt) -> Permutations:
    """Weights and biases of the prunable layers."""
    a, b = (subject.weights(which) for subject in (request.a, request.b))
    return match_weights(a, b, request.network, request.names, request.rng)


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
)(Alignment(weights_at_dense, dense=True))
ALIGNMENTS.register("weights@end", "weight matching of the trained tickets (Ainsworth et al. 2023, 3.2)")(
    Alignment(weights_at_end)
)
ALIGNMENTS.register(
    "activations@dense",
    "correlation of the dense networks' unit activations on examples (Ainsworth et al. 2023, 3.1)",
)(Alignment(activations_at_dense))
ALIGNMENTS.register(
    "mask",
    "jaccard distance of the units' input sets, layer by layer, ties by colours: NNSTD (Liu et al. 2020)",
)(Alignment(by_mask))
ALIGNMENTS.register(
    "signed",
    "signed similarity of the units, layer by layer, then coordinate descent (docs/sign-similarity.md)",
)(Alignment(signed, sided=True))
ALIGNMENTS.register(
    "weights@dense-held-out",
    "each tensor by a weight matching of the dense networks that has not read it (house)",
)(Alignment(weights_at_dense, dense=True, held_out=True))
ALIGNMENTS.register(
    "signed-held-out", "each tensor by a signed matching of the tickets that has not read it (house)"
)(Alignment(signed, sided=True, held_out=True))
