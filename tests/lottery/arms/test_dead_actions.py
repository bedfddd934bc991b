"""Dead values: where they are frozen, and which training says that a weight moved towards zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from support.arm_table import every_network, scene
from support.lottery_parts import SNAPSHOT, lenet, lottery, play, same
from tombola.errors import UserError
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.arms.context import DEAD_ACTIONS
from tombola.lottery.arms.treat import treat
from tombola.lottery.cell import Cell
from tombola.lottery.draw import last_lived
from tombola.lottery.modes import Mode
from tombola.masks.mask import Mask
from tombola.training.start import Start

ARMS_TOO = [("freeze", 1), ("zero-towards", 1), ("zero-towards-all", 1)]


@every_network
def test_freeze_takes_the_weights_of_iteration_zero_at_dead_places(network: str) -> None:
    where = scene(network)
    mask, state, dead = treat(ARMS["freeze"], where)
    begun = Start(state, mask, where.seeds, 1, 0, dead).masked_state()
    for name in where.mask:
        living = where.mask[name]
        assert torch.equal(begun[name][~living], where.initial[name][~living])
        assert torch.equal(begun[name][living], where.rewound[name][living])


def test_frozen_at_dead_places_of_the_mask_that_is_trained() -> None:
    where = scene("lenet")
    mask, state, dead = treat(Arm("rewire", "rewind", "freeze"), where)
    begun = Start(state, mask, where.seeds, 1, 0, dead).masked_state()
    assert torch.equal(
        begun["fc1.weight"][~mask["fc1.weight"]], where.initial["fc1.weight"][~mask["fc1.weight"]]
    )


def test_zero_towards_by_hand() -> None:
    """Smaller, larger, smaller with another sign, larger with another sign, as large, zero as before."""
    where = replace(
        scene("lenet"),
        mask=Mask({"w": torch.zeros(1, 6, dtype=torch.bool)}),
        initial={"w": torch.tensor([[0.5, -0.5, 0.5, -0.5, 0.5, 0.0]])},
        trained={"w": torch.tensor([[0.4, -0.6, -0.4, 0.6, 0.5, 0.0]])},
    )
    assert DEAD_ACTIONS["zero-towards"](where)["w"].tolist() == [[0.0, -0.5, 0.0, -0.5, 0.5, 0.0]]
    with pytest.raises(UserError, match="none are trained yet"):
        DEAD_ACTIONS["zero-towards"](replace(where, trained=None))


def test_last_lived_keeps_the_value_that_a_weight_was_pruned_at() -> None:
    def mask(*bits: int) -> Mask:
        return Mask({"w": torch.tensor(bits).bool()})

    def end(*values: float) -> dict[str, torch.Tensor]:
        return {"w": torch.tensor(values), "b": torch.zeros(1)}

    lived = last_lived(mask(1, 1, 1), end(1, 2, 3), {})
    lived = last_lived(mask(1, 1, 0), end(4, 5, 0), lived)
    lived = last_lived(mask(1, 0, 0), end(6, 0, 0), lived)
    assert list(lived) == ["w", "b"], "biases and norms are those of the last end"
    assert lived["w"].tolist() == [6, 5, 3]


@pytest.mark.parametrize("k", [0, SNAPSHOT])
@pytest.mark.parametrize("mode", ["iterative", "one-shot"])
def test_each_dead_weight_is_judged_by_the_training_that_it_was_pruned_after(mode: Mode, k: int) -> None:
    """Worked out once more, from the masks and the ends of all levels."""
    what = lottery(lenet(), levels=4, arms=lambda level: ARMS_TOO, mode=mode, rewind=k, treatments=ARMS)
    script, _ = play(what)
    initial = script.starts[Cell(0, 0, "ticket", 0)].state
    judged = 0
    for level in range(1, 5):
        ticket = script.starts[Cell(0, level, "ticket", 0)]
        variants = [script.starts[Cell(0, level, arm, 0)] for arm, _ in ARMS_TOO]
        for name in ticket.mask:
            ends = [script.trained[Cell(0, each, "ticket", 0)].end[name] for each in range(level)]
            masks = [script.starts[Cell(0, each, "ticket", 0)].mask[name] for each in range(level)]
            for place in torch.nonzero(~ticket.mask[name]):
                at = tuple(place.tolist())
                last = 0 if mode == "one-shot" else max(each for each in range(level) if masks[each][at])
                shrank = abs(ends[last][at]) < abs(initial[name][at])
                frozen, zeroed, both = (start.masked_state()[name][at] for start in variants)
                assert frozen == initial[name][at]
                assert zeroed == both == (0 if shrank else initial[name][at])
                judged += last < level - 1 and not shrank
            living = ticket.mask[name]
            shrank = (ends[0] if mode == "one-shot" else ends[-1]).abs() < initial[name].abs()
            assert torch.equal(
                variants[2].state[name][living], torch.where(shrank, 0.0, ticket.state[name])[living]
            )
        assert same(variants[0].state, ticket.state)
    assert mode == "one-shot" or judged > 10  # some were pruned long ago and had grown


def test_dead_values_do_not_enter_the_ladder() -> None:
    plain, _ = play(lottery(lenet(), levels=3))
    beside, _ = play(lottery(lenet(), levels=3, arms=lambda level: ARMS_TOO, treatments=ARMS))
    for cell, start in plain.starts.items():
        assert start.mask == beside.starts[cell].mask
        assert start.dead == {}
