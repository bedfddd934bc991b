"""How the draws of the arms are distributed, and what an arm refuses."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from support.arm_table import KEEPS, every_network, probes, scene, treated
from support.lottery_parts import CLASSES, same
from tombola.errors import UserError
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.arms.context import DEAD_ACTIONS, MASK_ACTIONS, WEIGHT_ACTIONS, Rung, Scene
from tombola.lottery.arms.treat import treat
from tombola.masks.mask import Mask
from tombola.models.architecture import Architecture, architecture
from tombola.seeds import Seeds


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 2, bias=False), nn.Linear(2, CLASSES, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(x))
        return out


def small_scene(draw: int) -> Scene:
    arch = architecture(Small, (6,), CLASSES)
    bits = {"a.weight": torch.zeros(12, dtype=torch.bool), "b.weight": torch.ones(6, dtype=torch.bool)}
    bits["a.weight"][:3] = True
    mask = Mask({name: flat.view(arch.shapes[name]) for name, flat in bits.items()})
    state = arch.initial(Seeds.single(0).stream("init"))
    rates = dict.fromkeys(mask, 0.2)
    trained = {name: tensor * 1.5 for name, tensor in state.items()}
    dense = Rung(Mask.dense(mask.shapes), state, trained)
    return Scene(
        arch, mask, state, rates, Seeds.single(0), 1, draw, state, trained, mask, dense, dense,
        probing=lambda: probes(arch),
    )  # fmt: skip


DRAWS = 600
where_small = small_scene(0)


@pytest.mark.parametrize(
    ("arm", "share"),
    [
        # random-mask keeps 3 of 12 and 6 of 6; random-mask-global 9 of 18 wherever they fall.
        ("random-mask", {"a.weight": 3 / 12, "b.weight": 1.0}),
        ("random-mask-global", {"a.weight": 9 / 18, "b.weight": 9 / 18}),
    ],
)
def test_every_place_is_as_likely_as_any_other(arm: str, share: dict[str, float]) -> None:
    masks = [treat(ARMS[arm], replace(where_small, draw=draw))[0] for draw in range(DRAWS)]
    for name, p in share.items():
        times = torch.stack([mask[name] for mask in masks]).sum(0)
        bound = 5 * (DRAWS * p * (1 - p)) ** 0.5  # five deviations
        assert (times - DRAWS * p).abs().max() <= bound, name
    assert {mask.count() for mask in masks} == {9}


def test_the_global_shuffle_moves_weights_between_layers() -> None:
    counts = {
        treat(ARMS["random-mask-global"], replace(where_small, draw=draw))[0].count("a.weight")
        for draw in range(50)
    }
    assert len(counts) >= 4  # hypergeometric: 3 to 9, 6 on average


@every_network
def test_reinit_draws_from_the_initial_distribution_by_its_own_stream(network: str) -> None:
    where = scene(network, draw=2)
    state = treated("reinit", where).state
    arch = where.architecture
    assert same(state, arch.initial(where.seeds.stream("reinit", where.level, 2)))
    assert not same(state, arch.initial(where.seeds.stream("init")))


def test_reinit_has_the_moments_of_gaussian_glorot_and_no_biases() -> None:
    where = scene("lenet")
    drawn = [treated("reinit", replace(where, draw=draw)).state for draw in range(40)]
    for name, fans in (("fc1.weight", 6 + 20), ("fc2.weight", 20 + 10), ("out.weight", 10 + CLASSES)):
        values = torch.stack([state[name] for state in drawn]).double()
        deviation = (2 / fans) ** 0.5
        n = values.numel()
        assert abs(float(values.mean())) < 5 * deviation / n**0.5
        assert abs(float(values.std()) / deviation - 1) < 5 / (2 * n) ** 0.5
    assert not any(state[name].any() for state in drawn for name in state if name.endswith("bias"))


def bare() -> Architecture:
    torch.manual_seed(0)
    return architecture(Small(), (6,), CLASSES)


@pytest.mark.parametrize(
    "arm", [arm for arm in KEEPS if KEEPS[arm].weights and "donor" not in ARMS[arm].traits]
)
def test_a_bare_instance_may_run_the_arms_that_keep_its_weights(arm: str) -> None:
    where = replace(where_small, architecture=bare())
    assert same(treated(arm, where).state, where.rewound)


@pytest.mark.parametrize("arm", KEEPS)
def test_a_bare_instance_cannot_be_reinitialised(arm: str) -> None:
    where = replace(where_small, architecture=bare())
    if "donor" in ARMS[arm].traits:
        with pytest.raises(UserError, match="takes from donors, and there are none"):
            treated(arm, where)
    elif "initialiser" in ARMS[arm].traits:
        with pytest.raises(UserError, match="Small is a network instance and has no initialiser"):
            treated(arm, where)
    else:
        treated(arm, where)
    new = arm in ("reinit", "reinit-signs", "fresh") or "donor" in ARMS[arm].traits
    assert ("initialiser" in ARMS[arm].traits) == new


def test_unknown_names_of_arms_and_actions() -> None:
    with pytest.raises(UserError, match="unknown arm 'randommask'; did you mean 'random-mask'"):
        ARMS["randommask"]
    with pytest.raises(UserError, match="unknown mask action 'shufle'; did you mean 'shuffle'"):
        treat(Arm("shufle", "rewind"), where_small)
    with pytest.raises(UserError, match="unknown weights action 'rewnd'; did you mean 'rewind'"):
        treat(Arm("keep", "rewnd"), where_small)
    with pytest.raises(UserError, match="unknown dead-weights action 'zeros'; did you mean 'zero'"):
        treat(Arm("keep", "rewind", "zeros"), where_small)


def test_every_arm_and_action_says_what_it_is() -> None:
    for registry in (ARMS, MASK_ACTIONS, WEIGHT_ACTIONS, DEAD_ACTIONS):
        for name in registry:
            line = registry.describe(name)
            assert len(line) > 10
            assert re.search(r"\([^()]+ \d{4}[^()]*\)\.?$", line), f"{name} does not end with its source"
    for arm in ARMS.values():
        assert arm.mask in MASK_ACTIONS
        assert arm.weights in WEIGHT_ACTIONS
        assert arm.dead in DEAD_ACTIONS


def test_nothing_to_shuffle_when_nothing_is_pruned() -> None:
    where = replace(where_small, rates=dict.fromkeys(where_small.mask, 0.0))
    assert treat(ARMS["random-mask-global"], where)[0] == where.mask


def test_an_empty_tensor_stays_empty_in_a_shuffle_by_layer() -> None:
    bits = {name: where_small.mask[name] for name in where_small.mask}
    bits["a.weight"] = torch.zeros_like(bits["a.weight"])
    mask = treat(ARMS["random-mask"], replace(where_small, mask=Mask(bits)))[0]
    assert np.array_equal(mask["a.weight"].numpy(), np.zeros((2, 6), dtype=bool))
