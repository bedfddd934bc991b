"""The picture of how much of a ticket there must be: shares worked out from masks, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.study_kit import run_tiny, tiny
from tombola.lottery.cell import Cell
from tombola.report.collect import overlap_of, tables_of
from tombola.report.figures.base import FIGURES
from tombola.report.tables import NothingToDrawError
from tombola.runs.folder import Run

ARMS = ["dose-0", "dose-50", "donor", "donor-transplant", "reinit"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    arms = [{"name": name, "levels": [2]} for name in ARMS]
    return run_tiny(tmp_path_factory.mktemp("dose"), tiny(arms=arms, data={"split": "study"}))


def test_shares_are_those_of_the_tickets_places_in_pruned_tensors(run: Run) -> None:
    frame = overlap_of(run)
    assert frame is not None
    found = {(level, arm): overlap for level, arm, overlap in frame.rows()}
    # Arms with other weights than the ticket's own, and those with its own mask, have no place on the line.
    assert set(found) == {(2, arm) for arm in ("ticket", "dose-0", "dose-50", "donor")}
    assert found[2, "ticket"] == 100
    shares = []
    for r in (0, 1):
        own, other = (run.mask(Cell(r, 2, arm, 0)) for arm in ("ticket", "donor"))
        shares.append(100 * sum(int((own[n] & other[n]).sum()) for n in own) / own.count())
    assert found[2, "donor"] == pytest.approx(sum(shares) / 2)
    assert found[2, "dose-0"] < found[2, "dose-50"] < 100


def test_the_picture_has_the_line_of_the_ticket_and_the_points_of_donors(run: Run) -> None:
    chart = FIGURES["dose"](tables_of(run)).to_dict()
    rows = chart["datasets"][chart["data"]["name"]]
    assert {row["arm"]: row["kind"] for row in rows} == {
        "ticket": "of the ticket", "dose-0": "of the ticket", "dose-50": "of the ticket", "donor": "of a donor",
    }  # fmt: skip


def test_without_a_known_share_there_is_no_picture(tmp_path: Path) -> None:
    plain = run_tiny(tmp_path, tiny(levels=1))
    assert overlap_of(plain) is None
    with pytest.raises(NothingToDrawError, match="dose-0"):
        FIGURES["dose"](tables_of(plain))
