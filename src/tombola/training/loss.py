"""The loss that is trained on: cross-entropy, squared error, or a function of one's own; and what it is of."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from tombola.errors import UserError, brief
from tombola.metrics import Metric
from tombola.plugins.load import load_function
from tombola.training.recipe import CROSS_ENTROPY, SQUARED, Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of outputs [batch, outputs] and labels, int64 [batch], or targets [batch, outputs]: a scalar."""


def require_kind(metric: Metric, name: str, labels: Tensor) -> None:
    """Raise UserError where the labels of a data set are not what the metric is of: classes, or numbers."""
    if labels.is_floating_point() and not metric.of_targets:
        raise UserError(
            f"data '{name}': labels are numbers of type float, {list(labels.shape)}, and metric '{metric.name}' is of "
            "classes; expected whole numbers, or metric = 'mse' with loss = 'mse' in the recipe"
        )
    if metric.of_targets and not labels.is_floating_point():
        raise UserError(
            f"data '{name}': labels are classes (whole numbers), and metric '{metric.name}' is of targets that are "
            "numbers; expected labels of type float"
        )


def loss_of(recipe: Recipe) -> Loss:
    """The loss of a recipe. Raises UserError for one that cannot be imported, is no function, or is not trusted; its
    results raise one where they are no scalar that follows from the logits."""
    if recipe.loss == CROSS_ENTROPY:
        return lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if recipe.loss == SQUARED:
        return F.mse_loss
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
