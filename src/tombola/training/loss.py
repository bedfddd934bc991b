"""The loss that is trained on: cross-entropy, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from tombola.errors import UserError, brief
from tombola.plugins.load import load_function
from tombola.training.recipe import CROSS_ENTROPY, Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits [batch, classes] and labels, int64 [batch]: a scalar."""


def loss_of(recipe: Recipe) -> Loss:
    """The loss of a recipe. Raises UserError for one that cannot be imported, is no function, or is not trusted; its
    results raise one where they are no scalar that follows from the logits."""
    if recipe.loss == CROSS_ENTROPY:
        return lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    said = f"loss '{recipe.loss}'"
    given = load_function(recipe.code[0], said, "function")
    if not callable(given):
        raise UserError(
            f"{said}: this is of type {type(given).__name__}, expected a function of logits and labels"
        )

    def own(logits: Tensor, labels: Tensor) -> Tensor:
        try:
            found = given(logits, labels)
        except Exception as problem:
            raise UserError(f"{said}: it failed ({brief(problem)})") from problem
        if not isinstance(found, Tensor) or found.numel() != 1 or not found.requires_grad:
            what = (
                f"shape {list(found.shape)}" if isinstance(found, Tensor) else f"type {type(found).__name__}"
            )
            raise UserError(f"{said}: it returned {what}, expected a scalar that follows from the logits")
        return found.reshape(())

    return own
