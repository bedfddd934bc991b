"""The lottery with real trainings: masks, starts and scores of tiny networks on tiny data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch

from support.lottery_parts import CONTROLS, GLOBAL, LAYERWISE, lenet, lottery, net, resident, same, seeds
from support.rounding import assert_same_in_double
from tombola.lottery.arms.catalog import TICKET
from tombola.lottery.cell import Cell, Drawn, train_cells
from tombola.lottery.draw import draw
from tombola.lottery.lottery import Lottery
from tombola.masks.rule import PruneRule
from tombola.training.loop import train_stack
from tombola.training.recipe import Recipe
from tombola.training.start import Start
from tombola.training.trained import Trained

RECIPE = Recipe(iterations=12, batch=8, lr=0.01, evaluate_every=4)
KINDS = {
    "mlp": (lenet, (6,), "mlp"),
    "mlp by module": (lenet, (6,), "modules"),
    "net": (net, (1, 4, 4), "modules"),
}
every_kind = pytest.mark.parametrize("what", KINDS)


def play(
    what: str, replicates: Sequence[int], together: bool = True, **options
) -> tuple[Lottery, dict[Cell, Drawn]]:
    make, shape, engine = KINDS[what]
    data, drum = resident(shape), lottery(make(), **options)

    def inner(starts: Sequence[Start]) -> list[Trained]:
        stacks = [starts] if together else [[start] for start in starts]
        at = drum.rewind if drum.rewind and starts[0].level == 0 else None
        return [
            trained
            for stack in stacks
            for trained in train_stack(
                drum.architecture, stack, data, RECIPE, 5, engine=engine, snapshot_at=at
            )
        ]

    found: dict[Cell, Drawn] = {}
    for level in draw(drum, seeds(*replicates), lambda cells, begin: train_cells(cells, begin, inner)):
        found |= level
    return drum, found


def ticket(found: Mapping[Cell, Drawn], r: int, level: int) -> tuple[Start, Trained]:
    drawn = found[Cell(r, level, TICKET, 0)]
    assert drawn.start is not None
    assert drawn.trained is not None
    return drawn.start, drawn.trained


@every_kind
@pytest.mark.parametrize("k", [0, 5])
def test_whole_ladders(what: str, k: int) -> None:
    rule = LAYERWISE if what != "net" else PruneRule(rate=0.3)
    drum, found = play(what, (0, 1), rewind=k, rule=rule, arms=lambda level: CONTROLS)
    assert len(found) == 2 * (1 + 3 * 5)
    for r in (0, 1):
        initial, dense = ticket(found, r, 0)
        stored = dense.snapshot if k else initial.state
        assert stored is not None
        assert same(stored, initial.state) == (k == 0)
        for level in range(1, 4):
            start, trained = ticket(found, r, level)
            assert same(start.state, stored)  # bit-equal after `level` rounds of training on from it
            assert start.mask <= ticket(found, r, level - 1)[0].mask
            assert start.mask.counts() == drum.alive[level]
            assert trained.iterations == 12 - k
            assert trained.history["iteration"][0] == k
            assert same(trained.end, start.mask.apply(trained.end))
            assert not same(trained.end, start.masked_state())
            previous = ticket(found, r, level - 1)
            for name in start.mask:  # magnitude pruning by hand
                kept = previous[1].end[name][start.mask[name]].abs()
                gone = previous[1].end[name][previous[0].mask[name] & ~start.mask[name]].abs()
                assert kept.min() >= gone.max()


@pytest.mark.usefixtures("float64")
@every_kind
def test_a_replicate_does_not_depend_on_its_company(what: str) -> None:
    """Masks and starts bit-equal, weights to rounding: alone in its stacks or beside two others."""
    options = {"rule": GLOBAL, "rewind": 3, "arms": lambda level: [("reinit", 1)]}
    _, alone = play(what, (1,), **options)
    _, company = play(what, (0, 1, 2), **options)
    for cell, drawn in alone.items():
        other = company[cell]
        assert drawn.start is not None
        assert other.start is not None
        assert drawn.trained is not None
        assert other.trained is not None
        assert drawn.start.mask == other.start.mask
        if cell.level == 0 or cell.arm != TICKET:
            assert same(drawn.start.state, other.start.state)
        assert_same_in_double(drawn.start.state, other.start.state)
        assert_same_in_double(drawn.trained.end, other.trained.end)


@every_kind
def test_the_same_lottery_twice_gives_the_same_bits(what: str) -> None:
    found = [play(what, (0, 1), rewind=3, arms=lambda level: CONTROLS)[1] for _ in range(2)]
    assert found[0].keys() == found[1].keys()
    for cell in found[0]:
        a, b = found[0][cell], found[1][cell]
        assert a.start is not None
        assert b.start is not None
        assert a.trained is not None
        assert b.trained is not None
        assert a.start.mask == b.start.mask
        assert same(a.start.state, b.start.state)
        assert same(a.trained.end, b.trained.end)
        assert same(a.trained.best, b.trained.best)
        assert a.trained.history == b.trained.history


def test_arms_of_a_level_see_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell trained by itself: within a replicate and level all ask for the same rows, others for others."""
    from tombola.training.batches import Batches

    at, seen = Batches.at, []

    def noted(self: Batches, iteration: int) -> torch.Tensor:
        rows = at(self, iteration)
        if iteration == 0:
            seen.append(((self.groups[0].seeds, self.groups[0].level), tuple(rows[0].tolist())))
        return rows

    monkeypatch.setattr(Batches, "at", noted)
    play("mlp", (0, 1), together=False, arms=lambda level: CONTROLS)
    assert len(seen) == 2 * (1 + 3 * 5)
    assert len(set(seen)) == len({rows for _, rows in seen}) == 2 * 4
