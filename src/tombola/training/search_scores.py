"""Edge-popup and supermasks: two ways to make a mask of scores, and to train these."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tombola.training.scores import Positive, ScoreMethod, ScoreSteps, Share
from tombola.training.search import SEARCHES


@SEARCHES.register("edge-popup")
class EdgePopup(ScoreMethod):
    """The weights of highest score live, and gradients go straight through that choice (Ramanujan et al. 2020, 3).

    Scores begin as the weights of a layer would, evenly spread over +-1 / sqrt(fan-in). dm/ds counts as 1.
    """

    lr: Positive = 0.1
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    schedule: Literal["constant", "cosine"] = "cosine"

    def begin(self, shape: tuple[int, ...], density: float, rng: np.random.Generator) -> Tensor:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        return torch.from_numpy(rng.uniform(-bound, bound, shape))

    def drawn(self, steps: ScoreSteps, iteration: int) -> dict[str, Tensor]:
        return steps.highest()

    def slope(self, score: Tensor) -> Tensor | float:
        return 1.0


@SEARCHES.register("supermask")
class Supermask(ScoreMethod):
    """Weights live by chance, anew in each step, and the chances are trained (Zhou et al. 2019, 5).

    The chance of a weight is the sigmoid of its score, and dm/ds the slope of the sigmoid. All scores begin where as
    many weights live as the level has, on average. With `rescale` ("dynamic weight rescaling") the living weights of
    each tensor are multiplied by its size over the number of them, in steps by the number that happen to live, and
    between them by the number in the mask: so the end of such a search holds scaled weights. A ticket of its mask
    starts from weights that are not.
    """

    lr: Positive = 100.0
    momentum: Share = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    rescale: bool = True

    def begin(self, shape: tuple[int, ...], density: float, rng: np.random.Generator) -> Tensor:
        return torch.full(shape, math.log(density / (1 - density)), dtype=torch.float64)

    def drawn(self, steps: ScoreSteps, iteration: int) -> dict[str, Tensor]:
        return steps.at_random(iteration)

    def slope(self, score: Tensor) -> Tensor | float:
        chance = score.sigmoid()
        return chance * (1 - chance)
