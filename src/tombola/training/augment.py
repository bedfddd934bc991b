"""Random flips and crops of training images, on the device, as one gather a batch (He et al. 2016, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tombola.errors import UserError
from tombola.training.batches import Group
from tombola.training.noise import UNIFORM_BITS, hash64, uniform
from tombola.training.recipe import Recipe


class Augment:
    """Flips each image left to right with probability 1/2 (`flip`), and takes a crop of its own size at a random
    place of the image padded with `crop` pixels on every side.

    It acts on normalised images, so that the padding, 0, is the channel's mean: a border that is no signal. Padding
    before normalising would frame most images in black, which is far from the mean and differs by data set.

    The numbers of an image are a hash of the stream `augment` of its group (replicate and level), the iteration and
    its position in the batch, and of nothing else. So arms of a replicate see the same images, a stack what a lone
    network sees, and any iteration can be computed without those before it.
    """

    iteration: Tensor
    """Where the noise is, an int64 scalar on the device, so that a step needs no value from the host."""

    def __init__(self, recipe: Recipe, groups: Sequence[Group], device: torch.device) -> None:
        self.flip, self.crop = recipe.flip, recipe.crop
        keys = [group.seeds.key("augment", group.level) for group in groups]
        self._stems = hash64(torch.tensor(keys, dtype=torch.int64, device=device)).unsqueeze(1)
        self.iteration = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, iteration: int | Tensor) -> None:
        """The step that leads from `iteration` begins; a tensor is an int64 scalar on the device."""
        self.iteration.fill_(iteration)

    def __call__(self, x: Tensor, first: int = 0) -> Tensor:
        """Images [G, batch, C, H, W] of this iteration, changed: a new tensor of the same shape. `first` is the place
        of the first of them in the whole batch."""
        *count, channels, height, width = x.shape
        drawn = self._draws(count[1], first).view(-1, 1)
        rows = torch.arange(height, device=x.device).expand(len(drawn), -1)
        columns = torch.arange(width, device=x.device).expand(len(drawn), -1)
        if self.crop:
            rows = rows + self._shift(drawn, 64)
            columns = columns + self._shift(drawn, 64 - UNIFORM_BITS)
        if self.flip:
            columns = torch.where((drawn & 1).bool(), width - 1 - columns, columns)
        place = rows.clamp(0, height - 1).unsqueeze(2) * width + columns.clamp(0, width - 1).unsqueeze(1)
        flat = x.reshape(len(drawn), channels, height * width)
        out = flat.gather(2, place.view(len(drawn), 1, -1).expand(-1, channels, -1)).view(x.shape)
        if not self.crop:
            return out
        inside = _within(rows, height).unsqueeze(2) & _within(columns, width).unsqueeze(1)
        return torch.where(inside.view(*count, 1, height, width), out, 0.0)

    def _draws(self, batch: int, first: int = 0) -> Tensor:
        """64 random bits for each image, int64 [G, batch]."""
        places = torch.arange(first, first + batch, device=self._stems.device)
        return hash64(hash64(self._stems + self.iteration) + places)

    def _shift(self, drawn: Tensor, high: int) -> Tensor:
        """How far a crop is off the centre: -crop..crop, each as likely as the others to 1 in 2**UNIFORM_BITS."""
        return (uniform(drawn, high) * (2 * self.crop + 1) >> UNIFORM_BITS) - self.crop


class Crops:
    """64 random bits for the random crop of each image of a batch, of files that are decoded on the host: a hash as in
    `Augment`, of a stream of its own."""

    def __init__(self, groups: Sequence[Group]) -> None:
        keys = [group.seeds.key("augment", group.level, "resized-crop") for group in groups]
        self._stems = hash64(torch.tensor(keys, dtype=torch.int64)).unsqueeze(1)

    def at(self, iteration: int, batch: int) -> Tensor:
        """Those of an iteration, int64 [G, batch], on the CPU."""
        return hash64(hash64(self._stems + iteration) + torch.arange(batch))


def _within(place: Tensor, size: int) -> Tensor:
    return (place >= 0) & (place < size)


def require_images(recipe: Recipe, shape: Sequence[int]) -> None:
    """Raise UserError when the recipe flips or crops what are not images [C, H, W] larger than the padding."""
    if not recipe.augments:
        return
    asked = "flip = true" if recipe.flip else f"crop = {recipe.crop}"
    if len(shape) != 3:
        raise UserError(
            f"recipe.{asked} needs images [channels, height, width], found data of shape {list(shape)}"
        )
    if recipe.crop >= min(shape[1:]):
        raise UserError(
            f"recipe.crop is {recipe.crop}, expected less than the height and width of the images, {list(shape[1:])}"
        )
