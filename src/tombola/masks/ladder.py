"""The ladder: how much lives at each level, known before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tombola.errors import UserError
from tombola.masks.allocation import Pool, pools_of
from tombola.masks.structure import Bools, structure


def ladder(
    sizes: Mapping[str, int | tuple[int, ...]],
    rates: Mapping[str, float],
    allocation: str,
    levels: int,
    kind: str = "weights",
) -> list[dict[str, int]]:
    """Weights alive at levels 0 to `levels`, worked out without training anything.

    `sizes` has the shape of each tensor, or its number of weights, which does unless the allocation or the
    structure, `kind`, looks at sides. A level has an entry for each contest: a tensor under its name or, where
    tensors compete, the label of their pool ("global"). The values of a level add up to all that lives, so their sum
    over the number of weights is the density.

    Of a structure with groups, levels lose groups. Their weights are exact where the groups of a contest are equally
    large; where they are not (ragged blocks, channels of several tensors in one pool), a group counts for their mean.

    Raises UserError, naming the level, for a ladder that would leave a contest empty, or one at another density than
    the structure's own. That a tensor within a global pool runs empty cannot be known here.
    """
    shapes = {name: size if isinstance(size, tuple) else (size,) for name, size in sizes.items()}
    pools = pools_of(shapes, rates, allocation)
    members = {label: names for pool in pools for label, names in pool.contests.items()}
    whole = {name: np.ones(shape, dtype=np.bool_) for name, shape in shapes.items()}
    groups = structure(kind)
    dense = {name: groups.count(alive) for name, alive in whole.items()}
    counts = {label: sum(dense[name] for name in names) for label, names in members.items()}
    rungs = [counts]
    for level in range(1, levels + 1):
        counts = _below(counts, pools, dense, level)
        for label, names in members.items():
            living, alive = rungs[-1][label], [whole[name] for name in names]
            check_ratio(kind, alive, living, counts[label], f"'{label}' at level {level}")
        rungs.append(counts)
    weights = {label: sum(whole[name].size for name in names) for label, names in members.items()}
    return [
        {label: in_proportion(count, rungs[0][label], weights[label]) for label, count in rung.items()}
        for rung in rungs
    ]


def in_proportion(count: int, of: int, to: int) -> int:
    """`count` of `of` on a scale of `to`, rounded half up: groups to weights, and back. Nothing of nothing is 0."""
    return (2 * count * to + of) // (2 * of) if of else 0


def check_ratio(kind: str, masks: Sequence[Bools], living: int, keep: int, where: str) -> None:
    """Raise UserError where a structure has a density of its own and a contest of `masks` is to keep another count."""
    groups = structure(kind)
    if groups.most is None or keep == living:
        return
    ratio = sum(groups.ratio(mask) for mask in masks)
    if keep != ratio:
        raise UserError(
            f"structure '{kind}' leaves {ratio} of the {living} weights of {where}, but the allocation keeps {keep}; "
            "expected rates that agree with it (0 leaves a tensor as it is)"
        )


def _below(
    counts: Mapping[str, int], pools: Sequence[Pool], dense: Mapping[str, int], level: int
) -> dict[str, int]:
    """The next level's counts; a contest that would run empty is a UserError."""
    below: dict[str, int] = {}
    for pool in pools:
        below |= pool.keep(dense, counts)
        for label in pool.contests:
            if below[label] == 0 < counts[label]:
                raise UserError(
                    f"level {level} would remove the last weights of '{label}' "
                    f"({counts[label]} left, rate {pool.rate}); expected fewer levels or a lower rate"
                )
    return below
