"""Recipients and donors large enough for units to be told apart: strangers, and kin of the recipient."""

from __future__ import annotations

import numpy as np
import torch

from support.lottery_parts import CLASSES
from support.rounding import made_once
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import Rung, Scene
from tombola.lottery.arms.donors import Donor, Lent
from tombola.lottery.arms.treat import treat
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.models.state import State
from tombola.models.units import permute, unit_axes
from tombola.seeds import Seeds, stream

DONORS = 4


@made_once
def lenet() -> Architecture:
    return architecture("lenet-40-30", (25,), CLASSES)


def largest(dense: State, density: float = 0.3) -> Mask:
    """The largest weights of each layer, as magnitude pruning leaves them."""
    names = lenet().prunable
    cuts = {name: dense[name].abs().flatten().quantile(1 - density) for name in names}
    return Mask({name: dense[name].abs() > cuts[name] for name in names})


def ladder(r: int) -> Donor:
    """A ladder of its own: start, a dense network near it, and the mask of its largest weights."""
    start = lenet().initial(stream(r, "start"))
    dense = {
        n: t + 0.1 * torch.from_numpy(stream(r, n).standard_normal(tuple(t.shape))).float()
        for n, t in start.items()
    }
    return Donor(largest(dense), start, dense)


def shuffled(donor: Donor, r: int) -> tuple[Donor, list[np.ndarray]]:
    """The same ladder with its units in another order, and that order."""
    groups = unit_axes(lenet())
    orders = [stream(r, "order", i).permutation(group.size) for i, group in enumerate(groups)]
    mask, start, dense = (permute(each, groups, orders) for each in (donor.mask, donor.start, donor.dense))
    return Donor(Mask(mask), start, dense), orders


def scene(pool: list[Donor | None], twin: Donor | None = None, draw: int = 0, rates: float = 0.2) -> Scene:
    own, lent = ladder(0), Lent(pool, twin)
    return Scene(
        architecture=lenet(),
        mask=own.mask,
        rewound=own.start,
        rates=dict.fromkeys(own.mask, rates),
        seeds=Seeds.replicate(0, 0),
        level=3,
        draw=draw,
        initial=own.start,
        dense=Rung(Mask.dense(own.mask.shapes), own.start, own.dense),
        lent=lambda: lent,
    )


def strangers() -> Scene:
    """Donors that share nothing with the recipient."""
    return scene([ladder(r) for r in range(1, 1 + DONORS)], ladder(9))


def kin() -> Scene:
    """Donors that are noisy copies of the recipient's ladder, with their units in other orders."""

    def copy(r: int) -> Donor:
        own = ladder(0)
        noise = {
            n: 0.05 * torch.from_numpy(stream(r, "kin", n).standard_normal(tuple(t.shape))).float()
            for n, t in own.dense.items()
        }
        dense = {n: own.dense[n] + noise[n] for n in own.dense}
        return shuffled(Donor(largest(dense), own.start, dense), r)[0]

    return scene([copy(r) for r in range(1, 1 + DONORS)])


def mask_of(arm: str, where: Scene) -> Mask:
    return treat(ARMS[arm], where)[0]


def degrees(mask: Mask, name: str) -> tuple[list[int], list[int]]:
    return mask[name].sum(0).tolist(), mask[name].sum(1).tolist()
