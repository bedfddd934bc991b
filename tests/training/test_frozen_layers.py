"""Layers that are not trained: moving masks leave them alone, and a network of nothing else is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from support.score_parts import scorer_of, starts_of
from support.score_parts import search as score_search
from support.training_parts import CLASSES, resident, start
from tombola.errors import UserError
from tombola.masks.ladder import ladder
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import Architecture, architecture
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES, Goal, Search
from tombola.training.start import Start
from tombola.training.trained import Trained

MOVING = ["set", "rigl"]
SCORES = ["edge-popup", "supermask"]
RECIPE = Recipe(iterations=20, evaluate_every=20, batch=10, optimizer="sgd", lr=0.1)
"""Long enough for nine moves, two iterations apart."""


def half_frozen() -> nn.Module:
    """A fixed layer of 16 x 20 weights below one of 3 x 16."""
    module = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    module[2].requires_grad_(False)
    return module


FIXED = "2.weight"


def searched(name: str, rule: PruneRule) -> tuple[Architecture, Trained, Start]:
    """The network, what a search for the masks of level 1 found, and where it began."""
    arch = architecture(half_frozen, (6,), CLASSES)
    shapes = {name: arch.shapes[name] for name in arch.prunable}
    rates = rates_for(rule, arch.roles)
    rung = ladder(shapes, rates, rule.allocation, 1, rule.structure)[1]
    options = {"every": 2, "until": 1.0} if name in MOVING else {}
    sought = Search(SEARCHES[name](**options), Goal(rung, rates, rule))
    begun = sought.start(start(arch, level=1))
    return arch, train_stack(arch, [begun], resident(), RECIPE, 5, search=sought)[0], begun


@pytest.mark.parametrize("allocation", ["layerwise", "global"])
@pytest.mark.parametrize("name", MOVING)
def test_masks_do_not_move_in_a_frozen_layer(name: str, allocation: str) -> None:
    """All 256 of 320 weights that live at level 1 are what they were; where one grew it would be zero."""
    _, found, begun = searched(name, PruneRule(rate=0.2, allocation=allocation))
    assert found.mask is not None
    living = found.mask[FIXED]
    assert torch.equal(found.end[FIXED], torch.where(living, begun.state[FIXED], 0.0))
    assert int(found.end[FIXED].count_nonzero()) == found.mask.count(FIXED)
    if allocation == "layerwise":
        assert found.mask.count(FIXED) == 256
    assert torch.equal(living, begun.mask[FIXED])
    assert not torch.equal(found.mask["0.weight"], begun.mask["0.weight"]), "those that are trained do move"


@pytest.mark.parametrize("allocation", ["layerwise", "global"])
@pytest.mark.parametrize("name", SCORES)
def test_scores_choose_a_random_mask_of_a_frozen_layer_once(name: str, allocation: str) -> None:
    """The mask does not depend on the training, and the weights under it are not rescaled."""
    rule = PruneRule(rate=0.5, allocation=allocation)
    arch, found, begun = searched(name, rule)
    assert found.mask is not None
    assert found.mask.count(FIXED) == 160, "its share of the count, half of 320"
    assert torch.equal(found.end[FIXED], torch.where(found.mask[FIXED], begun.state[FIXED], 0.0))
    assert found.mask.count() == {"layerwise": 60 + 160 + 24, "global": 244}[allocation]
    assert arch.frozen == {"2.weight", "2.bias"}


def everything(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


@pytest.mark.parametrize("model", [lambda: everything(half_frozen()), everything(half_frozen())])
def test_a_network_with_nothing_to_train_is_refused(model: object) -> None:
    with pytest.raises(UserError, match=r"all of its parameters are frozen \(requires_grad = False\)"):
        architecture(model, (6,), CLASSES)  # type: ignore[arg-type]


def test_the_mask_of_a_frozen_layer_is_not_drawn_anew_in_each_step() -> None:
    arch = architecture(half_frozen, (6,), CLASSES)
    sought = score_search(arch, "supermask")
    steps = scorer_of(arch, resident(), "modules", sought, starts_of(arch, sought, 0, 1), RECIPE)
    first, second = (steps.at_random(iteration) for iteration in (0, 1))
    assert torch.equal(first[FIXED], steps.highest()[FIXED])
    assert torch.equal(first[FIXED], second[FIXED])
    assert not torch.equal(first["0.weight"], second["0.weight"])
