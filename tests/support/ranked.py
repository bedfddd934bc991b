"""Trainings of several processes, run by torchrun; each stores what came of them."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from support.rounding import doubled
from tombola.data.arrays import from_arrays
from tombola.data.resident import Resident
from tombola.masks.mask import Mask
from tombola.models.architecture import architecture
from tombola.seeds import Seeds, stream
from tombola.training.loop import train_stack
from tombola.training.parallel import Ranks, leave, ranks
from tombola.training.recipe import Recipe
from tombola.training.start import Start
from tombola.training.trained import Trained

RECIPE = {
    "iterations": 6,
    "batch": 7,
    "lr": 0.05,
    "optimizer": "sgd",
    "momentum": 0.9,
    "evaluate_every": 2,
    "curve_every": 4,
}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"flip": True, "crop": 2},
    "smoothed adam": {"label_smoothing": 0.1, "optimizer": "adam", "momentum": 0.0, "lr": 0.001},
}


def net(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Batch norms of images and of features, and dropout of channels and of units."""
    layers = OrderedDict(
        conv=nn.Conv2d(shape[0], 6, 3, padding=1),
        norm=nn.BatchNorm2d(6),
        relu=nn.ReLU(),
        channels=nn.Dropout2d(0.3),
        pool=nn.AdaptiveAvgPool2d(2),
        flatten=nn.Flatten(),
        hidden=nn.Linear(24, 8),
        norm2=nn.BatchNorm1d(8, momentum=None),
        relu2=nn.ReLU(),
        units=nn.Dropout(0.4),
        out=nn.Linear(8, classes),
    )
    return nn.Sequential(layers)


def trained(case: str, here: Ranks | None = None, seed: int = 0) -> list[Trained]:
    """Two networks on noisy stripes, one of them sparse."""
    rng = stream("ranked")
    y = np.arange(310) % 3
    x = rng.normal(size=(310, 2, 8, 8)) + (np.arange(8) % 3 == y[:, None, None, None])
    data = Resident(from_arrays((x[:60], y[:60]), (x[60:], y[60:])), "standard", torch.device("cpu"))
    made = architecture(net, data.shape, data.classes)
    seeds = [Seeds.replicate(seed, r) for r in range(2)]
    dense = Mask.dense(made.prunable_shapes)
    half = Mask({name: torch.from_numpy(rng.random(tuple(bits.shape)) < 0.5) for name, bits in dense.items()})
    starts = [
        Start(made.initial(own.stream("init")), mask, own)
        for own, mask in zip(seeds, (dense, half), strict=True)
    ]
    recipe = Recipe(**{**RECIPE, **CASES[case]})
    return train_stack(made, starts, data, recipe, 10, engine="modules", ranks=here)


def main(folder: Path) -> None:
    """All cases, stored by each process under its number."""
    here = ranks()
    assert here is not None
    torch.set_num_threads(1)
    with doubled():
        found = {case: trained(case, here) for case in CASES}
    torch.save(
        {case: [(t.end, t.history) for t in each] for case, each in found.items()}, folder / f"{here.rank}.pt"
    )
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
