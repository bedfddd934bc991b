"""Ladders beside a run: donors and twins, what they share with the replicates and what not, and what may happen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from support.lottery_parts import same
from support.study_kit import Notes, cells_of, contents, no_leftovers, rewrite_record, run_tiny, times, tiny
from tombola.data.split import split
from tombola.errors import UserError
from tombola.lottery.cell import Cell
from tombola.runs.beside.lender import Lender
from tombola.runs.folder import Run
from tombola.runs.results import results_of, with_donor_tickets
from tombola.study.claims import DONOR_TICKET
from tombola.study.ladders import ladder_seeds, ladders_of
from tombola.study.spec import Study

ARMS = [
    {"name": "donor"},
    {"name": "donor-aligned", "levels": [2]},
    {"name": "donor-transplant", "levels": [1]},
    {"name": "twin", "levels": [1]},
]


def taking(**changes: Any) -> Study:
    """Two replicates and two donors; the twins are asked for at level 1 alone."""
    return tiny(**{"arms": ARMS, "data": {"split": "study"}, **changes})


def ladders(run: Run) -> dict[str, Run]:
    return {each.kind: each for each in run.ladders()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(tmp_path_factory.mktemp("runs"), taking())


def test_donors_and_twins_are_ladders_without_arms_as_deep_as_they_are_asked_for(run: Run) -> None:
    beside = ladders(run)
    assert {kind: [str(cell) for cell in each.cells()] for kind, each in beside.items()} == {
        "donors": [f"r{r}/L0{level}/ticket/0" for r in (0, 1) for level in (0, 1, 2)],
        "twins": [f"r{r}/L0{level}/ticket/0" for r in (0, 1) for level in (0, 1)],
    }
    assert ladders_of(tiny()) == {}
    assert not list((run.path / "cells").glob("*donor*"))


def test_donors_start_elsewhere_and_twins_where_their_replicate_does(run: Run) -> None:
    beside = ladders(run)
    dense = [Cell(r, 0, "ticket", 0) for r in (0, 1)]
    starts = [folder.start(cell) for folder in (run, beside["donors"]) for cell in dense]
    assert not any(same(a, b) for i, a in enumerate(starts) for b in starts[:i])
    for cell in dense:
        assert same(beside["twins"].start(cell), run.start(cell))
        assert not same(beside["twins"].weights(cell, "end"), run.weights(cell, "end"))


def test_all_validate_on_the_same_examples_and_see_them_in_orders_of_their_own(run: Run) -> None:
    study = run.study
    everyone = [study.seeds(r) for r in (0, 1)]
    everyone += [ladder_seeds(study, kind, r) for kind in ("donors", "twins") for r in (0, 1)]
    held = {tuple(split(90, 30, seeds.stream("split")).validation) for seeds in everyone}
    assert len(held) == 1
    assert len({seeds.key("order", 0, 0) for seeds in everyone}) == len(everyone)
    own = tiny()
    assert len({tuple(split(90, 30, own.seeds(r).stream("split")).validation) for r in (0, 1)}) == 2


def test_arms_take_from_the_donor_of_their_replicate(run: Run) -> None:
    donors = ladders(run)["donors"]
    for r in (0, 1):
        given = Cell(r, 1, "ticket", 0)
        assert run.mask(Cell(r, 1, "donor", 0)) == donors.mask(given)
        transplant = Cell(r, 1, "donor-transplant", 0)
        assert run.mask(transplant) == donors.mask(given)
        assert same(run.start(transplant), donors.start(given))
        aligned = run.mask(Cell(r, 2, "donor-aligned", 0))
        assert aligned.counts() == donors.mask(Cell(r, 2, "ticket", 0)).counts()


def test_the_pool_begins_with_ones_own_donor_and_holds_all(run: Run) -> None:
    lender = Lender(run.ladders())
    pools = [lender(r, 1).pool for r in (0, 1, 2)]
    assert [each.mask for each in pools[0]] == [each.mask for each in reversed(pools[1])]
    assert [each.mask for each in pools[0]] == [each.mask for each in pools[2]]
    assert lender(0, 1).matchings is lender(0, 2).matchings is not lender(1, 1).matchings
    twin = lender(1, 1).twin
    assert twin is not None
    assert twin.mask == ladders(run)["twins"].mask(Cell(1, 1, "ticket", 0))


def test_a_donor_is_its_ticket_with_what_that_starts_from_and_where_its_dense_network_ended(run: Run) -> None:
    lent = Lender(run.ladders())(1, 2).pool[0]
    donors, cell = ladders(run)["donors"], Cell(1, 2, "ticket", 0)
    assert lent is not None
    assert lent.mask == donors.mask(cell)
    assert same(lent.mask.apply(lent.start), donors.start(cell))
    assert same(lent.dense, donors.weights(Cell(1, 0, "ticket", 0), "end"))


def test_of_three_donors_each_recipient_has_its_own_first_and_then_the_next(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lender = Lender(run.ladders())
    three = SimpleNamespace(kind="donors", study=SimpleNamespace(donors=3))
    monkeypatch.setattr(lender, "_of", {"donors": three})
    monkeypatch.setattr(lender, "_donor", lambda ladders, number, level: (number, level))
    assert lender(1, 2).pool == [(1, 2), (2, 2), (0, 2)]
    assert lender(5, 1).pool == [(2, 1), (0, 1), (1, 1)]
    assert lender(5, 1).twin is None


def test_donors_are_in_the_identity_and_as_many_as_replicates_where_nobody_says(run: Run) -> None:
    assert run.study.donors == 2
    assert taking().identity() == taking(donors=2).identity() != taking(donors=3).identity()
    assert tiny().donors == 0
    assert tiny(donors=2).identity() != tiny().identity()


def test_another_pool_has_other_donors_for_the_same_replicates_and_is_another_run() -> None:
    one, two = taking(), taking(donor_pool=1)
    assert one.identity() == taking(donor_pool=0).identity() != two.identity()
    assert ladder_seeds(one, "donors", 0).root == (one.seed, "donor", 0)
    roots = [
        seeds for study in (one, two) for r in (0, 1) for seeds in (ladder_seeds(study, "donors", r).root,)
    ]
    assert len(set(roots)) == 4
    assert one.seeds(0) == two.seeds(0)
    assert ladder_seeds(one, "twins", 0) == ladder_seeds(two, "twins", 0)
    with pytest.raises(ValueError, match=r"donor_pool = 1 names a pool of donors, and this study has none"):
        tiny(donor_pool=1)


def test_more_replicates_change_nothing_of_those_that_are_there(tmp_path: Path) -> None:
    first = run_tiny(tmp_path, taking(donors=2))
    before = {
        **cells_of(contents(first.path)),
        **{n: b for n, b in contents(first.path).items() if "donors" in n},
    }
    more = run_tiny(tmp_path, taking(donors=2, replicates=3, levels=3))
    after = contents(more.path)
    assert more.path == first.path
    assert {name: after[name] for name in before} == before
    assert more.mask(Cell(2, 1, "donor", 0)) == more.mask(Cell(0, 1, "donor", 0))
    assert ladders(more)["donors"].has(Cell(1, 3, "ticket", 0))


def test_stopped_anywhere_it_ends_with_the_same_bits_and_does_nothing_twice(run: Run, tmp_path: Path) -> None:
    notes, stops = Notes(), (30, 90, 150, 300)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path, taking(), progress=Notes(stop_after=stop))
    again = run_tiny(tmp_path, taking(), progress=notes)
    assert contents(again.path) == contents(run.path)
    assert no_leftovers(again.path)
    stamps = times(again.path)
    run_tiny(tmp_path, taking(), progress=(idle := Notes()))
    assert idle.advanced == 0
    assert idle.total == idle.done == 20 * (len(run.cells()) + 6 + 4) > 0
    assert {name: stamp for name, stamp in times(again.path).items() if "cells" in name} == {
        name: stamp for name, stamp in stamps.items() if "cells" in name
    }


def test_how_far_a_run_is_counts_its_ladders(run: Run) -> None:
    now = run.headway()
    assert now.done == now.planned == len(run.cells()) + 6 + 4
    assert {(row.arm, row.level) for row in now.rows} >= {("donors", 0), ("donors", 2), ("twins", 1)}


def test_where_a_donors_ladder_ends_the_arms_that_took_from_it_collapse(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, taking())
    donors = ladders(run)["donors"]
    rewrite_record(donors, Cell(1, 1, "ticket", 0), status="diverged")
    assert Lender(run.ladders())(1, 1).pool[0] is None
    for cell in [Cell(1, 1, "donor", 0), Cell(1, 1, "donor-transplant", 0)]:
        for file in run.folder(cell).iterdir():
            file.unlink()
        run.folder(cell).rmdir()
    again = run_tiny(tmp_path, taking())
    assert again.record(Cell(1, 1, "donor", 0)).status == "collapsed"
    assert again.record(Cell(0, 1, "donor", 0)).status == "ok"


def test_donors_tickets_stand_beside_the_results_where_they_are_asked_for(run: Run) -> None:
    frame = results_of(run, timed=False)
    assert DONOR_TICKET not in frame["arm"].to_list()
    both = with_donor_tickets(run, frame)
    rows = both.filter(both["arm"] == DONOR_TICKET).sort("replicate", "level")
    assert rows.select("replicate", "level").rows() == [(0, 1), (0, 2), (1, 1), (1, 2)]
    donors = ladders(run)["donors"]
    assert rows["final_test_accuracy"][0] == donors.record(Cell(0, 1, "ticket", 0)).final_test_accuracy
    # Started alike and trained with other noise: no copy, and no other network.
    assert frame.height + 4 == both.height


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data": {"split": "replicate"}},
            r"arm 'donor' takes from donors.*expected \[data\] split = \"study\"",
        ),
        (
            {"store": {"keep": "masks"}},
            r"arm 'donor' is aligned by dense networks, which \[store\] keep = \"masks\" drops",
        ),
    ],
)
def test_what_donors_cannot_lend_to(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        taking(**changes)


def test_an_arm_that_aligns_a_layer_that_is_not_there_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match="arm 'donor-layer-4' aligns tensor 4, and lenet-8-6 has 3"):
        run_tiny(tmp_path, taking(arms=[{"name": "donor-layer-4"}]))
    assert not list(tmp_path.rglob("cell.json"))


def test_a_rewound_donor_lends_what_its_tickets_are_rewound_to(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, taking(pruning={"rewind": 10}, levels=1, arms=[{"name": "donor-transplant"}]))
    donors = ladders(run)["donors"]
    start = run.start(Cell(0, 1, "donor-transplant", 0))
    assert same(start, donors.start(Cell(0, 1, "ticket", 0)))
    initial = donors.start(Cell(0, 0, "ticket", 0))
    assert not any(
        torch.equal(start[n], run.mask(Cell(0, 1, "donor-transplant", 0))[n] * initial[n])
        for n in run.mask(Cell(0, 1, "donor-transplant", 0))
    )


def test_what_a_killed_process_left_half_written_in_a_ladder_goes(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, taking(levels=1, arms=[{"name": "donor"}]))
    left = ladders(run)["donors"].path / "cells" / "r0" / "L01" / "ticket" / ".0.tmp"
    left.mkdir()
    run_tiny(tmp_path, taking(levels=1, arms=[{"name": "donor"}]))
    assert not left.exists()


def test_there_are_as_many_donors_as_are_asked_for_and_a_twin_of_each_replicate() -> None:
    beside = ladders_of(taking(donors=3))
    assert {kind: study.replicates for kind, study in beside.items()} == {"donors": 3, "twins": 2}


@pytest.mark.parametrize("lost", ["cells/r1/L01/ticket/0/mask*", "starts/*"])
def test_a_ladder_that_lost_a_file_is_refused_before_anything_is_trained(lost: str, tmp_path: Path) -> None:
    few = {"levels": 1, "donors": 2, "arms": [{"name": "donor"}]}
    run = run_tiny(tmp_path, taking(**few))
    file = sorted(ladders(run)["donors"].path.glob(lost))[0]
    file.unlink()
    with pytest.raises(UserError, match=r"donors"):
        run_tiny(tmp_path, taking(**few, replicates=3), progress=(notes := Notes()))
    assert notes.advanced == 0
