"""What a ticket shares with aligned donors, taken away or kept alone; and how much of a ticket there must be at all.

Shared are the weights of a ticket that most aligned donors keep too, a quarter of each tensor: of ten sparse donors
hardly any place is kept by half, so a fixed number of donors would leave nothing to take away. Whatever is done to
shared weights is done in another arm to as many private ones, which are alike as far as possible in all that could
matter besides: the magnitude in the dense network and at the start, and the degrees of the two units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tombola.lottery.arms.catalog import DOSES
from tombola.lottery.arms.context import MASK_ACTIONS, WEIGHT_ACTIONS, Scene
from tombola.lottery.arms.recipient import Recipient
from tombola.lottery.arms.transplants import DRAWS, TAKES
from tombola.masks.mask import Mask
from tombola.models.state import State

Bits = NDArray[np.bool_]
FIFTHS = 5
"""Places are alike that lie in the same fifth of each thing that they are matched by."""
SHARED = 0.25
"""The share of a layer's weights that are the shared ones; private ones are sought among all the others."""
CORE = 0.5
"""The share of a layer's weights that a core is."""


@dataclass(frozen=True)
class Tensorwise:
    """One tensor of a ticket, flat, beside what donors keep of it; every choice is made in a stream of the tensor."""

    scene: Scene
    taken: Recipient
    name: str

    @cached_property
    def living(self) -> Bits:
        """Where the ticket lives."""
        return self.scene.mask[self.name].flatten().numpy()

    @cached_property
    def votes(self) -> NDArray[np.int64]:
        """How many aligned donors keep each place."""
        return votes(self.taken.aligned_masks, self.name)

    @cached_property
    def shared(self) -> Bits:
        """The places of the ticket that most donors keep, and one at least; ties at random."""
        count = round(SHARED * int(self.living.sum()))
        one = self.scene.seeds.stream("some-shared", self.place)  # for every draw the same
        return most(self.votes, self.living & (self.votes > 0), count, one)

    @property
    def common(self) -> Bits:
        """The places that as many donors keep as the least of what is shared."""
        return np.asarray(self.votes >= min(self.votes[self.shared], default=1))

    @cached_property
    def private(self) -> Bits:
        """As many private places, matched to the shared ones."""
        return self.like(self.shared, "private")

    def like(self, these: Bits, purpose: str) -> Bits:
        """As many places of the ticket as there are of these, not shared and matched to them."""
        return matched(these, self.living & ~self.shared, self._kinds(), self.rng(purpose))

    @cached_property
    def fit_shared(self) -> Bits:
        """As many places of the ticket, those that most donors keep that share nothing but the fit."""
        found = votes(self.taken.fit_masks, self.name)
        return most(found, self.living, int(self.shared.sum()), self.rng("fit-shared"))

    def without(self, gone: Bits) -> Tensor:
        """The ticket's tensor with places moved: to others that neither the ticket nor the donors have in common, in
        the same row (into the same unit) as far as there is room."""
        rng, width = self.rng("elsewhere"), int(np.prod(self.shape[1:]))
        free = ~(self.living | self.common)
        new = (self.living & ~gone).reshape(-1, width)
        rows = free.reshape(-1, width)
        left = 0
        for row, count in enumerate(gone.reshape(-1, width).sum(1)):
            picked = rng.permutation(np.flatnonzero(rows[row]))[:count]
            new[row, picked] = True
            left += int(count) - len(picked)
        if left:  # dense layers: wherever there is room, at last where the weights were
            for room in (free, gone):
                picked = rng.permutation(np.flatnonzero(room & ~new.reshape(-1)))[:left]
                new.reshape(-1)[picked] = True
                left -= len(picked)
        return torch.from_numpy(new.reshape(self.shape))

    def core(self, found: NDArray[np.int64]) -> Tensor:
        """The places with most votes, `CORE` of the ticket's count, filled up to it at random."""
        rng, everywhere = self.rng("core"), np.ones_like(self.living)
        count = int(self.living.sum())
        core = most(found, everywhere, round(CORE * count), rng)
        filled = core | chosen(~core, count - int(core.sum()), rng)
        return torch.from_numpy(filled.reshape(self.shape))

    def guided(self, found: NDArray[np.int64]) -> Tensor:
        """As many places as the ticket has, by where they stand among the magnitudes of the dense network (0..1) and
        the share of donors that vote for them (0..1) together; of equal sums the larger magnitude stays."""
        assert self.scene.dense is not None
        size = self.scene.dense.trained[self.name].abs().double().flatten().numpy()
        # Whole numbers: both shares times donors and places.
        score = np.searchsorted(np.sort(size), size) * len(self.taken.places) + found * size.size
        kept = np.zeros_like(self.living)
        kept[np.lexsort((size, score))[size.size - int(self.living.sum()) :]] = True
        return torch.from_numpy(kept.reshape(self.shape))

    @property
    def agreeing(self) -> Bits:
        """Shared places where the ticket starts with the sign that most of the donors that keep them start with."""
        own = self.scene.rewound[self.name].flatten()
        signs = torch.zeros_like(own)
        for mask, start in zip(self.taken.aligned_masks, self.taken.aligned_starts, strict=True):
            signs += (mask[self.name] * start[self.name].sign()).flatten()
        return np.asarray(self.shared & (own.sign() == signs.sign()).numpy())

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the tensor."""
        return self.scene.mask.shapes[self.name]

    def rng(self, purpose: str) -> np.random.Generator:
        """The stream of a purpose for this tensor and draw."""
        return self.taken.rng(purpose, self.place)

    @property
    def place(self) -> int:
        """Which of the prunable tensors it is."""
        return self.scene.architecture.prunable.index(self.name)

    def _kinds(self) -> NDArray[np.int64]:
        """Each living place's fifth of the magnitude in the dense network, of that at the start, and of the product of
        its units' degrees, as one number; -1 where the ticket is dead."""
        matrix = self.living.reshape(self.shape[0], -1)
        degrees = np.outer(matrix.sum(1), matrix.sum(0)).reshape(-1)
        assert self.scene.dense is not None
        states = self.scene.dense.trained, self.scene.rewound
        magnitudes = [state[self.name].abs().double().flatten().numpy() for state in states]
        kinds = np.zeros(self.living.size, dtype=np.int64)
        for values in (*magnitudes, degrees) if self.living.any() else ():
            edges = np.quantile(values[self.living], np.arange(1, FIFTHS) / FIFTHS)
            kinds = FIFTHS * kinds + np.searchsorted(edges, values)
        return np.where(self.living, kinds, -1)


def votes(masks: list[Mask], name: str) -> NDArray[np.int64]:
    """How many masks keep each place of a tensor, flat."""
    return np.asarray(sum(mask[name].flatten().to(torch.int64) for mask in masks))


def chosen(among: Bits, count: int, rng: np.random.Generator) -> Bits:
    """So many of the places at random, or all where there are no more."""
    found = np.zeros_like(among)
    found[rng.permutation(np.flatnonzero(among))[:count]] = True
    return found


def most(found: NDArray[np.int64], among: Bits, count: int, rng: np.random.Generator) -> Bits:
    """The `count` places with most votes among some, ties at random."""
    places = rng.permutation(np.flatnonzero(among))
    best = places[np.argsort(-found[places], kind="stable")[:count]]
    result = np.zeros_like(among)
    result[best] = True
    return result


def matched(these: Bits, among: Bits, kinds: NDArray[np.int64], rng: np.random.Generator) -> Bits:
    """As many places among others as `these` are, of the same kinds as far as there are such, else of the kinds whose
    numbers are nearest. There must be enough."""
    left = rng.permutation(np.flatnonzero(among))
    left = left[np.argsort(kinds[left], kind="stable")]
    wanted = np.sort(kinds[np.flatnonzero(these)])
    result = np.zeros_like(among)
    short = []
    for kind, count in zip(*np.unique(wanted, return_counts=True), strict=True):
        own = left[np.searchsorted(kinds[left], kind) : np.searchsorted(kinds[left], kind, side="right")]
        result[own[:count]] = True
        short += [kind] * max(0, int(count) - len(own))
    spare = left[~result[left]]
    for kind in short:
        nearest = int(np.argmin(np.abs(kinds[spare] - kind)))
        result[spare[nearest]] = True
        spare = np.delete(spare, nearest)
    return result


def tensor_by_tensor(scene: Scene, make: Callable[[Tensorwise], Tensor]) -> Mask:
    """A mask made tensor by tensor; a tensor whose rate is 0 stays as it is."""
    taken = Recipient(scene)
    return Mask(
        {
            name: make(Tensorwise(scene, taken, name)) if scene.rates[name] > 0 else scene.mask[name]
            for name in scene.mask
        }
    )


# --- destroy, or keep alone ----------------------------------------------------------------------------------------

# fmt: off
TENSORWISE: Mapping[str, tuple[Callable[[Tensorwise], Tensor], str]] = {
    "shared-rewired": (lambda one: one.without(one.shared),
        "The ticket with its shared weights moved elsewhere (after Ainsworth et al. 2023)."),
    "private-rewired": (lambda one: one.without(one.private),
        "The ticket with as many matched private weights moved elsewhere (after Ainsworth et al. 2023)."),
    "fit-shared-rewired": (lambda one: one.without(one.fit_shared),
        "The ticket with as many moved that it shares with scrambled donors (after Ainsworth et al. 2023)."),
    "core": (lambda one: one.core(one.votes),
        "Half of each layer where most aligned donors have weights, the rest at random (after Ainsworth et al. 2023)."),
    "core-apart": (lambda one: one.core(votes(one.taken.shuffled_masks, one.name)),
        "As `core`, by the votes of donors whose units are in random order (after Ainsworth et al. 2023)."),
    "core-fit": (lambda one: one.core(votes(one.taken.fit_masks, one.name)),
        "As `core`, by the votes of donors that share nothing but the fit (after Ainsworth et al. 2023)."),
    "core-fit-apart": (lambda one: one.core(votes(one.taken.fit_shuffled_masks, one.name)),
        "As `core-fit`, their units in random order (after Ainsworth et al. 2023)."),
    "guided": (lambda one: one.guided(one.votes),
        "The dense network pruned once, by magnitude and aligned donors' votes (after Ainsworth et al. 2023)."),
    "guided-fit": (lambda one: one.guided(votes(one.taken.fit_masks, one.name)),
        "As `guided`, by the votes of donors that share nothing but the fit (after Ainsworth et al. 2023)."),
}
# fmt: on
"""Mask actions that go tensor by tensor: what each makes of one, and what it is."""
for _name, (_make, _line) in TENSORWISE.items():
    _traits = TAKES if _name == "guided" else DRAWS  # whose masks draw nothing
    MASK_ACTIONS.register(_name, _line, traits=_traits)(partial(tensor_by_tensor, make=_make))


# --- signs ---------------------------------------------------------------------------------------------------------


@WEIGHT_ACTIONS.register("flip-shared", traits=TAKES)
def flip_shared(scene: Scene) -> State:
    """The ticket's start, signs of shared weights turned where most donors agree (after Ainsworth et al. 2023)."""
    return _flipped(scene, lambda one: one.agreeing)


@WEIGHT_ACTIONS.register("flip-private", traits=DRAWS)
def flip_private(scene: Scene) -> State:
    """The ticket's start with as many signs of matched private weights turned (after Ainsworth et al. 2023)."""
    return _flipped(scene, lambda one: one.like(one.agreeing, "flip-private"))


def _flipped(scene: Scene, which: Callable[[Tensorwise], Bits]) -> State:
    taken = Recipient(scene)

    def turned(name: str, own: Tensor) -> Tensor:
        places = torch.from_numpy(which(Tensorwise(scene, taken, name)).reshape(tuple(own.shape)))
        return torch.where(places, -own, own)

    return scene.with_weights(turned)


# --- dose: a scale for all of the above ----------------------------------------------------------------------------


def dose(scene: Scene, kept: float) -> Mask:
    """The ticket with a share of each tensor's weights kept, drawn at random, and the others moved elsewhere."""
    rng = scene.rng("dose")
    found = {}
    for name in scene.mask:
        living = scene.mask[name].flatten().numpy()
        stay = chosen(living, round(kept * int(living.sum())), rng)
        new = stay | chosen(~living, int(living.sum() - stay.sum()), rng)
        new |= chosen(living & ~new, int(living.sum() - new.sum()), rng)  # where there is no other room
        found[name] = (
            torch.from_numpy(new).view(scene.mask.shapes[name]) if scene.rates[name] > 0 else scene.mask[name]
        )
    return Mask(found)


for _percent in DOSES:
    MASK_ACTIONS.register(
        f"dose-{_percent}",
        f"{_percent}% of each layer of the ticket, the rest moved elsewhere (after F&C 2019, App. E)",
        traits=["random"],
    )(partial(dose, kept=_percent / 100))
