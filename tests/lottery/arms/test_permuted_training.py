"""The order of hidden units does not matter to training: `permute-units` is the ticket by another name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from support.arm_table import every_network, scene, treated
from support.lottery_parts import resident
from support.rounding import assert_same_in_double, distance
from tombola.lottery.arms.context import Scene
from tombola.models.units import permute, unit_axes
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.trained import Trained

RECIPE = Recipe(
    iterations=30, batch=10, optimizer="sgd", lr=0.05, momentum=0.9, evaluate_every=10, curve_every=0
)


def trained(where: Scene, arm: str) -> Trained:
    (result,) = train_stack(
        where.architecture,
        [treated(arm, where)],
        resident(where.architecture.input_shape),
        RECIPE,
        15,
        engine="modules",
    )
    return result


@pytest.mark.usefixtures("float64")
@every_network
def test_a_ticket_with_its_units_in_another_order_trains_as_the_ticket(network: str) -> None:
    where = scene(network, level=1)
    ticket, moved = trained(where, "ticket"), trained(where, "permute-units")
    groups, rng = unit_axes(where.architecture), where.rng("permute")
    back = permute(moved.end, groups, [np.argsort(rng.permutation(group.size)) for group in groups])
    assert distance(ticket.end, where.mask.apply(where.rewound)) > 0.05  # it has learnt something
    assert distance(ticket.end, moved.end) > 0.05
    assert_same_in_double(ticket.end, back)
    assert moved.early_stop_val_loss == pytest.approx(ticket.early_stop_val_loss, rel=1e-8)
    assert moved.final_test_accuracy == ticket.final_test_accuracy
    other = trained(where, "permute-mask")
    assert abs(other.early_stop_val_loss - ticket.early_stop_val_loss) > 1e-3
    assert all(torch.isfinite(tensor).all() for tensor in other.end.values())
