"""What one draw of an arm takes from donors, and how it lays it over its own ticket."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from tombola.alignment.network import Network, Permutations, spread
from tombola.alignment.weights import match_weights
from tombola.errors import UserError
from tombola.lottery.arms.context import Scene
from tombola.lottery.arms.donors import Donor, LadderEndedError
from tombola.masks.mask import Mask
from tombola.masks.scramble import scrambled
from tombola.models.state import State
from tombola.models.units import permute


class Recipient:
    """One draw of an arm, and the donors it may take from; 0 is its own donor. Raises UserError where there are none.

    Everything that asks for a donor raises LadderEndedError where that donor has no ticket at this level.
    """

    def __init__(self, scene: Scene) -> None:
        if scene.lent is None or scene.dense is None:
            raise UserError("an arm takes from donors, and there are none; expected donors = 1 or more")
        self.scene, self.lent, self.dense = scene, scene.lent(), scene.dense.trained
        self.network = scene.architecture.ask(Network.of)

    def donor(self, place: int = 0) -> Donor:
        """The donor at a place of the pool."""
        return _there(self.lent.pool[place])

    @property
    def places(self) -> list[int]:
        """Which of the donors reached this level."""
        there = [place for place, donor in enumerate(self.lent.pool) if donor is not None]
        if not there:
            raise LadderEndedError
        return there

    def aligned(self, tensors: Mapping[str, Tensor], place: int = 0) -> State:
        """Tensors of a donor with their units in the recipient's order, by the two dense networks."""
        known = self.lent.matchings
        if place not in known:
            known[place] = self._matched(self.donor(place).dense, self.scene.seeds.stream("match", place))
        return self.in_order(tensors, known[place])

    def fit(self, place: int = 0) -> Mask:
        """The mask of a donor that shares nothing: mask and dense network are scrambled together, with all degrees and
        magnitudes. What aligning it gives is what aligning anything to one's own dense network gives."""
        return self._scrambled(place)[0]

    def fit_aligned(self, place: int = 0) -> Mask:
        """The mask of `fit`, aligned by its own dense network."""
        return self._scrambled(place)[1]

    def _scrambled(self, place: int) -> tuple[Mask, Mask]:
        known, key = self.lent.scrambled, (self.scene.draw, place)
        if key not in known:
            donor = self.donor(place)
            mask, dense = scrambled(donor.mask, donor.dense, self.rng("fit", place))
            found = self._matched(dense, self.rng("match-fit", place))
            known[key] = mask, Mask(self.in_order(mask, found))
        return known[key]

    @property
    def twin_aligned(self) -> Mask:
        """The twin's mask, its units first put in random order and then aligned by its dense network, as a donor's."""
        twin, seeds = _there(self.lent.twin), self.scene.seeds
        order = _order(self.network, seeds.stream("twin"))
        mask, dense = (self.in_order(tensors, order) for tensors in (twin.mask, twin.dense))
        return Mask(self.in_order(mask, self._matched(dense, seeds.stream("match-twin"))))

    @cached_property
    def aligned_masks(self) -> list[Mask]:
        """The masks of all donors, each aligned."""
        return [Mask(self.aligned(self.donor(place).mask, place)) for place in self.places]

    @cached_property
    def aligned_starts(self) -> list[State]:
        """What the tickets of all donors start from, each aligned."""
        return [self.aligned(self.donor(place).start, place) for place in self.places]

    @cached_property
    def shuffled_masks(self) -> list[Mask]:
        """The masks of all donors, each with its units in random order."""
        return [
            Mask(self.in_order(self.donor(place).mask, self.random_order("shuffle-donor", place)))
            for place in self.places
        ]

    @cached_property
    def fit_masks(self) -> list[Mask]:
        """The masks of all donors, each scrambled together with its dense network, and then aligned by that."""
        return [self.fit_aligned(place) for place in self.places]

    @cached_property
    def fit_shuffled_masks(self) -> list[Mask]:
        """The same, their units in random order instead of aligned."""
        return [
            Mask(self.in_order(self.fit(place), self.random_order("shuffle-fit", place)))
            for place in self.places
        ]

    def in_order(self, tensors: Mapping[str, Tensor], order: Permutations) -> State:
        """The tensors with hidden units in another order."""
        return permute(tensors, self.network.groups, order)

    def random_order(self, purpose: str, place: int = 0) -> Permutations:
        """A random order of all hidden units."""
        return _order(self.network, self.rng(purpose, place))

    def apart(self, tensor: Tensor, name: str, rng: np.random.Generator) -> Tensor:
        """One tensor with the units of each of its axes in a random order of that axis alone."""
        for axis, (group, repeat) in self.network.axes.get(name, {}).items():
            order = spread(rng.permutation(self.network.groups[group].size), repeat)
            tensor = tensor.index_select(axis, torch.from_numpy(order))
        return tensor

    def rng(self, purpose: str, place: int = 0) -> np.random.Generator:
        """The stream of one purpose for this draw and one donor."""
        return self.scene.seeds.stream(purpose, self.scene.level, self.scene.draw, place)

    def _matched(self, dense: State, rng: np.random.Generator) -> Permutations:
        return match_weights(self.dense, dense, self.network, list(self.scene.mask), rng)


def _order(network: Network, rng: np.random.Generator) -> Permutations:
    return tuple(rng.permutation(group.size) for group in network.groups)


def _there(donor: Donor | None) -> Donor:
    if donor is None:
        raise LadderEndedError
    return donor
