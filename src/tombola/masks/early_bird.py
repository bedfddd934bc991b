"""Early-bird tickets: the mask that a training would leave, drawn as soon as it stands still (You et al. 2020)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tombola.errors import UserError
from tombola.masks.allocation import removals
from tombola.masks.mask import Mask
from tombola.masks.structure import Floats, lowest


def mask_distance(first: Mask, second: Mask) -> float:
    """Normalised Hamming distance: the share of all weights, 0..1, that live in one mask only."""
    return (first ^ second).count() / max(first.size(), 1)


def distance_map(masks: Sequence[Mask]) -> Floats:
    """Distances of all pairs [n, n]: the heat map of You et al. 2020 (Figure 3), zero on the diagonal."""
    distances = np.zeros((len(masks), len(masks)))
    for i, j in itertools.combinations(range(len(masks)), 2):
        distances[i, j] = distances[j, i] = mask_distance(masks[i], masks[j])
    return distances


@dataclass(frozen=True)
class EarlyBird:
    """Says when a ticket is drawn: when the last `window` distances from one epoch's mask to the next were all below
    `threshold` (You et al. 2020, section 3). Raises UserError for a threshold or window that is not above 0."""

    threshold: float = 0.1
    window: int = 5

    def __post_init__(self) -> None:
        if not self.threshold > 0 or self.window < 1:
            raise UserError(
                f"early bird with threshold {self.threshold} and window {self.window}, expected both above 0"
            )

    def drawn(self, masks: Sequence[Mask]) -> int | None:
        """Index of the first mask at which it is drawn, of one mask an epoch; None if it is not yet."""
        calm = 0
        for epoch, (before, now) in enumerate(itertools.pairwise(masks), start=1):
            calm = calm + 1 if mask_distance(before, now) < self.threshold else 0
            if calm == self.window:
                return epoch
        return None


def norm_scales(module: nn.Module) -> dict[str, Tensor]:
    """The scales of a network's batch norms, by the names of the parameters: copies on the CPU, one for a channel."""
    return {
        f"{name}.weight" if name else "weight": part.weight.detach().to("cpu", copy=True)
        for name, part in module.named_modules()
        if isinstance(part, _BatchNorm) and part.affine
    }


def channel_mask(scales: Mapping[str, Tensor], rate: float, rng: np.random.Generator) -> Mask:
    """The channels that live when floor(rate * channels + 1/2) of all go, those with the smallest batch-norm scales in
    magnitude first (network slimming: Liu et al. 2017; the masks of You et al. 2020). The stream breaks ties."""
    names = sorted(scales)
    flat = torch.cat([scales[name].detach().to("cpu", torch.float64).abs().reshape(-1) for name in names])
    if not flat.isfinite().all():
        raise UserError("batch-norm scales are not all finite (has the training diverged?)")
    living = torch.from_numpy(~lowest(flat.numpy(), removals(len(flat), rate), rng))
    parts = torch.split(living, [scales[name].numel() for name in names])
    return Mask({name: part.view(scales[name].shape) for name, part in zip(names, parts, strict=True)})
