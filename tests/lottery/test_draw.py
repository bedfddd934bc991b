"""The lottery loop with scripted trainings, so that every mask can be worked out apart; rewinding included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from support.lottery_parts import (
    CONTROLS,
    GLOBAL,
    LAYERWISE,
    SNAPSHOT,
    Script,
    lenet,
    lottery,
    net,
    play,
    same,
    seeds,
    shifted,
    tickets,
    trained,
)
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Begin, Cell, Drawn, level_cells
from tombola.lottery.draw import draw
from tombola.lottery.lottery import rewind_point
from tombola.lottery.modes import Mode, check_rewind
from tombola.masks.mask import Mask
from tombola.masks.rule import PruneRule
from tombola.seeds import Seeds
from tombola.training.start import Start

RULES = {"layerwise": LAYERWISE, "global": GLOBAL}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
every_way = pytest.mark.parametrize("mode", ["iterative", "one-shot"])


@every_rule
@every_way
def test_counts_are_those_of_the_ladder(rule: PruneRule, mode: Mode) -> None:
    what = lottery(lenet(), rule, levels=4, mode=mode)
    script, _ = play(what, (0, 1))
    for r in (0, 1):
        starts = tickets(script, r)
        assert len(starts) == 5
        for start, rung in zip(starts, what.alive, strict=True):
            assert start.mask.count() == sum(rung.values())
            if rule is LAYERWISE:
                assert start.mask.counts() == rung


def test_the_ladder_by_hand() -> None:
    """fc1 20x6, fc2 10x20, out 3x10 at 30%, 30%, 10%: 120, 84, 59 (25.2 go); 200, 140, 98; 30, 27, 24 (2.7 go)."""
    script, _ = play(lottery(lenet(), LAYERWISE, levels=2))
    assert [start.mask.counts() for start in tickets(script, 0)] == [
        {"fc1.weight": 120, "fc2.weight": 200, "out.weight": 30},
        {"fc1.weight": 84, "fc2.weight": 140, "out.weight": 27},
        {"fc1.weight": 59, "fc2.weight": 98, "out.weight": 24},
    ]


@every_rule
def test_iterative_masks_are_nested_and_keep_the_largest_of_the_previous_end(rule: PruneRule) -> None:
    what = lottery(lenet(), rule, levels=4)
    script, _ = play(what)
    starts = tickets(script, 0)
    for level in range(1, 5):
        before, mask = starts[level - 1].mask, starts[level].mask
        assert mask <= before
        assert mask != before
        end = script.trained[Cell(0, level - 1, TICKET, 0)].end
        pools = [[name] for name in mask] if rule is LAYERWISE else [list(mask)]
        for pool in pools:
            kept = torch.cat([end[name][mask[name]].abs() for name in pool])
            gone = torch.cat([end[name][before[name] & ~mask[name]].abs() for name in pool])
            assert kept.min() >= gone.max()
            assert len(gone)


@every_rule
def test_one_shot_prunes_from_the_dense_end_at_every_level(rule: PruneRule) -> None:
    what = lottery(lenet(), rule, levels=4, mode="one-shot")
    script, _ = play(what)
    end = script.trained[Cell(0, 0, TICKET, 0)].end
    for level, start in enumerate(tickets(script, 0)):
        pools = [[name] for name in start.mask] if rule is LAYERWISE else [list(start.mask)]
        for pool in pools:
            magnitudes = np.sort(np.concatenate([end[name].abs().numpy().reshape(-1) for name in pool]))[::-1]
            alive = sum(start.mask.count(name) for name in pool)
            kept = np.concatenate([end[name].abs()[start.mask[name]].numpy() for name in pool])
            assert np.array_equal(np.sort(kept)[::-1], magnitudes[:alive]), level


def test_one_shot_does_not_care_how_the_tickets_trained() -> None:
    what = lottery(lenet(), LAYERWISE, mode="one-shot")
    arch = what.architecture
    plain, _ = play(what)
    other, _ = play(what, ends={(0, level): arch.initial(np.random.default_rng(level)) for level in (1, 2)})
    for a, b in zip(tickets(plain, 0), tickets(other, 0), strict=True):
        assert a.mask == b.mask


# --- cells -------------------------------------------------------------------------------------------------


def test_level_zero_has_the_ticket_alone_and_others_begin_at_one() -> None:
    what = lottery(lenet(), levels=2, arms=lambda level: CONTROLS)
    script, drawn = play(what, (0, 2))

    def cells(level: int) -> list[Cell]:
        others = (
            [("reinit", 0), ("reinit", 1), ("random-mask", 0), ("random-mask-global", 0)] if level else []
        )
        return [Cell(r, level, arm, n) for r in (0, 2) for arm, n in [(TICKET, 0), *others]]

    assert script.asked == [cells(level) for level in range(3)]
    assert [list(each) for each in drawn] == script.asked
    assert all(result.status == "ok" for each in drawn for result in each.values())


def test_arms_may_be_at_some_levels_only() -> None:
    what = lottery(lenet(), levels=3, arms=lambda level: [("reinit", 1)] if level == 2 else [])
    script, _ = play(what)
    assert [[(c.level, c.arm) for c in each] for each in script.asked] == [
        [(0, "ticket")], [(1, "ticket")], [(2, "ticket"), (2, "reinit")], [(3, "ticket")],
    ]  # fmt: skip


def test_names_and_order_of_cells() -> None:
    assert str(Cell(0, 7, "reinit", 2)) == "r0/L07/reinit/2"
    assert str(Cell(12, 120, "ticket", 0)) == "r12/L120/ticket/0"
    assert level_cells(1, 0, CONTROLS) == [Cell(1, 0, TICKET, 0)]
    assert level_cells(1, 3, [("reinit", 2), ("ticket", 5)]) == [
        Cell(1, 3, TICKET, 0), Cell(1, 3, "reinit", 0), Cell(1, 3, "reinit", 1),
    ]  # fmt: skip
    assert lottery(lenet(), levels=6).levels == 6


@every_way
def test_arms_are_made_from_the_ticket_of_their_level(mode: Mode) -> None:
    what = lottery(lenet(), levels=3, arms=lambda level: CONTROLS, mode=mode)
    script, _ = play(what)
    for level in range(1, 4):
        ticket = script.starts[Cell(0, level, TICKET, 0)]
        reinits = [script.starts[Cell(0, level, "reinit", n)] for n in (0, 1)]
        shuffled = script.starts[Cell(0, level, "random-mask", 0)]
        spread = script.starts[Cell(0, level, "random-mask-global", 0)]
        for start in reinits:
            assert start.mask == ticket.mask
            assert not same(start.state, ticket.state)
        assert not same(reinits[0].state, reinits[1].state)
        assert shuffled.mask.counts() == ticket.mask.counts()
        assert shuffled.mask != ticket.mask
        assert spread.mask.count() == ticket.mask.count()
        assert same(shuffled.state, ticket.state)
        assert same(spread.state, ticket.state)
        # All arms of a level are paired: the same streams at the same level and iteration.
        everyone = [ticket, *reinits, shuffled, spread]
        assert {(s.seeds, s.level, s.iteration) for s in everyone} == {(Seeds.replicate(0, 0), level, 0)}


def test_controls_do_not_disturb_the_ticket() -> None:
    alone, _ = play(lottery(lenet()))
    company, _ = play(lottery(lenet(), arms=lambda level: CONTROLS))
    for a, b in zip(tickets(alone, 0), tickets(company, 0), strict=True):
        assert a.mask == b.mask
        assert same(a.state, b.state)


# --- rewinding ---------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("k", [0, SNAPSHOT])
def test_every_ticket_starts_from_the_stored_state_bit_for_bit(k: int, mode: Mode) -> None:
    """After any number of rounds: weights, biases, norm parameters, running statistics, counters."""
    what = lottery(net(), PruneRule(rate=0.3), levels=4, rewind=k, mode=mode)
    script, _ = play(what, (0, 1))
    for r in (0, 1):
        initial = what.architecture.initial(Seeds.replicate(0, r).stream("init"))
        stored = initial if k == 0 else shifted(initial, SNAPSHOT, r)
        starts = tickets(script, r)
        assert same(starts[0].state, initial)
        assert starts[0].iteration == 0
        for start in starts[1:]:
            assert same(start.state, stored)
            assert start.iteration == k
            begun = start.masked_state()
            for name, tensor in begun.items():
                if name not in start.mask:
                    assert torch.equal(tensor, stored[name])
                else:
                    assert torch.equal(tensor, stored[name] * start.mask[name])


def test_the_stored_state_is_never_written_to() -> None:
    """A training that scribbles over what it was handed masked leaves the stored state alone."""
    what = lottery(net(), PruneRule(rate=0.3), rewind=SNAPSHOT)
    digests = []

    class Scribbler(Script):
        def train(self, cells: Sequence[Cell], begin: Begin) -> Mapping[Cell, Drawn]:
            drawn = super().train(cells, begin)
            for cell, result in drawn.items():
                assert result.start is not None
                if cell.level:
                    digests.append(digest_of(result.start.state))
                for tensor in result.start.masked_state().values():
                    tensor.add_(1)
            return drawn

    list(draw(what, seeds(0), Scribbler().train))
    assert len(digests) == 3
    assert len(set(digests)) == 1


def test_reinit_begins_at_the_rewound_iteration_too() -> None:
    what = lottery(lenet(), rewind=SNAPSHOT, arms=lambda level: CONTROLS)
    script, _ = play(what)
    assert {start.iteration for cell, start in script.starts.items() if cell.level} == {SNAPSHOT}


def test_where_one_can_rewind_to() -> None:
    check_rewind(0, 1)
    check_rewind(99, 100)
    for k in (-1, 100, 101):
        with pytest.raises(
            UserError, match=rf"pruning\.rewind is iteration {k}, .* less than the recipe's 100"
        ):
            check_rewind(k, 100)


def test_rewind_point() -> None:
    initial, snapshot = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
    start = Start(initial, Mask({}), Seeds.single(0))
    dense = trained({"w": torch.full((1,), 2.0)}, start, snapshot=snapshot)
    assert rewind_point(0, initial, dense)["w"] == 0
    assert rewind_point(5, initial, dense)["w"] == 1
