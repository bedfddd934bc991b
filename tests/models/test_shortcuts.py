"""Shortcuts: which weights have this role, and the pruning rates they get."""

from __future__ import annotations

import numpy as np
import pytest

import tombola
from tombola.data.arrays import from_arrays
from tombola.errors import UserError
from tombola.masks.rule import PruneRule, rates_for
from tombola.models.architecture import architecture
from tombola.seeds import stream
from tombola.study.pruning import Pruning
from tombola.training.recipe import Recipe


def test_projections_are_shortcuts_and_identities_have_no_weights() -> None:
    roles = architecture("resnet-14", (1, 8, 8), 4).roles
    assert [name for name, role in roles.items() if role == "shortcut"] == [
        "stage2.0.shortcut.conv.weight",
        "stage3.0.shortcut.conv.weight",
    ]
    wide = architecture("wrn-8-2", (1, 8, 8), 4).roles
    assert [name for name, role in wide.items() if role == "shortcut"] == [
        f"stage{stage}.0.shortcut.weight" for stage in (1, 2, 3)
    ]
    narrow = architecture(
        "wrn-8-1", (1, 8, 8), 4
    ).roles  # 16 channels come into the first group, and leave it
    assert [name for name, role in narrow.items() if role == "shortcut"] == [
        f"stage{stage}.0.shortcut.weight" for stage in (2, 3)
    ]


def rates(**given: float) -> dict[str, float]:
    arch = architecture("resnet-14", (1, 8, 8), 4)
    found = rates_for(PruneRule(rate=0.5, rates=given), arch.roles)
    return {
        "conv": found["stage2.0.conv1.weight"],
        "shortcut": found["stage2.0.shortcut.conv.weight"],
        "output": found["out.weight"],
    }


def test_a_shortcut_has_the_rate_of_the_convolutions_unless_it_has_its_own() -> None:
    assert rates() == {"conv": 0.5, "shortcut": 0.5, "output": 0.5}
    assert rates(conv=0.2) == {"conv": 0.2, "shortcut": 0.2, "output": 0.5}
    assert rates(shortcut=0.0) == {"conv": 0.5, "shortcut": 0.0, "output": 0.5}
    assert rates(conv=0.2, shortcut=0.0, output=0.0) == {"conv": 0.2, "shortcut": 0.0, "output": 0.0}
    assert rates(conv=0.2, **{"*.shortcut.*": 0.1}) == {"conv": 0.2, "shortcut": 0.1, "output": 0.5}


def test_a_draw_as_in_the_paper_never_prunes_shortcuts_and_output() -> None:
    x = stream("x").standard_normal((50, 1, 8, 8)).astype(np.float32)
    data = from_arrays((x[:40], np.arange(40) % 4), (x[40:], np.arange(10) % 4))
    recipe = Recipe(iterations=2, batch=8, evaluate_every=2, curve_every=2, optimizer="sgd", lr=0.1)
    pruning = Pruning(allocation="global", rates={"shortcut": 0.0, "output": 0.0})
    dense, ticket = tombola.draw("resnet-14", data, levels=1, recipe=recipe, pruning=pruning, device="cpu")
    roles = architecture("resnet-14", (1, 8, 8), 4).roles
    for role, kept in (("conv", None), ("shortcut", 512 + 2048), ("output", 64 * 4)):
        names = [name for name in roles if roles[name] == role]
        before, after = (sum(each.mask.count(name) for name in names) for each in (dense, ticket))
        assert after == (kept or before - int(0.2 * before + 0.5)), role
    assert ticket.end is not None
    assert all(not ticket.end[name][~ticket.mask[name]].any() for name in roles)


def test_rates_for_shortcuts_and_convolutions_that_are_not_there() -> None:
    with pytest.raises(UserError, match="the network has no 'shortcut' layer"):
        rates_for(PruneRule(rates={"shortcut": 0.0}), architecture("conv-2", (1, 8, 8), 4).roles)
    only = {"a.shortcut.weight": "shortcut"}
    assert rates_for(PruneRule(rates={"conv": 0.3}), only) == {"a.shortcut.weight": 0.3}
