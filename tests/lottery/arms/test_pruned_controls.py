"""Controls whose masks are found by pruning, to the ticket's count in each layer: what they prune, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from support.arm_table import every_network, probes, scene
from support.lottery_parts import LAYERWISE, lenet, lottery, play, seeds
from tombola.errors import UserError
from tombola.lottery.arms.catalog import ARMS, TICKET, Arm
from tombola.lottery.arms.context import MASK_ACTIONS, Rung, Scene
from tombola.lottery.arms.masks import rule_of
from tombola.lottery.cell import Cell
from tombola.masks.mask import Mask
from tombola.masks.probe import Probing
from tombola.masks.rule import PruneRule
from tombola.models.state import State, load_state


def highest(scores: State, counts: dict[str, int], among: Mask | None = None) -> Mask:
    """The highest scores of each tensor, so many as `counts` says, of those that `among` has."""
    bits = {}
    for name, count in counts.items():
        flat = scores[name].double().clone()
        if among is not None:
            flat[~among[name]] = -torch.inf
        order = np.argsort(-flat.reshape(-1).numpy(), kind="stable")[:count]
        chosen = torch.zeros(flat.numel(), dtype=torch.bool)
        chosen[torch.from_numpy(order.copy())] = True
        bits[name] = chosen.view(flat.shape)
    return Mask(bits)


def magnitudes(state: State, mask: Mask) -> State:
    return {name: state[name].abs() for name in mask}


@every_network
def test_one_shot_keeps_the_largest_weights_of_the_trained_dense_network(network: str) -> None:
    where = scene(network)
    found = MASK_ACTIONS["one-shot"](where)
    assert found == highest(magnitudes(where.dense.trained, where.mask), where.mask.counts())


@every_network
def test_magnitude_at_init_keeps_the_largest_weights_of_iteration_zero(network: str) -> None:
    where = scene(network)
    rewound = {name: tensor + 5 for name, tensor in where.rewound.items()}  # a later state has no say
    found = MASK_ACTIONS["magnitude-at-init"](replace(where, rewound=rewound))
    assert found == highest(magnitudes(where.initial, where.mask), where.mask.counts())


def test_snip_at_init_keeps_the_largest_products_of_weight_and_gradient() -> None:
    where = scene("lenet")
    module = where.architecture.build()
    load_state(module, where.initial)
    probe = where.probing()(where.initial, where.dense.mask)
    loss = F.cross_entropy(module(probe._x), probe._y)
    loss.backward()
    scores = {
        name: (param * param.grad).abs().detach()
        for name, param in module.named_parameters()
        if name in where.mask
    }
    assert MASK_ACTIONS["snip-at-init"](where) == highest(scores, where.mask.counts())


def test_the_studys_criterion_prunes_the_dense_network_and_the_own_ladder() -> None:
    """By movement, in the arm's own training and from its own beginning."""
    where = replace(scene("images"), rule=PruneRule(criterion="movement"))
    for action, rung, among in (
        ("one-shot", where.dense, None),
        ("own-ladder", where.own, where.own.mask),
    ):
        moved = {name: (rung.trained[name].double() - rung.start[name].double()).abs() for name in where.mask}
        assert MASK_ACTIONS[action](where) == highest(moved, where.mask.counts(), among)


def test_a_criterion_that_looks_at_data_gets_the_replicates_probe() -> None:
    where = replace(scene("lenet"), rule=PruneRule(criterion="snip"))
    blind = replace(where, probing=None)
    for action in ("one-shot", "own-ladder", "snip-at-init", "synflow-at-init"):
        MASK_ACTIONS[action](where)
        with pytest.raises(UserError, match="expected a probe"):
            MASK_ACTIONS[action](blind)


def test_magnitudes_ask_for_no_probe() -> None:
    def never() -> None:
        raise AssertionError("a probe was made")

    where = replace(scene("lenet"), probing=never)
    for action in ("one-shot", "own-ladder", "magnitude-at-init"):
        MASK_ACTIONS[action](where)


def test_an_own_ladder_is_nested_in_its_own_mask_and_not_in_the_tickets() -> None:
    where = scene("images")
    found = MASK_ACTIONS["own-ladder"](where)
    assert found <= where.own.mask
    assert not found <= where.mask
    kept = magnitudes(where.own.trained, where.mask)
    assert found == highest(kept, where.mask.counts(), where.own.mask)


@pytest.mark.parametrize("action", ["one-shot", "own-ladder"])
def test_before_anything_was_trained_there_is_nothing_to_prune(action: str) -> None:
    where = replace(scene("lenet"), dense=None, own=None)
    with pytest.raises(
        UserError, match=f"mask action '{action}' at level 3 prunes trained weights, and there"
    ):
        MASK_ACTIONS[action](where)


def channelled(where: Scene) -> Scene:
    """A ticket of half of the channels of each layer."""
    bits = {}
    for name, living in where.mask.items():
        bits[name] = torch.zeros_like(living)
        bits[name][: len(living) // 2] = True
    dense = Mask.dense(where.mask.shapes)
    own = Rung(dense, where.own.start, where.own.trained)
    return replace(where, mask=Mask(bits), own=own, rule=PruneRule(structure="channels"))


@pytest.mark.parametrize("action", ["one-shot", "own-ladder", "magnitude-at-init", "snip-at-init"])
def test_whole_channels_are_kept_where_the_ticket_has_whole_channels(action: str) -> None:
    where = channelled(scene("images", whole=False))
    found = MASK_ACTIONS[action](where)
    assert found.counts() == where.mask.counts()
    for name in found:
        rows = found[name].flatten(1)
        assert (rows.all(1) | ~rows.any(1)).all(), name


def test_counts_that_the_structure_cannot_give_are_refused_with_a_sentence() -> None:
    where = channelled(scene("images", whole=False))
    bits = {name: where.mask[name].clone() for name in where.mask}
    bits["fc.weight"][0, 0] = False
    with pytest.raises(UserError, match=r"count to keep in 'fc.weight' is 119, which structure 'channels'"):
        MASK_ACTIONS["one-shot"](replace(where, mask=Mask(bits)))


def test_rules_of_mask_actions() -> None:
    rule = PruneRule(criterion="movement", structure="channels", rate=0.3)
    assert rule_of("one-shot", rule) == rule == rule_of("own-ladder", rule)
    assert rule_of("snip-at-init", rule) == PruneRule(criterion="snip", structure="channels", rate=0.3)
    with pytest.raises(
        UserError,
        match="mask action 'synflow-at-init': criterion 'synflow' prunes little by little and structure '2:4'",
    ):
        rule_of("synflow-at-init", PruneRule(structure="2:4"))


# --- ladders of their own, through the loop ----------------------------------------------------------------


def arms(*names: str):
    return lambda level: [("ticket", 1), *((name, 2 if name == "fresh" else 1) for name in names)]


def test_fresh_climbs_on_its_own_masks_and_its_own_weights() -> None:
    what = lottery(lenet(), LAYERWISE, levels=4, arms=arms("fresh", "reinit"))
    script, _ = play(what, (0, 1))
    for r in (0, 1):
        dense = Cell(r, 0, TICKET, 0)
        for draw in (0, 1):
            mask, end = script.starts[dense].mask, script.trained[dense].end
            for level in range(1, 5):
                cell = Cell(r, level, "fresh", draw)
                start, ticket = script.starts[cell], script.starts[Cell(r, level, TICKET, 0)]
                assert start.mask == highest(magnitudes(end, mask), ticket.mask.counts(), mask)
                fresh = what.architecture.initial(seeds(r)[r].stream("reinit", level, draw))
                assert all(torch.equal(start.state[name], fresh[name]) for name in fresh)
                assert (start.mask == ticket.mask) == (level == 1)  # both are pruned from the dense network
                mask, end = start.mask, script.trained[cell].end
        others = [script.starts[Cell(r, 4, "fresh", draw)].mask for draw in (0, 1)]
        assert others[0] != others[1]


def test_an_own_ladder_that_does_as_the_ticket_does_finds_the_tickets_masks() -> None:
    """Rewound weights and a script that trains both alike: the two ladders are one."""
    treatments = {**ARMS, "twin": Arm("own-ladder")}
    what = lottery(lenet(), LAYERWISE, levels=4, arms=lambda level: [("twin", 1)], treatments=treatments)
    script, _ = play(what)
    for level in range(1, 5):
        twin, ticket = (script.starts[Cell(0, level, arm, 0)] for arm in ("twin", TICKET))
        assert twin.mask == ticket.mask
        assert all(torch.equal(twin.state[name], ticket.state[name]) for name in ticket.state)


def test_own_ladders_do_not_disturb_the_ticket_nor_each_other() -> None:
    alone, _ = play(lottery(lenet(), LAYERWISE, levels=3))
    one, _ = play(lottery(lenet(), LAYERWISE, levels=3, arms=lambda level: [("fresh", 1)]))
    more, _ = play(lottery(lenet(), LAYERWISE, levels=3, arms=arms("fresh", "one-shot")))
    for cell, start in alone.starts.items():
        assert start.mask == one.starts[cell].mask == more.starts[cell].mask
    for cell, start in one.starts.items():
        assert start.mask == more.starts[cell].mask


@pytest.mark.parametrize("mode", ["iterative", "one-shot", "at-init", "continued"])
def test_the_dense_network_is_that_of_level_zero_at_every_level(mode: str) -> None:
    what = lottery(lenet(), LAYERWISE, levels=3, mode=mode, arms=arms("one-shot", "continued"))
    script, _ = play(what)
    end = script.trained[Cell(0, 0, TICKET, 0)].end
    for level in range(1, 4):
        ticket, once = (script.starts[Cell(0, level, arm, 0)].mask for arm in (TICKET, "one-shot"))
        assert once == highest(magnitudes(end, ticket), ticket.counts())
        assert (once == ticket) == (mode == "one-shot" or (level == 1 and mode != "at-init"))


def test_the_loop_hands_on_the_criterion_and_what_each_network_began_with() -> None:
    """By movement: the dense network's since its iteration 0, the ladder's since its own fresh weights."""
    rule = PruneRule(criterion="movement", rate=0.3)
    script, _ = play(lottery(lenet(), rule, levels=3, arms=arms("fresh", "one-shot")))
    dense = Cell(0, 0, TICKET, 0)

    def moved(cell: Cell) -> State:
        start, end = script.starts[cell].state, script.trained[cell].end
        return {name: (end[name].double() - start[name].double()).abs() for name in script.starts[cell].mask}

    for level in range(1, 4):
        counts = script.starts[Cell(0, level, TICKET, 0)].mask.counts()
        assert script.starts[Cell(0, level, "one-shot", 0)].mask == highest(moved(dense), counts)
        below = Cell(0, level - 1, "fresh", 0) if level > 1 else dense
        found = script.starts[Cell(0, level, "fresh", 0)].mask
        assert found == highest(moved(below), counts, script.starts[below].mask)


def test_the_loop_hands_on_the_probes_of_each_replicate() -> None:
    asked: list[int] = []

    def probing(r: int) -> Probing:
        asked.append(r)
        return probes(lenet())

    what = lottery(lenet(), LAYERWISE, levels=1, arms=arms("snip-at-init", "one-shot"), probing=probing)
    script, _ = play(what, (0, 1))
    assert asked == [0, 1]
    ticket, found = (script.starts[Cell(1, 1, arm, 0)].mask for arm in (TICKET, "snip-at-init"))
    assert found.counts() == ticket.counts()
    assert found != ticket
