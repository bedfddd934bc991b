"""What tickets cost, worked out by hand from the records of small runs; and what is saved, from made-up costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats

from support.route_parts import by, travelling
from support.study_kit import run_tiny, tiny
from tombola.analysis.costs import AMOUNTS, costs_of
from tombola.analysis.savings import savings_of
from tombola.lottery.arms.catalog import ARMS, Arm
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run
from tombola.study.routes import RouteArm
from tombola.transfer.taking import Took, takes

BATCH, STEPS = 10, 20
FIRST = 2 * 2 * BATCH * STEPS
"""Operations of a training on each living weight that reads the input: forward and to weights."""
INNER = 2 * 3 * BATCH * STEPS
"""Those of every other weight: to inputs as well."""


def training(run: Run, cell: Cell) -> float:
    """The operations of one training of a network of linear layers."""
    alive = run.record(cell).alive
    return sum((FIRST if name == "fc1.weight" else INNER) * count for name, count in alive.items())


def training_of(run: Run, cell: Cell, iterations: int) -> float:
    """Those of a training of so many iterations."""
    return training(run, cell) * iterations / STEPS


def row(costs: pl.DataFrame, r: int, level: int, arm: str) -> dict[str, Any]:
    found = costs.filter((pl.col("replicate") == r) & (pl.col("level") == level) & (pl.col("arm") == arm))
    return found.row(0, named=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A ladder with an arm of each sort, routes from everywhere, and three donors for two replicates."""
    study = travelling(
        by("refill", controls=["reinit"]),
        by("votes", controls=[{"name": "apart", "aligned": False}]),
        by("elastic", controls=[]),
        by("carry", controls=[]),
        sources={"narrow": {"model": {"name": "lenet-8-8"}, "replicates": 1}},
        arms=[
            {"name": name} for name in ("reinit", "random-mask", "snip-at-init", "one-shot", "fresh", "donor")
        ],
        donors=3,
    )
    return run_tiny(tmp_path_factory.mktemp("costs"), study)


def test_the_ladder_costs_all_its_trainings_up_to_a_level(run: Run) -> None:
    costs = costs_of(run)
    own = [training(run, Cell(1, level, "ticket", 0)) for level in range(3)]
    for level in range(3):
        found = row(costs, 1, level, "ticket")
        assert found["operations"] == found["alone_operations"] == sum(own[: level + 1])
        assert found["iterations"] == STEPS * (level + 1)
        assert found["training_operations"] == own[level]
        seconds = [run.seconds(Cell(1, each, "ticket", 0)) for each in range(level + 1)]
        assert found["seconds"] == pytest.approx(sum(seconds))
    assert row(costs, 1, 2, "ticket")["way"] == "ticket"


def test_arms_cost_what_they_look_at(run: Run) -> None:
    costs, dense = costs_of(run), Cell(0, 0, "ticket", 0)
    below = training(run, dense) + training(run, Cell(0, 1, "ticket", 0))
    for arm, extra, way in (
        ("reinit", below, "beside"),
        ("random-mask", 0, "without"),
        ("snip-at-init", 0, "without"),
        ("one-shot", training(run, dense), "without"),
        ("fresh", training(run, dense) + training(run, Cell(0, 1, "fresh", 0)), "without"),
    ):
        found = row(costs, 0, 2, arm)
        assert found["operations"] == extra + training(run, Cell(0, 2, arm, 0)), arm
        assert found["way"] == way


def test_donors_and_sources_are_shared_out_among_those_they_lend_to(run: Run) -> None:
    costs = costs_of(run)
    beside = {each.kind: each for each in run.ladders()}
    donors, narrow, other = (beside[kind] for kind in ("donors", "sources/narrow", "sources/other"))

    def drawn(folder: Run, r: int) -> float:
        return sum(training(folder, Cell(r, level, "ticket", 0)) for level in (0, 1))

    own = training(run, Cell(1, 2, "donor", 0))
    assert row(costs, 1, 2, "donor")["operations"] == own + drawn(
        donors, 1
    )  # one donor each: nothing to share
    voted, pool = Cell(1, 2, "by-votes", 0), sum(drawn(donors, d) for d in range(3))
    found, dense = row(costs, 1, 2, "by-votes"), training(run, Cell(1, 0, "ticket", 0))
    assert found["operations"] == pytest.approx(training(run, voted) + dense + pool / 2)
    assert found["alone_operations"] == pytest.approx(training(run, voted) + dense + pool)
    apart = row(costs, 1, 2, "by-votes-apart")  # not aligned: the replicate's dense network is not looked at
    assert apart["operations"] == pytest.approx(training(run, Cell(1, 2, "by-votes-apart", 0)) + pool / 2)
    assert apart["way"] == "control"
    stretched = row(costs, 1, 2, "by-elastic")  # one source for two replicates
    own = training(run, Cell(1, 2, "by-elastic", 0))
    assert stretched["operations"] == pytest.approx(own + drawn(narrow, 0) / 2)
    assert stretched["alone_operations"] == pytest.approx(own + drawn(narrow, 0))
    carried = row(costs, 1, 2, "by-carry")  # pruned once: its dense network and itself
    assert carried["operations"] == training(run, Cell(1, 2, "by-carry", 0)) + training(
        other, Cell(1, 0, "ticket", 0)
    )
    assert carried["way"] == "route"


def test_a_route_from_ones_own_ticket_costs_its_ladder(run: Run) -> None:
    costs = costs_of(run)
    below = training(run, Cell(0, 0, "ticket", 0)) + training(run, Cell(0, 1, "ticket", 0))
    for arm in ("by-refill", "by-refill-reinit"):
        assert row(costs, 0, 2, arm)["operations"] == below + training(run, Cell(0, 2, arm, 0))


def test_an_early_bird_costs_its_dense_training_to_where_its_mask_was_found(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"mode": "early-bird", "search": {"window": 2}}, arms=[]))
    costs, cell = costs_of(run), Cell(0, 2, "ticket", 0)
    found = run.record(cell).found_iteration
    assert found is not None
    dense = training(run, Cell(0, 0, "ticket", 0))
    assert row(costs, 0, 2, "ticket")["operations"] == pytest.approx(
        dense * found / STEPS + training(run, cell)
    )


def test_short_rounds_cost_each_round_to_where_the_next_mask_was_found(tmp_path: Path) -> None:
    """Rewound to iteration 5: the rounds below the dense network begin there and have 15 iterations."""
    search = {"every": 2, "window": 2, "threshold": 0.3}
    run = run_tiny(tmp_path, tiny(pruning={"mode": "short-rounds", "search": search, "rewind": 5}, arms=[]))
    dense, below, cell = (Cell(1, level, "ticket", 0) for level in range(3))
    first, second = (run.record(each).found_iteration for each in (below, cell))
    assert first is not None
    assert second is not None
    drawn = training(run, dense) * max(first, 5) / 20 + training_of(run, below, 15) * (second - 5) / 15
    assert row(costs_of(run), 1, 2, "ticket")["operations"] == pytest.approx(
        drawn + training_of(run, cell, 15)
    )


def test_tickets_that_go_back_to_a_later_iteration_cost_the_way_to_it(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, tiny(pruning={"rewind": 5}, arms=[{"name": "snip-at-init"}], levels=1))
    found = row(costs_of(run), 0, 1, "snip-at-init")
    assert found["iterations"] == 5 + 15  # of the dense training, and its own


@pytest.mark.parametrize("mode", ["at-init", "early-bird", "short-rounds"])
def test_aligning_costs_the_whole_dense_training_of_donors_and_twins(tmp_path: Path, mode: str) -> None:
    """Their masks come before the end of it, or without it; what they are aligned by is its end."""
    names = ["donor", "donor-fit", "donor-aligned", "twin", "core", "core-apart"]
    search = {} if mode == "at-init" else {"search": {"window": 2, "threshold": 0.3, "every": 2}}
    criterion = {"criterion": "synflow"} if mode == "at-init" else {}
    table = {"mode": mode, **search, **criterion}
    arms, split = [{"name": name} for name in names], {"name": "arrays", "validation": 30, "split": "study"}
    run = run_tiny(tmp_path, tiny(pruning=table, arms=arms, data=split, levels=1, replicates=1, donors=1))
    costs, own, beside = costs_of(run), STEPS, {}
    for name in names:
        found = row(costs, 0, 1, name)
        beside[name] = found["iterations"] - own
    part = beside["donor"]  # of the donor's dense training, as far as its mask took it
    assert part < STEPS
    assert beside["donor-fit"] == STEPS
    assert beside["donor-aligned"] == beside["twin"] == 2 * STEPS, "and the replicate's own"
    assert beside["core"] - beside["core-apart"] == pytest.approx(STEPS - part)


def test_lenders_that_replicates_share_stand_beside_the_costs(run: Run) -> None:
    costs = costs_of(run)
    found = dict(
        costs.filter(pl.col("level") == 2, pl.col("replicate") == 0).select("arm", "lenders").iter_rows()
    )
    assert found["by-votes"] == found["by-votes-apart"] == "3 donors", "votes are of all of them"
    assert found["by-elastic"] == "1 ladder of narrow"
    assert {arm for arm, lenders in found.items() if not lenders} >= {"ticket", "reinit", "donor", "by-carry"}
    near = next(one for one in savings_of(costs, 0) if one.arm == "by-elastic")
    assert near.lenders == "1 ladder of narrow"


def test_every_arm_takes_something_that_is_there() -> None:
    for name, arm in ARMS.items():
        traits, took = arm.traits, takes(arm, counts_are_fixed=True)
        assert ("donor" in traits and "twin" not in traits) == bool(took & {Took.DONOR, Took.DONORS}), name
        assert ("twin" in traits) == (Took.TWIN in took), name
        assert ("ladder" in traits) == (Took.OWN in took), name
    assert takes(ARMS["random-mask"], counts_are_fixed=False) == {Took.LADDER}
    assert takes(ARMS["donor-aligned"], counts_are_fixed=True) == {Took.DONOR, Took.DENSE}
    assert takes(ARMS["shared-rewired"], counts_are_fixed=True) == {Took.LADDER, Took.DENSE, Took.DONORS}
    made_elsewhere = Arm(mask="mask:theirs.pt@0123456789abcdef")
    assert takes(made_elsewhere, counts_are_fixed=False) == {Took.START}


def made_up(
    accuracy: dict[str, list[float]], cost: dict[str, list[float]], dense: list[float] | None = None
) -> pl.DataFrame:
    rows = []
    cells = [(arm, 1, values) for arm, values in accuracy.items()] + [("ticket", 0, dense or [])]
    for arm, level, values in cells:
        for r, value in enumerate(values):
            keys = {
                "replicate": r,
                "level": level,
                "arm": arm,
                "draw": 0,
                "status": "ok",
                "density": 0.2,
                "way": "route",
                "lenders": "4 donors" if arm == "near" else "",
            }
            amounts = {f"{part}{amount}": cost[arm][r] for part in ("", "alone_") for amount in AMOUNTS}
            rows.append({**keys, "early_stop_test_accuracy": value, **amounts})
    return pl.DataFrame(rows)


def test_what_is_saved_by_hand() -> None:
    """8 replicates: as accurate to a tenth of a point at half the cost; two points worse at a quarter."""
    ticket = [0.9, 0.91, 0.92, 0.9, 0.89, 0.91, 0.9, 0.92]
    costs = made_up(
        {
            "ticket": ticket,
            "near": [value - 0.001 for value in ticket],
            "far": [value - 0.02 for value in ticket],
        },
        {"ticket": [100.0] * 8, "near": [50.0] * 8, "far": [20.0, 30.0] * 4},
    )
    found = {one.arm: one for one in savings_of(costs, 0)}
    near, far = found["near"], found["far"]
    assert near.n == 8
    assert near.difference == pytest.approx(-0.001)
    assert near.p == pytest.approx(2 / 256)  # the smallest that 8 signs give, twice: two tests
    assert near.as_good
    assert not far.as_good
    assert far.p == pytest.approx(1.0)
    ratio = near.ratios["operations"]
    assert ratio is not None
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((0.5, 0.5, 0.5))
    spread = far.ratios["operations"]
    assert spread is not None
    # The ladder's cost does not vary, so Fieller's interval is t's: 25 +- 2.365 * 5.345 / sqrt(8).
    assert (spread.low, spread.value, spread.high) == pytest.approx((0.2053, 0.25, 0.2947), abs=1e-4)
    assert not {one.arm: one for one in savings_of(costs, 0, margin=0.0)}["near"].as_good


def test_more_rows_than_signs_can_decide_are_asked_by_t() -> None:
    """Eight replicates: twelve rows by sign-flip (12 / 256 < 0.05), thirteen by t."""
    ticket = [0.9, 0.91, 0.92, 0.9, 0.89, 0.91, 0.9, 0.92]
    near = [value - 0.001 + 0.0002 * (-1) ** at for at, value in enumerate(ticket)]
    for others, test in ((12, "sign-flip"), (13, "t")):
        arms = {"ticket": ticket, **{f"near-{at}": near for at in range(others)}}
        found = savings_of(made_up(arms, {arm: [1.0] * 8 for arm in arms}), 0)
        assert {one.test for one in found} == {test}
        assert all(one.as_good for one in found)
        # By t: (0.01 - 0.001) / (0.0002 * sqrt(8 / 7) / sqrt(8)) = 119 standard errors at 7 degrees of freedom.
        expected = 12 / 256 if test == "sign-flip" else 13 * float(stats.t.sf(119.06, 7))
        assert found[0].p == pytest.approx(expected, rel=1e-2)


def test_as_good_as_the_dense_network_is_another_question() -> None:
    """A ticket two points above the dense network, and one that is between: less than the ticket, more than dense."""
    dense = [0.9, 0.91, 0.92, 0.9, 0.89, 0.91, 0.9, 0.92]
    costs = made_up(
        {"ticket": [value + 0.02 for value in dense], "near": [value + 0.005 for value in dense]},
        {"ticket": [100.0] * 8, "near": [50.0] * 8},
        dense=dense,
    )
    beside_ticket = {one.arm: one for one in savings_of(costs, 0)}
    assert not beside_ticket["near"].as_good
    beside_dense = {one.arm: one for one in savings_of(costs, 0, against="dense")}
    assert beside_dense["near"].difference == pytest.approx(0.005)
    assert beside_dense["ticket"].difference == pytest.approx(0.02)
    assert beside_dense["near"].p == pytest.approx(2 / 256)  # the ticket is tested, too: Holm over two
    assert beside_dense["ticket"].as_good
    ratio = beside_dense["near"].ratios["operations"]
    assert ratio is not None
    assert ratio.value == pytest.approx(0.5), "costs are held against the ladder all the same"


def test_no_share_of_a_cost_is_below_nothing() -> None:
    costs = made_up({"ticket": [0.9] * 3, "near": [0.9] * 3}, {"ticket": [9.0] * 3, "near": [0.0, 0.0, 9.0]})
    ratio = next(one for one in savings_of(costs, 0) if one.arm == "near").ratios["seconds"]
    assert ratio is not None
    assert ratio.low == 0.0
    assert ratio.high > ratio.value == pytest.approx(1 / 3)


def test_of_two_replicates_there_is_no_interval_and_nothing_is_shown_to_be_as_good() -> None:
    costs = made_up({"ticket": [0.9, 0.9], "near": [0.9, 0.9]}, {"ticket": [2.0, 2.0], "near": [1.0, 1.0]})
    near = next(one for one in savings_of(costs, 0) if one.arm == "near")
    assert (near.low, near.high, near.ratios["seconds"], near.as_good) == (None, None, None, False)


def test_how_a_route_is_told() -> None:
    arm = RouteArm("x", "votes", ("donors",), "own", False, {"keep": "top"}, 1, None)
    assert (
        str(arm)
        == "route 'votes' from donors, as they come (keep = 'top'), starting as the replicate's own tickets do"
    )
