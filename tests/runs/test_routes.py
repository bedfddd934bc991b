"""Routes in studies: every kind as an arm, trained as any arm is, from what it says it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from support.route_parts import ROUTE_TABLES, by, travelling
from support.study_kit import Notes, cells_of, contents, no_leftovers, rewrite_record, run_tiny
from tombola.analysis.costs import costs_of
from tombola.errors import UserError
from tombola.files import digest_of
from tombola.lottery.cell import Cell
from tombola.runs.folder import Ladders, Run
from tombola.runs.results import results_of
from tombola.study.spec import Study


def whole() -> Study:
    """A study with a route of every kind and all their controls."""
    return travelling(*(by(kind) for kind in ROUTE_TABLES))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_tiny(tmp_path_factory.mktemp("routes"), whole())


def source(run: Run, name: str) -> Ladders:
    return next(each for each in run.ladders() if each.kind == f"sources/{name}")


@pytest.mark.parametrize("kind", ROUTE_TABLES)
def test_every_route_is_trained_as_an_arm_and_says_how_its_tickets_were_made(kind: str, run: Run) -> None:
    arms = [arm for arm in run.study.route_arms if arm.kind == kind]
    assert len(arms) == 1 + len(ROUTE_TABLES[kind]["controls"])
    starts = set()
    for arm in arms:
        cell = Cell(1, 2, arm.name, 0)
        record = run.record(cell)
        assert record.status == "ok"
        assert record.iterations == 20
        assert record.made is not None
        assert record.made["route"] == kind
        assert record.made["from"] == list(arm.sources)
        assert record.made["options"].items() >= arm.options.items()
        starts.add((digest_of(run.mask(cell)), digest_of(run.start(cell))))
        assert run.ticket(cell).provenance["made"] == record.made
    assert len(starts) == len(arms)
    assert run.record(Cell(1, 2, "ticket", 0)).made is None


def test_a_route_from_a_source_takes_the_replicates_own_ticket_of_the_level(run: Run) -> None:
    cell, home = Cell(1, 2, "by-elastic", 0), source(run, "narrow")
    ticket = Cell(1, 2, "ticket", 0)
    made = run.record(cell).made
    assert made is not None
    first = made["sources"][0]
    assert first["mask"] == digest_of(home.mask(ticket))
    assert first["start"] == digest_of(home.start(ticket))
    for layer in ("fc1.weight", "fc2.weight", "out.weight"):
        assert torch.equal(run.mask(cell)[layer], home.mask(ticket)[layer])
        assert torch.equal(run.start(cell)[layer], home.start(ticket)[layer])
    assert torch.equal(run.mask(cell)["fc3.weight"], home.mask(ticket)["fc2.weight"])


def test_a_route_from_the_replicates_own_ticket_and_a_mask_on_its_own_start(run: Run) -> None:
    own, dense = Cell(0, 1, "ticket", 0), run.start(Cell(0, 0, "ticket", 0))
    refilled, voted = Cell(0, 1, "by-refill", 0), Cell(0, 1, "by-votes", 0)
    made = run.record(refilled).made
    assert made is not None
    assert made["sources"][0]["mask"] == digest_of(run.mask(own))
    for cell in (refilled, voted, Cell(0, 1, "by-votes-random", 0)):
        mask, start = run.mask(cell), run.start(cell)
        assert all(torch.equal(value, start[name]) for name, value in mask.apply(dense).items())
    assert run.mask(voted).counts() == run.mask(Cell(0, 1, "by-votes-random", 0)).counts()


def test_of_fewer_sources_each_lends_to_several_replicates(tmp_path: Path) -> None:
    table = by("elastic", levels=[1], controls=[])
    one = {"narrow": {"model": {"name": "lenet-8-8"}, "replicates": 1}}
    run = run_tiny(tmp_path, travelling(table, sources=one, levels=1))
    assert source(run, "narrow").study.replicates == 1
    masks = [run.mask(Cell(r, 1, "by-elastic", 0)) for r in (0, 1)]
    assert masks[0] == masks[1]


def test_stopped_anywhere_it_ends_with_the_same_bits(run: Run, tmp_path: Path) -> None:
    for stop in (30, 200, 400, 700):
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path, whole(), progress=Notes(stop_after=stop))
    again = run_tiny(tmp_path, whole())
    assert contents(again.path) == contents(run.path)
    assert no_leftovers(again.path)
    run_tiny(tmp_path, whole(), progress=(idle := Notes()))
    assert idle.advanced == 0
    assert idle.total == idle.done > 0


def test_a_route_from_the_studys_own_extends_a_run(tmp_path: Path) -> None:
    before = run_tiny(tmp_path, travelling(donors=2))
    cells = cells_of(contents(before.path))
    after = run_tiny(tmp_path, travelling(by("refill"), by("votes"), donors=2))
    assert after.path == before.path
    now = cells_of(contents(after.path))
    assert {name: now[name] for name in cells} == cells
    assert after.record(Cell(1, 2, "by-votes", 0)).status == "ok"


def test_where_a_sources_ladder_ends_the_arms_that_took_from_it_collapse(tmp_path: Path) -> None:
    study = travelling(by("elastic", controls=[]), levels=1)
    run = run_tiny(tmp_path, study)
    rewrite_record(source(run, "narrow"), Cell(1, 1, "ticket", 0), status="diverged")
    for file in (folder := run.folder(Cell(1, 1, "by-elastic", 0))).iterdir():
        file.unlink()
    folder.rmdir()
    again = run_tiny(tmp_path, study)
    assert again.record(Cell(1, 1, "by-elastic", 0)).status == "collapsed"
    assert again.record(Cell(0, 1, "by-elastic", 0)).status == "ok"
    costs = costs_of(again).filter(pl.col("arm") == "by-elastic")
    assert costs["iterations"].to_list() == [
        40.0,
        20.0,
    ]  # a dense network each, and a ticket where there is one


def test_an_edited_route_is_found(tmp_path: Path) -> None:
    run = run_tiny(tmp_path, travelling(by("refill", controls=[]), levels=1))
    toml = run.path / "study.toml"
    toml.write_text(toml.read_text().replace("[route.options]", "[route.options]\nrate = 0.9"))
    with pytest.raises(
        UserError, match=r"arm 'by-refill' is route 'refill' from tickets \(rate = 0.9\), but its cells"
    ):
        _ = Run(run.path).study


def test_results_and_headway_have_routes_as_arms(run: Run) -> None:
    arms = set(results_of(run)["arm"])
    assert arms == {"ticket", *(arm.name for arm in run.study.route_arms)}
    now = run.headway()
    assert now.done == now.planned
    assert {("sources/narrow", 0), ("sources/thin", 2), ("donors", 1), ("by-widen", 2)} <= {
        (row.arm, row.level) for row in now.rows
    }


REFUSED = [
    (
        by("elastic", **{"from": "thin"}),
        "arm 'by-elastic': route 'elastic': the networks differ in more than their",
    ),
    (by("elastic", options={"block": 1}), "arm 'by-elastic': route 'elastic' has no option 'block'"),
    (
        by("votes", **{"from": "tickets"}),
        "arm 'by-votes': route 'votes': it takes two tickets at least, found 1",
    ),
    (
        by("refill", options={"by": "saliency"}),
        "arm 'by-refill': route 'refill': scores of saliency are measured",
    ),
    (by("refill", draws=2, controls=[]), "arm 'by-refill' draws nothing at random, so draws = 2"),
]


@pytest.mark.parametrize(("table", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_be_gone_is_refused_before_anything_is_trained(
    table: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        run_tiny(tmp_path, travelling(table))
    assert not list(tmp_path.rglob("*.json"))


def test_a_donor_may_be_taken_as_it_comes(tmp_path: Path) -> None:
    apart = {"name": "apart", "aligned": False}
    run = run_tiny(tmp_path, travelling(by("votes", controls=[apart]), levels=1))
    donors = next(each for each in run.ladders() if each.kind == "donors")
    mask = run.mask(Cell(0, 1, "by-votes-apart", 0))
    both = donors.mask(Cell(0, 1, "ticket", 0)) | donors.mask(Cell(1, 1, "ticket", 0))
    assert mask <= both
    assert mask != run.mask(Cell(0, 1, "by-votes", 0))
