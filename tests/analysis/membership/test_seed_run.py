"""Seeding of a run: what is trained, what is told, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.study_kit import run_tiny, tiny, toy_data
from tombola.analysis.membership.seeding import SEEDING, seed_run, seeding_estimates
from tombola.errors import UserError
from tombola.files import read_parquet
from tombola.lottery.cell import Cell
from tombola.runs.folder import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = tiny(replicates=3, levels=1, arms=[], pruning={"mode": "one-shot", "rate": 0.6})
    return run_tiny(tmp_path_factory.mktemp("seeded"), study)


def seeded(run: Run, **options: Any) -> pl.DataFrame:
    return seed_run(run, dataset=toy_data(), device="cpu", kind="logistic", **options)


def test_without_seeding_the_ticket_is_drawn_again(run: Run) -> None:
    """The study prunes once as well, so that all of its ticket lives, and both trainings score as its cells did."""
    table = seeded(run)
    assert read_parquet(run.path / "seeding.parquet", SEEDING).equals(table)
    assert table.height == 27
    own = table.filter(chosen="ticket", treatment="none").sort("replicate")
    assert own["lived"].to_list() == [1, 1, 1]
    assert (own["p"] < 1e-3).all()
    for r, row in enumerate(own.to_dicts()):
        for level, value in ((0, "dense_accuracy"), (1, "ticket_accuracy")):
            record = run.record(Cell(r, level, "ticket", 0))
            assert row[value] == pytest.approx(record.early_stop_test_accuracy, abs=0.03)
    means = seeding_estimates(table)
    assert set(means["value"]) == {"lived", "by_chance", "dense_accuracy", "ticket_accuracy"}
    assert set(means["n"]) == {3}


def test_what_is_made_large_is_found(run: Run) -> None:
    """Weights made a hundred times as large outlive all others, whoever chose them; one-hundredth, none do."""
    large, small = seeded(run, times=100.0), seeded(run, times=0.01)
    for name in ("random", "ticket", "predicted"):
        assert large.filter(chosen=name, treatment="scaled")["lived"].min() > 0.9
    assert small.filter(chosen="ticket", treatment="scaled")["lived"].max() < 0.5
    chance = large["by_chance"].unique()
    density = run.mask(Cell(0, 1, "ticket", 0)).density()
    assert all(abs(value - density) < 0.01 for value in chance)


def test_random_choices_live_by_chance(run: Run) -> None:
    table = seeded(run).filter(chosen="random", treatment="none")
    assert abs(float((table["lived"] - table["by_chance"]).mean() or 0)) < 0.15


def test_refusals(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--times 0: expected a number above 0"):
        seeded(run, times=0)
    few = run_tiny(tmp_path, tiny(arms=[], levels=1))
    with pytest.raises(UserError, match="seeding needs 3 replicates with a ticket at least, found 2"):
        seeded(few)
